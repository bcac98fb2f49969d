"""Why an alarm is in its state: AWS's sentences, and the JSON beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from inservice.cloudwatch.alarms.alarm import (
    COMPARISONS,
    AlarmState,
    Datapoint,
    MetricAlarm,
    Missing,
    StateValue,
)
from inservice.values import Instant

REASON_CHARACTERS_MAX = 1_023
REASON_DATA_CHARACTERS_MAX = 4_000
LISTED_MAX = 100
"""How many datapoints a reason lists; the limits of both fields are AWS's."""

_FILLED_AS = {Missing.BREACHING: "Breaching", Missing.NOT_BREACHING: "NonBreaching"}


def explain(
    alarm: MetricAlarm,
    real: Sequence[Datapoint],
    value: StateValue,
    now: Instant,
    breaching: Sequence[Datapoint],
) -> AlarmState:
    """The state `value`, entered at `now` because of `real`, the datapoints that were counted."""
    return entered(
        alarm.state, value, _sentence(alarm, real, value, breaching), _json(alarm, real, now), now
    )


def entered(
    before: AlarmState, value: StateValue, reason: str, reason_data: str, now: Instant
) -> AlarmState:
    """The state after a move to `value`. Remembers when ALARM was last left."""
    left_alarm = before.value is StateValue.ALARM and value is not StateValue.ALARM
    return AlarmState(
        value=value,
        reason=reason[:REASON_CHARACTERS_MAX],
        reason_data=reason_data,
        since=before.since if value is before.value and before.since else now,
        last_alarm_at=now if left_alarm else before.last_alarm_at,
    )


def _sentence(
    alarm: MetricAlarm,
    real: Sequence[Datapoint],
    value: StateValue,
    breaching: Sequence[Datapoint],
) -> str:
    wanted = alarm.evaluation_periods
    missing = wanted - len(real)
    if value is StateValue.INSUFFICIENT_DATA:
        return f"Insufficient Data: {_count(missing, 'datapoint was', 'datapoints were')} unknown."
    filled = _FILLED_AS.get(alarm.missing)
    if not real:
        periods = _count(wanted, "period", "periods")
        points = _count(missing, "missing datapoint was", "missing datapoints were")
        return (
            f"Threshold Crossed: no datapoints were received for {periods} and {points} "
            f"treated as [{filled}]."
        )
    crossed = value is StateValue.ALARM
    shown = breaching if crossed else [point for point in real if point not in breaching]
    move = "OK -> ALARM" if crossed else "ALARM -> OK"
    minimum = alarm.datapoints_to_alarm if crossed else wanted - alarm.datapoints_to_alarm + 1
    verb = "was" if len(shown) == 1 else "were"
    sentence = (
        f"Threshold Crossed: {len(shown)} out of the last {wanted} datapoints "
        f"[{_listed(shown)}] {verb} {'' if crossed else 'not '}{_limit(alarm)} "
        f"(minimum {_count(minimum, 'datapoint', 'datapoints')} for {move} transition)."
    )
    if missing and filled:
        points = _count(missing, "missing datapoint was", "missing datapoints were")
        sentence = f"{sentence[:-1]}, and {points} treated as [{filled}]."
    return sentence


def _limit(alarm: MetricAlarm) -> str:
    words = COMPARISONS[alarm.comparison].words
    return words if alarm.threshold is None else f"{words} ({alarm.threshold!r})"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _listed(points: Sequence[Datapoint]) -> str:
    newest_first = list(reversed(points))[:LISTED_MAX]
    return ", ".join(f"{point.value!r} ({_clock(point.at)})" for point in newest_first)


def _clock(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d/%m/%y %H:%M:%S")


def timestamp(at: Instant) -> str:
    """A time as reason data and notifications write it: 2026-11-23T18:05:00.000+0000."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _json(alarm: MetricAlarm, real: Sequence[Datapoint], now: Instant) -> str:
    """StateReasonData. Datapoints are dropped from it, oldest first, until it fits AWS's limit."""
    kept = list(real[-LISTED_MAX:])
    while True:
        facts: dict[str, object] = {"version": "1.0", "queryDate": timestamp(now)}
        if kept:
            facts["startDate"] = timestamp(kept[0].at)
        if alarm.unit:
            facts["unit"] = alarm.unit
        if alarm.statistic:
            facts["statistic"] = alarm.statistic
        facts["period"] = alarm.period_seconds
        facts["recentDatapoints"] = [point.value for point in kept]
        if alarm.threshold is not None:
            facts["threshold"] = alarm.threshold
        facts["evaluatedDatapoints"] = [_evaluated(point) for point in reversed(kept)]
        text = json.dumps(facts, separators=(",", ":"))
        if len(text) <= REASON_DATA_CHARACTERS_MAX:
            return text
        kept = kept[len(kept) // 4 + 1 :]


def _evaluated(point: Datapoint) -> dict[str, object]:
    shown: dict[str, object] = {"timestamp": timestamp(point.at), "value": point.value}
    if point.sample_count is not None:
        shown["sampleCount"] = point.sample_count
    if point.lower is not None:
        shown["threshold"] = point.lower
    if point.upper is not None:
        shown["upperThreshold"] = point.upper
    return shown
