"""Instances that take their time, and one that is late among others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.deployment.stage import Stage

from inservice.deployment.advance import advance
from inservice.deployment.facts import Facts, FleetFacts, Gone
from inservice.deployment.state import Attempts, Phase
from inservice.deployment.trouble import (
    LONG_LIFE_SECONDS,
    SERVED_SECONDS,
    START_ATTEMPTS,
    cannot_start,
    count_deaths,
)
from inservice.deployment.views.describe import describe
from inservice.deployment.waits import TOLD_AFTER_SECONDS


def staged(*lines: str) -> Stage:
    stage = Stage()
    for line in lines:
        list(stage.perform(line))
    return stage


def advanced(stage: Stage, seen: FleetFacts, now: float) -> list[str]:
    """The messages of one turn that sees this of the one fleet."""
    assert stage.endpoint
    assert stage.deployment
    (fleet,) = (f.id for f in stage.deployment.new)
    facts = Facts({fleet: seen}, {}, watcher="w")
    decision = advance(stage.endpoint, stage.deployment, facts, now)
    stage.endpoint, stage.deployment = decision.endpoint, decision.deployment
    return [event.message for event in decision.events]


def test_a_launch_that_waits_for_the_host_is_told_once_for_each_reason() -> None:
    stage = staged("create old v=2")
    short = FleetFacts(starting={0: 0.0, 1: 0.0}, notes={0: "no processes", 1: "no processes"})
    told = advanced(stage, short, 1.0)
    assert told == [f"Instance g-1-v/{n} cannot be launched yet: no processes." for n in (0, 1)]
    assert advanced(stage, short, 2.0) == []
    other = replace(short, notes={0: "no disk space"})
    assert advanced(stage, other, 3.0) == [
        "Instance g-1-v/0 cannot be launched yet: no disk space."
    ]
    assert advanced(stage, FleetFacts(starting={0: 1.0, 1: 1.0}), 4.0) == []
    assert stage.deployment
    assert stage.deployment.waits == {}
    assert stage.deployment.phase is Phase.CREATING, "a shortage fails nothing"


BUILDS = "building the environment of pytorch"


def building(done: str, phase: str | None = BUILDS) -> FleetFacts:
    notes = dict.fromkeys((0, 1), f"{BUILDS}: {done}")
    return FleetFacts(starting={0: 0.0, 1: 0.0}, notes=notes, phase=phase)


def test_a_long_phase_of_a_launch_is_told_at_its_begin_and_at_its_end() -> None:
    stage = staged("create old v=2")
    assert advanced(stage, building("resolving"), 1.0) == [f"Fleet g-1-v: {BUILDS}."]
    for second in range(2, 600):
        assert advanced(stage, building(f"installing {second}"), float(second)) == []
    # Control began anew in the middle: nothing is under way yet, then it is again, and builds.
    assert advanced(stage, FleetFacts(), 600.0) == []
    assert advanced(stage, FleetFacts(starting={0: 0.0, 1: 0.0}), 601.0) == []
    assert advanced(stage, building("resolving"), 603.0) == []
    begun = FleetFacts(starting={0: 0.5, 1: 0.0})
    assert advanced(stage, begun, 700.0) == [f"Fleet g-1-v: {BUILDS} is done."]
    assert stage.deployment
    assert stage.deployment.phases == {}
    assert stage.deployment.phase is Phase.CREATING, "ten minutes of building fail nothing"


def test_of_two_long_phases_the_first_is_over_when_the_second_begins() -> None:
    stage = staged("create old v=2")
    advanced(stage, building("resolving"), 1.0)
    installs = "installing what code/requirements.txt names"
    assert advanced(stage, building("3 of 4", phase=installs), 2.0) == [
        f"Fleet g-1-v: {BUILDS} is done.",
        f"Fleet g-1-v: {installs}.",
    ]


def test_a_build_that_the_host_has_no_room_for_is_told_once_however_often_it_is_tried() -> None:
    stage = staged("create old v=1")
    seen = FleetFacts(starting={0: 0.0}, notes={0: "no disk space"})
    told = []
    for second in range(1, 1000, 20):
        told += advanced(stage, seen, float(second))
        told += advanced(stage, building("resolving"), float(second + 10))
    assert told == [
        "Instance g-1-v/0 cannot be launched yet: no disk space.",
        f"Fleet g-1-v: {BUILDS}.",
    ]


def test_a_build_that_fails_is_not_told_to_be_done() -> None:
    stage = staged("create old v=2")
    advanced(stage, building("resolving"), 1.0)
    told = advanced(stage, FleetFacts(failure="No matching distribution found."), 2.0)
    assert told == ["The endpoint could not be created."]
    assert stage.endpoint
    assert stage.endpoint.failure_reason == "No matching distribution found."


def test_describe_shows_how_far_a_build_is() -> None:
    stage = staged("create old v=2")
    assert stage.endpoint
    assert stage.deployment
    facts = Facts({"g-1-v": building("installing 23 packages")})
    shown = describe(stage.endpoint, stage.deployment, facts)
    (variant,) = shown["PendingDeploymentSummary"]["ProductionVariants"]
    (status,) = variant["VariantStatus"]
    assert f"Instance 0: {BUILDS}: installing 23 packages." in status["StatusMessage"]


def test_a_model_that_loads_for_long_is_told_of_less_and_less_often() -> None:
    stage = staged("create old v=1")
    told = {}
    for second in range(1, 400, 5):
        seen = FleetFacts(
            starting={0: float(second)}, notes={0: f'waiting: last line "block {second}"'}
        )
        for message in advanced(stage, seen, float(second)):
            told[second] = message
    assert list(told) == [31, 61, 121, 241]
    assert told[61] == (
        'Instance g-1-v/0 has been starting for 61 s; waiting: last line "block 61".'
    )
    assert min(told) > TOLD_AFTER_SECONDS


def test_describe_shows_what_an_instance_that_starts_said_last() -> None:
    stage = staged("create old v=5")
    assert stage.endpoint
    assert stage.deployment
    notes = {n: f'waiting: last line "loading weights {n}"' for n in range(5)}
    facts = Facts({"g-1-v": FleetFacts(starting=dict.fromkeys(range(5), 3.0), notes=notes)})
    shown = describe(stage.endpoint, stage.deployment, facts)
    (variant,) = shown["PendingDeploymentSummary"]["ProductionVariants"]
    message = variant["VariantStatus"][0]["StatusMessage"]
    assert message.startswith('Launching 5 instance(s). Instance 0: waiting: last line "loading')
    assert len(message) <= 1024


def test_one_late_instance_condemns_no_other() -> None:
    """On the way back three of four are needed; one is late, the others have just been launched."""
    stage = staged("create old v=4", "after 5", "update new v=4", "hangs new", "after 1")
    assert stage.deployment
    wants = tuple(
        replace(want, ready=3) if want.fleet == "g-1-v" else want
        for want in stage.deployment.step.wants
    )
    step = replace(stage.deployment.step, wants=wants)
    deployment = replace(stage.deployment, plan=(step,), row=0, phase=Phase.ROLLING_BACK)
    late = FleetFacts(starting={0: 10_000.0, 1: 3.0, 2: 3.0, 3: 3.0}, late={0: "0 hangs"})
    assert cannot_start(deployment, Facts({"g-1-v": late})) is None
    two = replace(
        late, starting={**late.starting, 1: 10_000.0}, late={0: "0 hangs", 1: "so does 1"}
    )
    assert cannot_start(deployment, Facts({"g-1-v": two})) == "0 hangs"


def test_an_ill_instance_brings_what_is_known_of_it_into_the_reason() -> None:
    stage = staged("create old v=1", "after 5", "update new v=1 " + HELD, "after 10")
    assert stage.endpoint
    assert stage.deployment
    facts = stage.world.look()
    ill = FleetFacts(unhealthy={0: 31.0}, notes={0: "Pings: no answer to 31 pings."})
    facts = replace(facts, fleets={**facts.fleets, "g-2-v": ill})
    decision = advance(stage.endpoint, stage.deployment, facts, stage.world.now)
    assert decision.deployment.phase is Phase.ROLLING_BACK
    assert decision.endpoint.failure_reason == (
        "The deployment was rolled back: instance 0 of the new fleet of variant v has failed its "
        "health check for 31 seconds. Pings: no answer to 31 pings."
    )


def test_one_that_is_replaced_while_it_runs_says_why() -> None:
    stage = staged("create old v=3", "after 5")
    ill = FleetFacts(
        ready=frozenset({0}),
        unhealthy={1: 31.0},
        starting={2: 10_000.0},
        notes={1: "Pings: timed out."},
        late={2: "It ran for 10000 s."},
    )
    assert advanced(stage, ill, 9.0) == [
        "Instance g-1-v/1 has failed its health check for 31 s; replacing it.",
        "Instance g-1-v/2 was not ready within 480 s; replacing it.",
    ]
    gone = replace(ill, unhealthy={}, starting={}, draining=frozenset({1, 2}))
    assert advanced(stage, gone, 10.0) == []


HELD = (
    '{"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 600, "TrafficRoutingConfiguration": '
    '{"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}}'
)


@pytest.mark.parametrize(
    ("served", "count"),
    [(0.0, START_ATTEMPTS), (SERVED_SECONDS / 2, START_ATTEMPTS), (SERVED_SECONDS, 0)],
)
def test_only_deaths_without_having_served_add_up(served: float, count: int) -> None:
    stage = staged("create old v=1", "after 5")
    assert stage.deployment
    before = replace(stage.deployment, attempts={"g-1-v/0": Attempts(1, 1.0, 1.0)})
    facts = Facts({"g-1-v": FleetFacts(gone={0: Gone("it died", 7.0, "it died", served)})})
    after = count_deaths(before, facts, 10.0).attempts["g-1-v/0"]
    assert (after.count, after.launch_at) == (count, 12.0 if count else 10.0)


@pytest.mark.parametrize("started_at", [-90_000.0, 7.0, 90_000.0])
def test_a_crash_loop_is_told_by_how_long_its_instances_lived(started_at: float) -> None:
    """And not by their dates: those are the machine's, which somebody may have set meanwhile."""
    stage = staged("create old v=1", "after 5")
    assert stage.deployment
    before = replace(stage.deployment, attempts={"g-1-v/0": Attempts(1, 1.0, 1.0)})
    short = Gone("it died", started_at, "it died", 0.0, lived_seconds=2.0)
    facts = Facts({"g-1-v": FleetFacts(gone={0: short})})
    assert count_deaths(before, facts, 10.0).attempts["g-1-v/0"].count == START_ATTEMPTS
    long = replace(short, lived_seconds=LONG_LIFE_SECONDS + 1)
    facts = Facts({"g-1-v": FleetFacts(gone={0: long})})
    assert count_deaths(before, facts, 10.0).attempts["g-1-v/0"].count == 1
