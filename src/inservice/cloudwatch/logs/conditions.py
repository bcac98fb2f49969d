"""What a field of a line or a value in JSON is compared with."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping

from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.work import Workload

Condition = Callable[[object], bool]
"""Takes a value: text, a number, a boolean, None."""

OPERATORS = ("!=", ">=", "<=", "=", ">", "<")

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def compare(sign: str, wanted: str, workload: Workload) -> Condition:
    """`sign` and what stands after it: a number, a word, "a text" with `*` in it, or %regex%."""
    if sign in _ORDER:
        limit = number_of(wanted)
        if limit is None:
            raise LogsParameterRefused(f"'{wanted}' is compared by {sign} and is not a number.")
        holds = _ORDER[sign]
        return lambda value: (found := number_of(value)) is not None and holds(found, limit)
    equal = _equals(wanted, workload)
    return equal if sign == "=" else lambda value: not equal(value)


def _equals(wanted: str, workload: Workload) -> Condition:
    if len(wanted) > 1 and wanted[0] == wanted[-1] == "%":
        expression = workload.expression(wanted[1:-1])
        return lambda value: expression.finds(text_of(value))
    if wanted.startswith('"'):
        pattern = wanted.strip('"')
        return lambda value: isinstance(value, str) and matches(pattern, value)
    number = number_of(wanted)
    if number is not None:
        return lambda value: number_of(value) == number
    return lambda value: matches(wanted, text_of(value))


def number_of(value: object) -> float | None:
    """The number that a value is, or that a text spells."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return None


def text_of(value: object) -> str:
    """A value as it stands in a log."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def matches(pattern: str, text: str) -> bool:
    """Whether the text is the pattern, `*` standing for anything. Linear: no backtracking."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    at, last = len(first), rest.pop()
    for part in rest:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - len(last) >= at and text.endswith(last)
