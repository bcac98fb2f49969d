"""Filter patterns over JSON events.

either    = both ("||" both)*
both      = condition ("&&" condition)*
condition = "(" either ")" | selector (operator value | "IS" word | "NOT" "EXISTS")
selector  = "$" ("." name | "[" number | "*" "]" | ".*" | "['name']")*
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from inservice.cloudwatch.logs.conditions import OPERATORS, compare
from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.work import Workload

Holds = Callable[[object], bool]

NESTING_MAX = 50

_TOKEN = re.compile(
    r"\s*(?P<token>&&|\|\||[()]"
    r"|\$(?:\.\['[^']*'\]|\.[A-Za-z0-9_\-]+|\.\*|\[(?:[0-9]{1,9}|\*)\])*"
    r"|!=|>=|<=|=|>|<"
    r"|\"[^\"]*\"|%[^%]*%"
    r"|[^\s()&|=!<>\"]+)"
)
_STEP = re.compile(
    r"\.\['(?P<quoted>[^']*)'\]|\.(?P<name>[A-Za-z0-9_\-]+)|(?P<any>\.\*|\[\*\])"
    r"|\[(?P<index>[0-9]+)\]"
)
_WORDS = {"NULL": None, "TRUE": True, "FALSE": False}


READING_WORK = 0.5
"""What reading a character of JSON costs."""

CONDITION_WORK = 3.0
"""What a condition with a wildcard costs for each character: every other one may be a value."""


def parse(text: str, workload: Workload) -> Callable[[str], bool]:
    """`text` is what stands between the braces. Raises LogsParameterRefused."""
    workload.per_character(READING_WORK)
    reader = _Reader(text, workload)
    holds = reader.either(0)
    reader.finish()

    def matches(message: str) -> bool:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return isinstance(event, dict) and holds(event)

    return matches


class _Reader:
    """Each method is a line of the grammar."""

    def __init__(self, text: str, workload: Workload) -> None:
        self._workload = workload
        self._tokens = list(_tokens(text))
        self._at = 0

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise _bad(f"unexpected '{self._tokens[self._at]}'")

    def either(self, depth: int) -> Holds:
        parts = [self._both(depth)]
        while self._takes("||"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda event: any(part(event) for part in parts)

    def _both(self, depth: int) -> Holds:
        parts = [self._condition(depth)]
        while self._takes("&&"):
            parts.append(self._condition(depth))
        return parts[0] if len(parts) == 1 else lambda event: all(part(event) for part in parts)

    def _condition(self, depth: int) -> Holds:
        if depth > NESTING_MAX:
            raise _bad("it is nested too deep")
        if self._takes("("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise _bad("a ')' is missing")
            return inner
        selector = self._next()
        if not selector.startswith("$"):
            raise _bad(f"'{selector}' stands where a selector such as $.level should")
        values = _selecting(selector)
        if "*" in selector:
            self._workload.per_character(CONDITION_WORK)
        word = self._next()
        if word.upper() == "NOT":
            if self._next().upper() != "EXISTS":
                raise _bad("NOT stands before EXISTS only")
            return lambda event: next(values(event), _NOTHING) is _NOTHING
        if word.upper() == "IS":
            name = self._next().upper()
            if name not in _WORDS:
                raise _bad("IS stands before NULL, TRUE or FALSE only")
            wanted = _WORDS[name]
            return lambda event: any(value is wanted for value in values(event))
        if word not in OPERATORS:
            raise _bad(f"'{word}' is no operator")
        condition = compare(word, self._next(), self._workload)
        return lambda event: any(
            condition(value) for value in values(event) if not isinstance(value, dict | list)
        )

    def _takes(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += found
        return found

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise _bad("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


_NOTHING = object()


def _tokens(text: str) -> Iterator[str]:
    text, at = text.rstrip(), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _bad(f"character {at + 1} cannot be read")
        yield match["token"]
        at = match.end()


def _selecting(selector: str) -> Callable[[object], Iterator[object]]:
    """A function from an event to the values that the selector points at."""
    steps = list(_STEP.finditer(selector))
    if sum(step["any"] is not None for step in steps) > 1:
        raise _bad(f"'{selector}' has more than one wildcard")

    def values(event: object, number: int = 0) -> Iterator[object]:
        if number == len(steps):
            yield event
            return
        for value in _step(event, steps[number]):
            yield from values(value, number + 1)

    return values


def _step(value: object, step: re.Match[str]) -> Iterator[object]:
    if step["any"]:
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list):
            yield from value
    elif step["index"] is not None:
        if isinstance(value, list) and int(step["index"]) < len(value):
            yield value[int(step["index"])]
    else:
        name = step["name"] if step["quoted"] is None else step["quoted"]
        if isinstance(value, dict) and name in value:
            yield value[name]


def _bad(why: str) -> LogsParameterRefused:
    return LogsParameterRefused(f"Invalid filter pattern: {why}.")
