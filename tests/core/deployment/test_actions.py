"""Which instances a row is made of, and who keeps their room: moments that histories seldom meet.

In the simulation it takes a thousand of them, so each has its own test here.
"""

from __future__ import annotations

import pytest

from inservice.deployment.actions import Launch, launches, surplus, wanted
from inservice.deployment.facts import Facts, FleetFacts, Gone
from inservice.deployment.plan import Doing, Step, Want

DEAD = Gone("it died", 1.0)


def step_of(size: int) -> Step:
    return Step(Doing.UPDATING, (Want("f", "v", size, 10_000, size, 60),))


@pytest.mark.parametrize(
    ("draining", "launched"),
    [({2, 3}, []), ({3}, [Launch("f", (0,))]), (set(), [Launch("f", (0, 1))])],
)
def test_who_is_being_stopped_takes_its_room_until_it_is_gone(
    draining: set[int], launched: list[Launch]
) -> None:
    """A host that is full of a fleet has no room for it twice."""
    facts = Facts({"f": FleetFacts(draining=frozenset(draining))})
    assert launches(step_of(2), facts, ()) == launched


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        (FleetFacts(ready=frozenset({3}), gone={0: DEAD, 1: DEAD}), (3, 0)),
        (FleetFacts(ready=frozenset({2, 3}), gone={0: DEAD}), (2, 3)),
        (FleetFacts(ready=frozenset({2, 3}), starting={0: 1.0, 1: 1.0}), (2, 3)),
        (FleetFacts(starting={3: 1.0}, unhealthy={0: 1.0}, gone={1: DEAD}), (3, 0)),
        (FleetFacts(ready=frozenset({0, 1}), draining=frozenset({2})), (0, 1)),
    ],
)
def test_a_fleet_shrinks_to_who_is_ready(seen: FleetFacts, kept: tuple[int, ...]) -> None:
    """The lowest ordinals, dead or alive, would be the last ready instance stopped."""
    assert wanted(2, seen) == kept
    stopped = {
        ordinal for retire in surplus(step_of(2), Facts({"f": seen})) for ordinal in retire.ordinals
    }
    assert stopped == seen.present - seen.draining - {*kept}
