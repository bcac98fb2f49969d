"""A policy's text, read as JSON that keeps what Python's own reader forgets.

Which is: where each statement stands, since a simulation tells it; that a key is there twice, which
IAM refuses, because its readers would disagree about what the policy says; and that `1.10` is not
`1.1`, since a condition compares what was written.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, NoReturn

from inservice.errors import MalformedPolicyDocument

SYNTAX: Final = "Syntax errors in policy."
"""AWS's words for all that is wrong with the form of a document."""

LENGTH_MAX: Final = 131_072
"""Characters of any document: `policyDocumentType` of IAM's model. What counts is less."""

_CHARACTERS: Final = re.compile(r"[\t\n\r\x20-\xff]+")
_SPACE: Final = re.compile(r"[\t\n\r ]*")


class Number(str):
    """A number as it is written, so that nobody takes a text for one."""

    __slots__ = ()


@dataclass(frozen=True)
class Position:
    """A place in a document; the first character stands in line 1, column 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Source:
    """A document, and the first and the last character of each of its statements."""

    document: dict[str, object]
    spans: tuple[tuple[Position, Position], ...]


def read(text: str) -> Source:
    """The document of a text. Raises MalformedPolicyDocument for what is no JSON object."""
    if len(text) > LENGTH_MAX or not _CHARACTERS.fullmatch(text):
        raise MalformedPolicyDocument(SYNTAX)
    try:
        source = _Reader(text).read()
        # A lone surrogate, written as an escape, would end whoever writes the document anywhere.
        json.dumps(source.document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise MalformedPolicyDocument(SYNTAX) from None
    return source


class _Reader:
    """Walks the outermost object by itself, to see where things stand; json reads what is in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.decoder = json.JSONDecoder(
            object_pairs_hook=_once,
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refused,
        )

    def read(self) -> Source:
        """Raises ValueError or RecursionError."""
        pairs: list[tuple[str, object]] = []
        spans: list[tuple[Position, Position]] = []
        self.expect("{")
        while True:
            key = self.value()
            if not isinstance(key, str) or isinstance(key, Number):
                raise ValueError("a key is text")  # noqa: TRY004  # as all that json refuses
            self.expect(":")
            if key == "Statement":
                pairs.append((key, self.statements(spans)))
            else:
                pairs.append((key, self.value()))
            if self.next() != ",":
                break
        self.place -= 1
        self.expect("}")
        if self.skip() != len(self.text):
            raise ValueError("there is more behind it")
        return Source(_once(pairs), tuple(spans))

    def statements(self, spans: list[tuple[Position, Position]]) -> object:
        """A list of statements, or one; else whatever is there."""
        if self.text[self.skip() : self.place + 1] != "[":
            return self.spanned(spans)
        self.place += 1
        items: list[object] = []
        if self.text[self.skip() : self.place + 1] == "]":
            self.place += 1
            return items
        while True:
            items.append(self.spanned(spans))
            if self.next() != ",":
                break
        self.place -= 1
        self.expect("]")
        return items

    def spanned(self, spans: list[tuple[Position, Position]]) -> object:
        """A value, and where it stands."""
        start = self.skip()
        value = self.value()
        spans.append((self.position(start), self.position(self.place - 1)))
        return value

    def value(self) -> object:
        """The next value."""
        value, self.place = self.decoder.raw_decode(self.text, self.skip())
        return value

    def skip(self) -> int:
        """Past white space."""
        match = _SPACE.match(self.text, self.place)
        self.place = match.end() if match else self.place
        return self.place

    def next(self) -> str:
        """The next character that is no white space; "" at the end."""
        place = self.skip()
        self.place += 1
        return self.text[place : place + 1]

    def expect(self, character: str) -> None:
        """Past that one."""
        if self.next() != character:
            raise ValueError(f"{character} is missing")

    def position(self, place: int) -> Position:
        """Where a character stands."""
        line = bisect_right(self.lines, place)
        return Position(line, place - self.lines[line - 1] + 1)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
