"""The instances of a fleet, one by one: what the records know and what the server sees."""

from __future__ import annotations

from dataclasses import replace

from inservice.deployment.facts import FleetFacts
from inservice.deployment.state import Attempts, Deployment, Kind, Phase
from inservice.operations.live import InstanceSeen
from inservice.operations.own.fleets_seen import instances_of

DEPLOYMENT = Deployment("a1-2", 2, Kind.UPDATE, "canary", Phase.UPDATING, (), 0.0, 0.0, 0.0)
READY = InstanceSeen("a1-2-v/0", "a1-2-v", 70, "Ready", 5.0)


def test_each_has_its_state_and_its_age() -> None:
    assert instances_of("a1-2-v", [READY], FleetFacts(), DEPLOYMENT) == [
        {
            "InstanceId": "a1-2-v/0",
            "State": "Ready",
            "Pid": 70,
            "Runtime": "process",
            "StartedAt": 5.0,
            "Restarts": 0,
        }
    ]


def test_one_that_drains_is_not_shown_as_ready() -> None:
    draining = replace(READY, is_draining=True)
    (shown,) = instances_of("a1-2-v", [draining], FleetFacts(), DEPLOYMENT)
    assert shown["State"] == "Draining"


def test_what_is_about_to_be_launched_is_there_too_with_what_hinders_it() -> None:
    facts = FleetFacts(starting={1: 0.0, 0: 3.0}, failure="The artifact cannot be fetched.")
    shown = instances_of("a1-2-v", [READY], facts, DEPLOYMENT)
    assert [one["State"] for one in shown] == ["Ready", "Launching"]
    assert shown[1]["LastLine"] == "The artifact cannot be fetched."
    assert "Pid" not in shown[1]


def test_what_a_launch_waits_for_is_shown_too() -> None:
    facts = FleetFacts(starting={1: 0.0}, notes={1: "the host is out of processes (EAGAIN)"})
    (shown,) = instances_of("a1-2-v", [], facts, DEPLOYMENT)
    assert shown["LastLine"] == "the host is out of processes (EAGAIN)"


def test_restarts_and_how_the_last_one_ended() -> None:
    again = replace(READY, state="Starting", restarts=1, ending="exit code 1", last_line="no x")
    looping = replace(DEPLOYMENT, attempts={"a1-2-v/0": Attempts(4, 1.0, 2.0)})
    (shown,) = instances_of("a1-2-v", [again], FleetFacts(), looping)
    assert (shown["Restarts"], shown["Ending"], shown["LastLine"]) == (4, "exit code 1", "no x")
    (shown,) = instances_of("a1-2-v", [again], FleetFacts(), DEPLOYMENT)
    assert shown["Restarts"] == 1
