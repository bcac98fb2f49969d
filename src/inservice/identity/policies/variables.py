"""Policy variables: `${aws:username}` in a policy stands for what the request says it is.

A *template* is a row of pieces, as in `patterns`, with variables among them. What a variable stands
for is literal: a `*` in somebody's name is no wildcard, and a `${…}` in it is not looked up. A
policy of version 2008-10-17 has no variables: there `${aws:username}` is what it says.

    ${key}            its value
    ${key, 'text'}    the text where the request has no such key
    ${*} ${?} ${$}    that character

A key with several values cannot stand for one text: not even its default does then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inservice.identity.policies.patterns import Piece, pieces_of

ContextValue = str | tuple[str, ...]
"""Of a condition key. A tuple is that of a key with several values, also where it has one; one
without any is as good as absent."""

Context = Mapping[str, ContextValue]
"""What a request says of itself: condition keys in lower case → values."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_CHARACTERS: Final = ("*", "?", "$")


@dataclass(frozen=True)
class Variable:
    """A hole in a template."""

    key: str  # as written
    default: str | None


Template = tuple[Piece | Variable, ...]
"""Literal text, wildcards and variables."""


def template_of(text: str, *, wildcards: bool, variables: bool) -> Template:
    """What a text of a policy means. What only looks like a variable is literal."""
    parts: list[Piece | Variable] = []
    place = 0
    for match in _VARIABLE.finditer(text) if variables else ():
        meant = _meant(match[1])
        if meant is not None:
            parts.extend(_plain(text[place : match.start()], wildcards))
            parts.append(meant)
            place = match.end()
    parts.extend(_plain(text[place:], wildcards))
    return tuple(parts)


def _meant(inside: str) -> str | Variable | None:
    """What stands between the braces; None if it is neither a character nor a key."""
    if inside in _CHARACTERS:
        return inside
    key, comma, default = (part.strip() for part in inside.partition(","))
    if not key or "'" in key:
        return None
    if not comma:
        return Variable(key, None)
    quoted = len(default) >= 2 and default[0] == default[-1] == "'" and "'" not in default[1:-1]
    return Variable(key, default[1:-1]) if quoted else None


def _plain(text: str, wildcards: bool) -> tuple[Piece, ...]:
    if wildcards:
        return pieces_of(text)
    return (text,) if text else ()


def is_static(template: Template) -> bool:
    """Whether it has no variables."""
    return not any(isinstance(part, Variable) for part in template)


def variables_of(template: Template) -> list[str]:
    """The keys that it asks for, as written."""
    return [part.key for part in template if isinstance(part, Variable)]


def expand(template: Template, context: Context) -> tuple[Piece, ...] | None:
    """The pieces, each variable replaced by its value; None if one has no value."""
    pieces: list[Piece] = []
    for part in template:
        if not isinstance(part, Variable):
            pieces.append(part)
            continue
        value = context.get(part.key.lower())
        if value is None or value == ():
            value = part.default
        if not isinstance(value, str):
            return None
        if value:
            pieces.append(value)
    return tuple(pieces)


def text_of(pieces: tuple[Piece, ...]) -> str:
    """The text of pieces that have no wildcards."""
    return "".join(piece for piece in pieces if isinstance(piece, str))
