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
from dataclasses import dataclass

from inservice.cloudwatch.logs import json_patterns
from inservice.cloudwatch.logs.conditions import OPERATORS, Condition, compare
from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.work import Workload

Matches = Callable[[str], bool]

_TERM = re.compile(r"\s*(?P<sign>[?-]?)(?P<term>\"(?:\\\"|[^\"])*\"|%[^%]*%|\S+)")
_BLANK = re.compile(r"\s*")
_WORD = re.compile(r"\S+")
_CLOSING = {"[": "]", '"': '"'}
_COMPARISON = re.compile(
    r"\s*(?P<name>[A-Za-z0-9_$]*)\s*(?P<sign>!=|>=|<=|=|>|<)\s*"
    r"(?P<value>\"[^\"]*\"|%[^%]*%|[^\s&|]+)\s*"
)


TERM_WORK = 0.02
"""What looking for a term costs for each character of a line: a nanosecond."""

FIELDS_WORK = 4.0
"""What parting a line costs for each character: it may be nothing but short fields."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A filter pattern that was read."""

    matches: Matches
    workload: Workload


def parse(pattern: str) -> Pattern:
    """Read a filter pattern. Raises LogsParameterRefused."""
    text, workload = pattern.strip(), Workload()
    if text.startswith("{") and text.endswith("}"):
        return Pattern(json_patterns.parse(text[1:-1], workload), workload)
    if text.startswith("[") and text.endswith("]"):
        return Pattern(_fields(text[1:-1], workload), workload)
    return Pattern(_terms(text, workload), workload)


def _terms(text: str, workload: Workload) -> Matches:
    needed, unwanted, either = list[Matches](), list[Matches](), list[Matches]()
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise LogsParameterRefused(f"Invalid filter pattern at character {at + 1}.")
        {"?": either, "-": unwanted, "": needed}[match["sign"]].append(
            _term(match["term"], workload)
        )
        at = match.end()
    if needed or unwanted:
        either = []  # AWS: beside other terms, those with a question mark have no effect
    return lambda line: (
        all(term(line) for term in needed)
        and not any(term(line) for term in unwanted)
        and (not either or any(term(line) for term in either))
    )


def _term(term: str, workload: Workload) -> Matches:
    if len(term) > 1 and term[0] == term[-1] == "%":
        return workload.expression(term[1:-1]).finds
    workload.per_character(TERM_WORK)
    if term.startswith('"'):
        if len(term) == 1 or not term.endswith('"'):
            raise LogsParameterRefused("Invalid filter pattern: a quotation mark is missing.")
        words = term[1:-1].replace('\\"', '"')
        return (lambda line: words in line) if words.strip() else (lambda _: True)
    return lambda line: term in line


def _fields(text: str, workload: Workload) -> Matches:
    workload.per_character(FIELDS_WORK)
    parts = [part.strip() for part in _split(text, ",")]
    dots = [number for number, part in enumerate(parts) if part == "..."]
    if len(dots) > 1:
        raise LogsParameterRefused("Invalid filter pattern: '...' may stand once.")
    conditions = [_condition(part, workload) for part in parts if part != "..."]
    before = dots[0] if dots else len(conditions)

    def matches(line: str) -> bool:
        values = [field.strip('[]"') for field in _parted(line)]
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


def _parted(line: str) -> list[str]:
    """The fields of a line: [in brackets], "in quotes", or words. Linear in the line: that nothing
    closes a bracket is found out once."""
    if "[" not in line and '"' not in line:
        return line.split()
    fields: list[str] = []
    last = {mark: line.rfind(closing) for mark, closing in _CLOSING.items()}
    at = _BLANK.match(line).end()  # type: ignore[union-attr] # it matches nothing too
    while at < len(line):
        mark = line[at]
        if last.get(mark, -1) > at:
            end = line.index(_CLOSING[mark], at + 1) + 1
        else:
            end = _WORD.match(line, at).end()  # type: ignore[union-attr] # no blank is here
        fields.append(line[at:end])
        at = _BLANK.match(line, end).end()  # type: ignore[union-attr]
    return fields


def _condition(part: str, workload: Workload) -> Condition:
    """One field: a name, or comparisons of it that are joined by && and ||."""
    if not any(sign in part for sign in OPERATORS):
        return lambda _: True
    either = [
        [_comparison(one, workload) for one in _split(both, "&&")] for both in _split(part, "||")
    ]
    return lambda value: any(all(one(value) for one in both) for both in either)


def _comparison(text: str, workload: Workload) -> Condition:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise LogsParameterRefused(f"Invalid filter pattern: '{text.strip()}' is no comparison.")
    return compare(match["sign"], match["value"], workload)


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
