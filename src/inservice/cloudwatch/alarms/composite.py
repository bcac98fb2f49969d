"""AlarmRule: a composite alarm's condition over other alarms.

    rule      = all ("OR" all)*
    all       = one ("AND" one)*
    one       = "NOT" one | "(" rule ")" | "TRUE" | "FALSE" | state | at least
    state     = ("ALARM" | "OK" | "INSUFFICIENT_DATA") "(" alarm ")"
    at least  = "AT_LEAST" "(" (number | number "%") "," ["NOT"] state name "," "(" alarms ")" ")"
    alarm     = a name or an ARN, bare or in double quotes, where a backslash stands before a quote
                or a backslash of the name

A rule has at most 100 alarms and 500 elements (AWS's limits): an element is a state function, TRUE,
FALSE or a parenthesis.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inservice.cloudwatch.alarms.alarm import AlarmState, CompositeAlarm, StateValue
from inservice.cloudwatch.alarms.errors import AlarmRefused
from inservice.cloudwatch.alarms.reasons import entered, timestamp
from inservice.values import Instant

ALARMS_MAX = 100
ELEMENTS_MAX = 500
NESTING_MAX = 100
"""Parentheses and NOTs in one another. AWS names no limit but ELEMENTS_MAX; a rule of thousands of
opening parentheses must not exhaust our stack."""

States = Mapping[str, StateValue]
"""Alarm name → its state. An alarm that is gone is in no state."""

_TOKEN = re.compile(r'\s*(?:(?P<quoted>"(?:\\["\\]|[^"])*")|(?P<mark>[(),])|(?P<word>[^\s(),"]+))')
_ARN = re.compile(r"arn:[^:]+:cloudwatch:[^:]*:[^:]*:alarm:(?P<name>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that parsed: the alarms it asks about, and what it says of their states."""

    alarms: tuple[str, ...]  # names, each once, in order of appearance
    holds: Callable[[States], bool]


@functools.lru_cache(maxsize=1_024)
def parse(text: str) -> Rule:
    """Read an AlarmRule. Raises AlarmRefused, naming what is wrong with it."""
    reader = _Reader(text)
    holds = reader.rule(0)
    reader.finish()
    if len(reader.names) > ALARMS_MAX:
        raise AlarmRefused(f"AlarmRule must not contain more than {ALARMS_MAX} alarms")
    return Rule(tuple(reader.names), holds)


def alarm_name(reference: str) -> str:
    """The name in a reference that is a name or an alarm's ARN."""
    arn = _ARN.fullmatch(reference)
    return arn["name"] if arn else reference


class _Reader:
    """Recursive descent over the tokens of one rule; each method is a line of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._elements = 0
        self.names: dict[str, None] = {}

    def rule(self, depth: int) -> Callable[[States], bool]:
        parts = [self._all(depth)]
        while self._takes("OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else lambda states: any(part(states) for part in parts)

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise AlarmRefused(f"AlarmRule has an unexpected '{self._tokens[self._at]}'")

    def _all(self, depth: int) -> Callable[[States], bool]:
        parts = [self._one(depth)]
        while self._takes("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda states: all(part(states) for part in parts)

    def _one(self, depth: int) -> Callable[[States], bool]:
        if depth > NESTING_MAX:
            raise AlarmRefused(f"AlarmRule nests more than {NESTING_MAX} deep")
        if self._takes("NOT"):
            inner = self._one(depth + 1)
            return lambda states: not inner(states)
        self._count()
        if self._takes("("):
            inner = self.rule(depth + 1)
            self._expect(")")
            return inner
        if self._takes("TRUE"):
            return lambda _: True
        if self._takes("FALSE"):
            return lambda _: False
        if self._takes("AT_LEAST"):
            return self._at_least()
        wanted = self._state()
        self._expect("(")
        name = self._alarm()
        self._expect(")")
        return lambda states: states.get(name) is wanted

    def _at_least(self) -> Callable[[States], bool]:
        self._expect("(")
        threshold = self._next()
        self._expect(",")
        negated = self._takes("NOT")
        wanted = self._state()
        self._expect(",")
        self._expect("(")
        names = [self._alarm()]
        while self._takes(","):
            names.append(self._alarm())
        self._expect(")")
        self._expect(")")
        needed = _needed(threshold, len(names))
        return lambda states: (
            sum((states.get(name) is wanted) is not negated for name in names) >= needed
        )

    def _state(self) -> StateValue:
        word = self._next()
        if word not in StateValue.__members__:
            raise AlarmRefused(f"AlarmRule has an unexpected '{word}'")
        return StateValue(word)

    def _alarm(self) -> str:
        word = self._next()
        if word in ("(", ")", ","):
            raise AlarmRefused("AlarmRule has a function without an alarm")
        if word.startswith('"'):
            word = re.sub(r'\\(["\\])', r"\1", word[1:-1])
        name = alarm_name(word)
        self.names[name] = None
        return name

    def _count(self) -> None:
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            raise AlarmRefused(f"AlarmRule must not contain more than {ELEMENTS_MAX} elements")

    def _takes(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at].upper() == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._takes(token):
            raise AlarmRefused(f"AlarmRule lacks a '{token}' at word {self._at + 1}")

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise AlarmRefused("AlarmRule ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise AlarmRefused(f"AlarmRule cannot be read at character {at + 1}")
        found.append(match["quoted"] or match["mark"] or match["word"])
        at = match.end()
    return found


def _needed(threshold: str, of: int) -> int:
    digits = threshold.removesuffix("%")
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
    limit = 100 if threshold.endswith("%") else of
    if not 1 <= number <= limit:
        raise AlarmRefused(f"AT_LEAST needs 1 to {limit}, not '{threshold}'")
    return math.ceil(number * of / 100) if threshold.endswith("%") else number


def evaluate_composite(
    alarm: CompositeAlarm, states: Mapping[str, AlarmState], arns: Mapping[str, str], now: Instant
) -> AlarmState:
    """The state of a composite alarm; `alarm.state` itself when nothing changes.

    It is in INSUFFICIENT_DATA only before its first evaluation. A state that SetAlarmState gave it
    stands until one of its alarms changes: AWS's rule, and what lets a rollback be rehearsed with a
    composite. `arns` gives the ARN of each alarm named in the rule, for the reason.
    """
    if alarm.state.was_set and all(s.since <= alarm.state.since for s in states.values()):
        return alarm.state
    rule = parse(alarm.rule)
    holds = rule.holds({name: state.value for name, state in states.items()})
    value = StateValue.ALARM if holds else StateValue.OK
    if value is alarm.state.value:
        return alarm.state
    known = [name for name in rule.alarms if name in states]
    if not known:
        return entered(alarm.state, value, f"{alarm.rule} is {str(holds).upper()}", "", now)
    latest = max(known, key=lambda name: states[name].since)
    reason = (
        f"{arns[latest]} transitioned to {states[latest].value} "
        f"at {timestamp(states[latest].since)}"
    )
    triggering = [
        {
            "arn": arns[name],
            "state": {"value": states[name].value, "timestamp": timestamp(states[name].since)},
        }
        for name in known[:10]
    ]
    facts = json.dumps({"triggeringAlarms": triggering}, separators=(",", ":"))
    return entered(alarm.state, value, reason, facts, now)


def suppressed_by(alarm: CompositeAlarm, suppressor: AlarmState | None, now: Instant) -> str | None:
    """What holds back the actions of a composite alarm now: AWS's ActionsSuppressedBy, or None.

    Alarm: the suppressor is in ALARM. ExtensionPeriod: it was until a moment ago. WaitPeriod: the
    composite has just changed and the suppressor is still given time to follow.
    """
    if suppressor is None:
        return None
    if suppressor.value is StateValue.ALARM:
        return "Alarm"
    if suppressor.last_alarm_at and now < suppressor.last_alarm_at + alarm.extension_seconds:
        return "ExtensionPeriod"
    if now < alarm.state.since + alarm.wait_seconds:
        return "WaitPeriod"
    return None
