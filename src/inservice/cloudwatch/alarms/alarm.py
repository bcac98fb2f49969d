"""What an alarm is.

An alarm's `document` is what the caller put, in AWS's own member names, and is what DescribeAlarms
echoes. `MetricAlarm` and `CompositeAlarm` are what is computed with.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from inservice.values import Instant


class StateValue(StrEnum):
    """AWS's three states. Only ALARM trips a deployment."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(StrEnum):
    """TreatMissingData: what a period without data counts as, when it has to count."""

    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"
    IGNORE = "ignore"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One period's value. `at` is where the period starts."""

    at: Instant
    value: float
    sample_count: float | None = None  # None for a metric math result
    lower: float | None = None  # a band's borders, when the threshold is a band
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison operator: how it decides and how it is said."""

    words: str
    breaches: Callable[[Datapoint, float], bool]
    needs_band: bool = False


def _with_threshold(words: str, compare: Callable[[float, float], bool]) -> Comparison:
    return Comparison(words, lambda point, threshold: compare(point.value, threshold))


def _below(point: Datapoint, _: float) -> bool:
    return point.lower is not None and point.value < point.lower


def _above(point: Datapoint, _: float) -> bool:
    return point.upper is not None and point.value > point.upper


COMPARISONS: Mapping[str, Comparison] = MappingProxyType(
    {
        "GreaterThanOrEqualToThreshold": _with_threshold(
            "greater than or equal to the threshold", operator.ge
        ),
        "GreaterThanThreshold": _with_threshold("greater than the threshold", operator.gt),
        "LessThanThreshold": _with_threshold("less than the threshold", operator.lt),
        "LessThanOrEqualToThreshold": _with_threshold(
            "less than or equal to the threshold", operator.le
        ),
        "LessThanLowerThreshold": Comparison(
            "less than the lower threshold", _below, needs_band=True
        ),
        "GreaterThanUpperThreshold": Comparison(
            "greater than the upper threshold", _above, needs_band=True
        ),
        "LessThanLowerOrGreaterThanUpperThreshold": Comparison(
            "less than the lower or greater than the upper threshold",
            lambda point, _: _below(point, _) or _above(point, _),
            needs_band=True,
        ),
    }
)
"""The value is the first operand: `value > threshold`."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """Where an alarm stands and why."""

    value: StateValue = StateValue.INSUFFICIENT_DATA
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str = ""  # JSON, or nothing
    since: Instant = 0.0  # when `value` last changed
    last_alarm_at: Instant = 0.0  # when it was last seen to leave ALARM; 0: never
    was_set: bool = False  # by SetAlarmState; an evaluation that moves the alarm clears it


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Time after creation in which an alarm without data is not evaluated."""

    until: Instant
    wait_it_out: bool  # else it ends as soon as one whole window of data exists


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm over one metric, or over one metric math expression."""

    name: str
    period_seconds: int
    evaluation_periods: int  # N
    datapoints_to_alarm: int  # M, at most N
    comparison: str
    threshold: float | None  # None exactly when the comparison needs a band
    missing: Missing = Missing.MISSING
    statistic: str = ""  # as given: "Sum", "p99"; empty for metric math
    unit: str = ""
    ignores_low_samples: bool = False  # EvaluateLowSampleCountPercentile = ignore
    wall_clock_offset: int | None = None  # seconds east of UTC; None: a sliding window
    warm_up: WarmUp | None = None
    state: AlarmState = field(default_factory=AlarmState)


@dataclass(frozen=True, slots=True)
class CompositeAlarm:
    """An alarm over other alarms."""

    name: str
    rule: str  # an AlarmRule that parses
    suppressor: str = ""  # name of the alarm that silences the actions
    wait_seconds: int = 0  # how long the suppressor is waited for
    extension_seconds: int = 0  # how long it silences after it left ALARM
    state: AlarmState = field(default_factory=AlarmState)
