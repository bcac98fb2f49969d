"""Evaluation, against AWS's own tables and against a brute-force oracle over every pattern."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from inservice.cloudwatch.alarms.alarm import (
    AlarmState,
    Datapoint,
    MetricAlarm,
    Missing,
    StateValue,
    WarmUp,
)
from inservice.cloudwatch.alarms.evaluation import evaluate, interval_seconds, verdict, window

OK, ALARM, INSUFFICIENT = StateValue.OK, StateValue.ALARM, StateValue.INSUFFICIENT_DATA
KEEP = None
NOON = 1_795_435_200.0  # a whole day, hour and minute


def alarm(n: int = 1, m: int | None = None, **changes: object) -> MetricAlarm:
    made = MetricAlarm(
        name="errors",
        period_seconds=60,
        evaluation_periods=n,
        datapoints_to_alarm=m or n,
        comparison="GreaterThanOrEqualToThreshold",
        threshold=1.0,
        statistic="Sum",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def slots(pattern: str) -> list[bool | None]:
    return [{"X": True, "0": False, "-": None}[sign] for sign in pattern]


TREATMENTS = (Missing.MISSING, Missing.IGNORE, Missing.BREACHING, Missing.NOT_BREACHING)

# CloudWatch's guide, "How alarm state is evaluated when data is missing": both tables, every row.
# The columns are those of TREATMENTS.
THREE_OF_THREE = {
    "0-X-X": (OK, OK, OK, OK),
    "0----": (OK, OK, OK, OK),
    "-----": (INSUFFICIENT, KEEP, ALARM, OK),
    "0XX-X": (ALARM, ALARM, ALARM, ALARM),
    "--X--": (ALARM, KEEP, ALARM, OK),
    # The table of an older edition, for the alarm that would be premature.
    "----X": (INSUFFICIENT, KEEP, ALARM, OK),
    "X----": (ALARM, KEEP, ALARM, OK),
}
TWO_OF_THREE = {
    "0-X-X": (ALARM, ALARM, ALARM, ALARM),
    "00X0X": (ALARM, ALARM, ALARM, ALARM),
    "0-X--": (OK, OK, ALARM, OK),
    "----0": (OK, OK, ALARM, OK),
    "---X-": (ALARM, KEEP, ALARM, OK),
}


@pytest.mark.parametrize(("n", "m", "table"), [(3, 3, THREE_OF_THREE), (3, 2, TWO_OF_THREE)])
def test_the_tables_of_the_guide(
    n: int, m: int, table: dict[str, tuple[StateValue | None, ...]]
) -> None:
    for pattern, row in table.items():
        for missing, expected in zip(TREATMENTS, row, strict=True):
            got = verdict(alarm(n, m, missing=missing), slots(pattern))
            assert got is expected, (pattern, missing)


def oracle(pattern: str, n: int, m: int, missing: Missing) -> StateValue | None:
    """The guide's rules, said in strings: reduce to N signs, then count."""
    real = pattern.replace("-", "")[-n:]
    if len(real) == n:
        return ALARM if real.count("X") >= m else OK
    blanks = n - len(real)
    if missing in (Missing.BREACHING, Missing.NOT_BREACHING):
        counted = real + ("X" if missing is Missing.BREACHING else "0") * blanks
        return ALARM if counted.count("X") >= m else OK
    if real.count("X") >= m:
        return ALARM
    if "0" in real:
        return OK
    if missing is Missing.IGNORE:
        return KEEP
    # Only breaching or missing periods. ALARM once the first breach is M periods old.
    return ALARM if "X" in pattern[: len(pattern) - m + 1] else INSUFFICIENT


@pytest.mark.parametrize("missing", list(Missing))
def test_every_pattern_of_up_to_eight_periods(missing: Missing) -> None:
    checked = 0
    for length in range(1, 9):
        patterns = ["".join(signs) for signs in itertools.product("0X-", repeat=length)]
        for n in {length, max(1, length - 2), max(1, length // 2)}:
            for m in {1, (n + 1) // 2, n}:
                subject = alarm(n, m, missing=missing)
                for pattern in patterns:
                    assert verdict(subject, slots(pattern)) is oracle(pattern, n, m, missing), (
                        pattern,
                        n,
                        m,
                    )
                    checked += 1
    assert checked > 50_000


def test_a_breach_more_never_heals_and_a_good_period_more_never_alarms() -> None:
    """Monotone: turning a good period bad cannot move ALARM to OK, for any treatment."""
    for missing, pattern in itertools.product(Missing, itertools.product("0X-", repeat=5)):
        for index in range(5):
            if pattern[index] != "0":
                continue
            worse = [*pattern]
            worse[index] = "X"
            before = verdict(alarm(3, 2, missing=missing), slots("".join(pattern)))
            after = verdict(alarm(3, 2, missing=missing), slots("".join(worse)))
            assert not (before is ALARM and after is not ALARM)


@pytest.mark.parametrize(
    ("comparison", "values"),
    [
        ("GreaterThanThreshold", {9: OK, 10: OK, 11: ALARM}),
        ("GreaterThanOrEqualToThreshold", {9: OK, 10: ALARM, 11: ALARM}),
        ("LessThanThreshold", {9: ALARM, 10: OK, 11: OK}),
        ("LessThanOrEqualToThreshold", {9: ALARM, 10: ALARM, 11: OK}),
    ],
)
def test_comparisons_take_the_value_first(comparison: str, values: dict[int, StateValue]) -> None:
    for value, expected in values.items():
        subject = alarm(comparison=comparison, threshold=10.0)
        point = Datapoint(NOON - 60, float(value))
        assert evaluate(subject, [point], NOON + 1).value is expected


@pytest.mark.parametrize(
    ("comparison", "outside"),
    [
        ("LessThanLowerThreshold", {1}),
        ("GreaterThanUpperThreshold", {9}),
        ("LessThanLowerOrGreaterThanUpperThreshold", {1, 9}),
    ],
)
def test_bands(comparison: str, outside: set[int]) -> None:
    for value in (1, 2, 5, 8, 9):
        point = Datapoint(NOON - 60, float(value), lower=2.0, upper=8.0)
        got = evaluate(alarm(comparison=comparison, threshold=None), [point], NOON).value
        assert got is (ALARM if value in outside else OK)


def test_the_reason_of_an_alarm_is_aws_s_sentence_with_the_datapoint_in_it() -> None:
    state = evaluate(alarm(), [Datapoint(NOON - 60, 5.0, 9.0)], NOON)
    assert state.reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [5.0 (23/11/26 11:59:00)] was greater "
        "than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    facts = json.loads(state.reason_data)
    assert facts["evaluatedDatapoints"] == [
        {"timestamp": "2026-11-23T11:59:00.000+0000", "value": 5.0, "sampleCount": 9.0}
    ]
    assert (facts["period"], facts["threshold"], facts["statistic"]) == (60, 1.0, "Sum")
    assert state.since == NOON


def test_reasons_for_missing_data() -> None:
    nothing = evaluate(alarm(3, missing=Missing.BREACHING), [], NOON)
    assert nothing.value is ALARM
    assert nothing.reason == (
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints "
        "were treated as [Breaching]."
    )
    was_ok = alarm(state=AlarmState(OK, since=1.0))
    gone = evaluate(was_ok, [], NOON)
    assert (gone.value, gone.reason) == (
        INSUFFICIENT,
        "Insufficient Data: 1 datapoint was unknown.",
    )


def test_a_state_that_does_not_change_keeps_its_reason_and_its_time() -> None:
    before = AlarmState(ALARM, "because", "{}", since=5.0)
    point = Datapoint(NOON - 60, 5.0)
    assert evaluate(alarm(state=before), [point], NOON) is before


def test_leaving_alarm_is_remembered() -> None:
    before = AlarmState(ALARM, since=5.0)
    after = evaluate(alarm(state=before), [Datapoint(NOON - 60, 0.0)], NOON)
    assert (after.value, after.since, after.last_alarm_at) == (OK, NOON, NOON)


@pytest.mark.parametrize(
    ("period", "n", "seconds"),
    [(10, 1, 10), (30, 5, 10), (60, 1, 60), (300, 3, 60), (3600, 48, 3600)],
)
def test_the_pace_of_evaluation(period: int, n: int, seconds: int) -> None:
    assert interval_seconds(alarm(n, period_seconds=period)) == seconds


def test_a_sliding_window_ends_at_the_minute_not_at_the_period() -> None:
    """Period 300 s: at 12:06 it covers 12:01 to 12:06 (guide, "Alarm evaluation")."""
    seen = window(alarm(1, period_seconds=300), NOON + 6 * 60 + 5)
    assert (seen.end, seen.periods) == (NOON + 360, 3)


def test_a_multi_day_alarm_sees_only_up_to_the_hour() -> None:
    assert window(alarm(48, period_seconds=3600), NOON + 120).end == NOON


def test_a_wall_clock_window_ends_where_the_calendar_period_ended() -> None:
    hour = alarm(1, period_seconds=3600, wall_clock_offset=0)
    assert (window(hour, NOON + 1800).end, window(hour, NOON + 1800).periods) == (NOON, 1)
    kolkata = alarm(1, period_seconds=86_400, wall_clock_offset=19_800)
    assert window(kolkata, NOON).end == NOON - 43_200 - 19_800
    week = window(alarm(1, period_seconds=604_800, wall_clock_offset=0), NOON)
    assert week.end == NOON - 43_200  # 23 November 2026 is a Monday


def test_datapoints_outside_the_range_do_not_count() -> None:
    old, open_now = Datapoint(NOON - 60 * 4, 9.0), Datapoint(NOON, 9.0)
    assert evaluate(alarm(), [old, open_now], NOON + 5).value is INSUFFICIENT


def test_a_percentile_of_too_few_samples_changes_nothing_when_so_asked() -> None:
    few = [Datapoint(NOON - 60, 99.0, sample_count=999)]
    enough = [Datapoint(NOON - 60, 99.0, sample_count=1000)]
    p99 = alarm(statistic="p99", ignores_low_samples=True)
    assert evaluate(p99, few, NOON) is p99.state
    assert evaluate(p99, enough, NOON).value is ALARM
    assert evaluate(replace(p99, ignores_low_samples=False), few, NOON).value is ALARM
    p10 = replace(p99, statistic="p10")  # 10 / 0.1 = 100
    assert evaluate(p10, [Datapoint(NOON - 60, 99.0, 99)], NOON) is p10.state
    assert evaluate(p10, [Datapoint(NOON - 60, 99.0, 100)], NOON).value is ALARM


def test_warm_up_holds_the_alarm_until_a_window_is_full() -> None:
    patient = alarm(
        2, warm_up=WarmUp(until=NOON + 600, wait_it_out=False), missing=Missing.BREACHING
    )
    first, second = Datapoint(NOON - 120, 9.0), Datapoint(NOON - 60, 9.0)
    assert evaluate(patient, [], NOON) is patient.state
    assert evaluate(patient, [second], NOON) is patient.state
    assert evaluate(patient, [first, second], NOON).value is ALARM
    stubborn = replace(patient, warm_up=WarmUp(until=NOON + 600, wait_it_out=True))
    assert evaluate(stubborn, [first, second], NOON) is stubborn.state
    assert evaluate(stubborn, [], NOON + 600).value is ALARM


def test_reason_data_stays_within_aws_s_limit() -> None:
    many = [Datapoint(NOON - 60 * (n + 1), 1e17 / 3, 1e6) for n in range(500)]
    state = evaluate(alarm(500), many, NOON)
    assert state.value is ALARM
    assert len(state.reason_data) <= 4_000
    assert json.loads(state.reason_data)["evaluatedDatapoints"]
    assert len(state.reason) <= 1_023
