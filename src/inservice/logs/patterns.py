"""Filter patterns: which events FilterLogEvents gives.

    ERROR timeout            both words are in the line
    ?ERROR ?WARN             one of them is
    ERROR -"health check"    the first is, the second is not
    "\\"level\\": 5"           a backslash before a quotation mark that is part of the term
    %time[sd]? ?out%         a regular expression
    [ip, user, code = 4*]    fields of the line, by their place
    { $.level = "ERROR" }    values of a line that is JSON

Terms are matched with regard to case, anywhere in the line. An empty pattern matches everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from inservice.logs import json_patterns
from inservice.logs.conditions import OPERATORS, Condition, compare
from inservice.logs.errors import LogsParameterRefused
from inservice.logs.expressions import Expression

Matches = Callable[[str], bool]

_TERM = re.compile(r"\s*(?P<sign>[?-]?)(?P<term>\"(?:\\\"|[^\"])*\"|%[^%]*%|\S+)")
_FIELD = re.compile(r"\[[^\]]*\]|\"[^\"]*\"|\S+")
_COMPARISON = re.compile(
    r"\s*(?P<name>[A-Za-z0-9_$]*)\s*(?P<sign>!=|>=|<=|=|>|<)\s*"
    r"(?P<value>\"[^\"]*\"|%[^%]*%|[^\s&|]+)\s*"
)


def parse(pattern: str) -> Matches:
    """A function that says whether an event matches. Raises LogsParameterRefused."""
    text = pattern.strip()
    if text.startswith("{") and text.endswith("}"):
        return json_patterns.parse(text[1:-1])
    if text.startswith("[") and text.endswith("]"):
        return _fields(text[1:-1])
    return _terms(text)


def _terms(text: str) -> Matches:
    needed, unwanted, either = list[Matches](), list[Matches](), list[Matches]()
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise LogsParameterRefused(f"Invalid filter pattern at character {at + 1}.")
        {"?": either, "-": unwanted, "": needed}[match["sign"]].append(_term(match["term"]))
        at = match.end()
    if needed or unwanted:
        either = []  # AWS: beside other terms, those with a question mark have no effect
    return lambda line: (
        all(term(line) for term in needed)
        and not any(term(line) for term in unwanted)
        and (not either or any(term(line) for term in either))
    )


def _term(term: str) -> Matches:
    if len(term) > 1 and term[0] == term[-1] == "%":
        return Expression(term[1:-1]).finds
    if term.startswith('"'):
        if len(term) == 1 or not term.endswith('"'):
            raise LogsParameterRefused("Invalid filter pattern: a quotation mark is missing.")
        words = term[1:-1].replace('\\"', '"')
        return (lambda line: words in line) if words.strip() else (lambda _: True)
    return lambda line: term in line


def _fields(text: str) -> Matches:
    parts = [part.strip() for part in _split(text, ",")]
    dots = [number for number, part in enumerate(parts) if part == "..."]
    if len(dots) > 1:
        raise LogsParameterRefused("Invalid filter pattern: '...' may stand once.")
    conditions = [_condition(part) for part in parts if part != "..."]
    before = dots[0] if dots else len(conditions)

    def matches(line: str) -> bool:
        values = [field.strip('[]"') for field in _FIELD.findall(line)]
        if dots:
            if len(values) < len(conditions):
                return False
            after = len(conditions) - before
            values = values[:before] + (values[-after:] if after else [])
        elif len(values) > len(conditions):
            # The last field takes the rest of the line, as in `[w1=ERROR, w2]`.
            last = len(conditions) - 1
            values = [*values[:last], " ".join(values[last:])]
        return len(values) == len(conditions) and all(
            condition(value) for condition, value in zip(conditions, values, strict=True)
        )

    return matches


def _condition(part: str) -> Condition:
    """One field: a name, or comparisons of it that are joined by && and ||."""
    if not any(sign in part for sign in OPERATORS):
        return lambda _: True
    either = [[_comparison(one) for one in _split(both, "&&")] for both in _split(part, "||")]
    return lambda value: any(all(one(value) for one in both) for both in either)


def _comparison(text: str) -> Condition:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise LogsParameterRefused(f"Invalid filter pattern: '{text.strip()}' is no comparison.")
    return compare(match["sign"], match["value"])


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that stands in neither quotes nor an expression."""
    parts, begin, at, closing = [], 0, 0, ""
    while at < len(text):
        if closing:
            closing = "" if text[at] == closing else closing
        elif text[at] in '"%':
            closing = text[at]
        elif text.startswith(mark, at):
            parts.append(text[begin:at])
            begin = at = at + len(mark)
            continue
        at += 1
    return [*parts, text[begin:]]
