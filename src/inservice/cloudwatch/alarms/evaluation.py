"""Evaluation: a window of datapoints becomes a state.

How to think about it. Time is cut into periods. An alarm wants N of them (EvaluationPeriods) and is
given a few more, the *evaluation range*, in case the newest are empty. Then:

1. N or more of them have data: the newest N with data decide, and TreatMissingData is not asked.
2. Fewer: all that have data count, and the rest of N is filled in as TreatMissingData says.
   Filling never outvotes data: at most N are counted.
3. M of those N breach (DatapointsToAlarm): ALARM. Otherwise OK.

`missing` and `ignore` cannot be filled in as good or bad, so they have rules of their own: a period
within the threshold settles on OK; with nothing but breaching periods it depends on how long ago
the first of them was. One that is M periods old, with nothing good since, is an alarm for `missing`
(so sparse data does alarm in the end); a younger one is not, because the next datapoint may be good
(this is AWS's guard against premature alarms). `ignore` keeps the state the alarm has.

Source: CloudWatch's guide, "How alarm state is evaluated when data is missing". Its tables are in
the tests, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inservice.cloudwatch.alarms.alarm import (
    COMPARISONS,
    AlarmState,
    Datapoint,
    MetricAlarm,
    Missing,
    StateValue,
)
from inservice.cloudwatch.alarms.reasons import explain
from inservice.values import Instant

EXTRA_PERIODS = 2
"""How many periods the evaluation range has beyond N. AWS says only that it is "higher" than N; its
one example is 5 for N = 3."""

HOUR = 3_600
DAY = 86_400
MONDAY = 4 * DAY
"""1970-01-05: weeks of a wall clock window begin on Monday."""


@dataclass(frozen=True, slots=True)
class Window:
    """The evaluation range: `periods` periods, the last of which ends at `end`, exclusive."""

    end: Instant
    period_seconds: int
    periods: int

    @property
    def start(self) -> Instant:
        """Where the oldest period starts."""
        return self.end - self.period_seconds * self.periods

    def slots(self, datapoints: Iterable[Datapoint]) -> list[Datapoint | None]:
        """The datapoints in their periods, oldest first; None where there is none."""
        slots: list[Datapoint | None] = [None] * self.periods
        for point in datapoints:
            index = int((point.at - self.start) // self.period_seconds)
            if 0 <= index < self.periods:
                slots[index] = point
        return slots


def interval_seconds(alarm: MetricAlarm) -> int:
    """How often the alarm is evaluated: 10 s below a minute's period, hourly beyond a day."""
    if alarm.period_seconds < 60:
        return 10
    if alarm.period_seconds * alarm.evaluation_periods > DAY:
        return HOUR
    return 60


def window(alarm: MetricAlarm, now: Instant) -> Window:
    """What an evaluation at `now` looks at. Only periods that are over count.

    A sliding window ends at the last ten seconds, minute or hour, whichever is the alarm's pace. A
    wall clock window ends where a calendar period ended and has no extra periods.
    """
    if alarm.wall_clock_offset is None:
        step = interval_seconds(alarm)
        end = now // step * step
        return Window(end, alarm.period_seconds, alarm.evaluation_periods + EXTRA_PERIODS)
    shift = alarm.wall_clock_offset
    if alarm.period_seconds == 7 * DAY:
        shift -= MONDAY
    end = (now + shift) // alarm.period_seconds * alarm.period_seconds - shift
    return Window(end, alarm.period_seconds, alarm.evaluation_periods)


def evaluate(alarm: MetricAlarm, datapoints: Iterable[Datapoint], now: Instant) -> AlarmState:
    """The state of the alarm at `now`; `alarm.state` itself when nothing changes.

    `datapoints` are those of `window(alarm, now)`, in any order. A reason is written only when the
    value changes, as AWS does: StateReason explains the last transition.
    """
    slots = window(alarm, now).slots(datapoints)
    if _is_warming_up(alarm, slots, now):
        return alarm.state
    real = [point for point in slots if point is not None][-alarm.evaluation_periods :]
    if real and _too_few_samples(alarm, real):
        return alarm.state
    value = verdict(alarm, [None if p is None else breaches(alarm, p) for p in slots])
    if value is None or value is alarm.state.value:
        return alarm.state
    return explain(alarm, real, value, now, breaching=[p for p in real if breaches(alarm, p)])


def breaches(alarm: MetricAlarm, point: Datapoint) -> bool:
    """Whether a datapoint is on the wrong side of the threshold."""
    comparison = COMPARISONS[alarm.comparison]
    return comparison.breaches(point, 0.0 if alarm.threshold is None else alarm.threshold)


def verdict(alarm: MetricAlarm, slots: Sequence[bool | None]) -> StateValue | None:
    """The state that breaching (True), good (False) and empty (None) periods mean, oldest first.

    None: whatever it is now.
    """
    wanted, needed = alarm.evaluation_periods, alarm.datapoints_to_alarm
    real = [slot for slot in slots if slot is not None][-wanted:]
    bad = sum(real)
    to_fill = wanted - len(real)
    if bad >= needed:
        return StateValue.ALARM
    if to_fill == 0:
        return StateValue.OK
    if alarm.missing is Missing.BREACHING:
        return StateValue.ALARM if bad + to_fill >= needed else StateValue.OK
    if alarm.missing is Missing.NOT_BREACHING or not all(real):
        return StateValue.OK
    if alarm.missing is Missing.IGNORE:
        return None
    if real and len(slots) - slots.index(True) >= needed:
        return StateValue.ALARM
    return StateValue.INSUFFICIENT_DATA


def _is_warming_up(alarm: MetricAlarm, slots: Sequence[Datapoint | None], now: Instant) -> bool:
    """Warm-up ends early once a datapoint is newest and the data span one whole window."""
    if alarm.warm_up is None or now >= alarm.warm_up.until:
        return False
    if alarm.warm_up.wait_it_out:
        return True
    first = next((n for n, slot in enumerate(slots) if slot is not None), len(slots))
    return slots[-1] is None or len(slots) - first < alarm.evaluation_periods


def _too_few_samples(alarm: MetricAlarm, real: Sequence[Datapoint]) -> bool:
    """Whether a percentile rests on too few samples to mean anything.

    AWS's rule: fewer than 10/(1-p) samples during the evaluation periods, for p of at least one
    half; fewer than 10/p below it. For p99 that is 1,000.
    """
    if not alarm.ignores_low_samples or not alarm.statistic.startswith("p"):
        return False
    fraction = float(alarm.statistic[1:]) / 100
    rare = 1 - fraction if fraction >= 0.5 else fraction
    enough = 10 / rare if rare > 0 else 0.0
    return sum(point.sample_count or 0 for point in real) < enough - 1e-6
