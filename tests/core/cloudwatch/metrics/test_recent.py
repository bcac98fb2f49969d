"""The rate of a fleet at a glance: true in its second second, and when its traffic is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.sketches import bin_of
from inservice.telemetry.recent import WINDOW_SECONDS, RecentTraffic

STEP = "a1-2/1"


def row(
    at: float, sent: int, *, step: str = STEP, errors: int = 0, micros: int = 2000
) -> InvocationRow:
    latency = (sent, float(sent * micros), float(micros), float(micros), [bin_of(micros), sent])
    return InvocationRow(
        *("0", "r", "e", "v", "a1-2-v", "c2", step, at),
        invocations=sent,
        model_errors=errors,
        model_latency=latency if sent else (0, 0.0, 0.0, 0.0, []),
    )


def steady(begin: int, end: int, each: int, *, phase: float = 0.0) -> Iterator[InvocationRow]:
    """What one worker tells, once a second, of a fleet that is sent `each` a second."""
    for second in range(begin + 1, end + 1):
        yield row(second + phase, each)


@pytest.mark.parametrize("age", [1, 2, 3, 9, 10, 40])
def test_a_rate_is_over_the_age_of_the_step_and_over_the_window_at_most(age: int) -> None:
    recent = RecentTraffic(0.0)
    recent.add(steady(1000, 1000 + age, 30))
    seen = recent.of("a1-2-v", STEP, since=1000.0, now=1000.4 + age)
    assert seen.requests_per_second == pytest.approx(30.0, rel=0.11)
    assert seen.seconds <= WINDOW_SECONDS


@pytest.mark.parametrize("age", [2, 3, 10, 40])
def test_workers_tell_in_phases_of_their_own(age: int) -> None:
    recent = RecentTraffic(0.0)
    for phase in (0.0, 0.6):
        recent.add(steady(1000, 1000 + age, 15, phase=phase))
    seen = recent.of("a1-2-v", STEP, since=1000.0, now=1000.7 + age)
    assert seen.requests_per_second == pytest.approx(30.0, rel=0.25)


def test_what_another_step_sent_is_not_this_ones() -> None:
    """A fleet that has lost its traffic shows none, though it had much two seconds ago."""
    recent = RecentTraffic(0.0)
    recent.add(steady(1000, 1010, 500))
    after = recent.of("a1-2-v", "a1-2/2", since=1010.0, now=1011.0)
    assert (after.requests_per_second, after.error_percent, after.p50_ms) == (0.0, None, None)


def test_a_fleet_that_is_asked_no_more_falls_to_zero() -> None:
    recent = RecentTraffic(0.0)
    recent.add(steady(1000, 1010, 10))
    rates = [
        recent.of("a1-2-v", STEP, since=900.0, now=1010.0 + later).requests_per_second
        for later in (0.5, 3.0, 6.0, 9.0, 10.0)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.0


def test_errors_are_those_of_the_answers_and_of_the_gateway() -> None:
    recent = RecentTraffic(0.0)
    recent.add([row(1001.0, 3, errors=3)])
    assert recent.of("a1-2-v", STEP, since=1000.0, now=1001.0).error_percent == 100.0
    refused = InvocationRow("0", "r", "e", "v", "a1-2-v", "c2", STEP, 1002.0, gateway_errors=1)
    recent.add([row(1002.0, 3), refused])
    seen = recent.of("a1-2-v", STEP, since=1001.5, now=1002.0)
    assert (seen.error_percent, seen.requests_per_second) == (25.0, 4.0)


def test_latency_is_what_the_model_took() -> None:
    recent = RecentTraffic(0.0)
    recent.add([row(1001.0, 98), row(1001.0, 2, micros=900_000)])
    seen = recent.of("a1-2-v", STEP, since=1000.0, now=1001.0)
    assert seen.p50_ms == pytest.approx(2.0, rel=0.02)
    assert seen.p99_ms == pytest.approx(900.0, rel=0.02)


def test_a_control_that_was_started_again_does_not_count_what_it_was_not_told() -> None:
    """The window of ten seconds is not full yet: the rate is over what is known."""
    recent = RecentTraffic(1008.0)
    recent.add(steady(1000, 1010, 30))
    assert recent.of("a1-2-v", STEP, since=900.0, now=1010.2).requests_per_second == 30.0


def test_only_fleets_that_were_asked_lately_are_remembered() -> None:
    recent = RecentTraffic(0.0)
    for number in range(500):
        fleet = InvocationRow("0", "r", "e", "v", f"f{number}", "c", STEP, 1000.0 + number)
        recent.add([fleet])
    assert recent.of("f0", STEP, since=0.0, now=1000.0).requests_per_second == 0.0
    assert len(recent._rows) <= 14
