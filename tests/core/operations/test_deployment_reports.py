"""What a report makes of counts and events: pure, no server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inservice.deployment.events import DetailType, Event
from inservice.operations.own.deployment_reports import outcome_of, report
from inservice.telemetry.base import StepCount

SIZES = {"a1-1-v": 2, "a1-2-v": 2}
BEGUN = Event(
    10.0, DetailType.ENDPOINT, "a1-2", 0, "Updating", "Creating", "Updating.", sizes=SIZES
)
STEP = replace(BEGUN, at=11.0, detail_type=DetailType.DEPLOYMENT, row=1, doing="ActivatingTraffic")
TURNED = replace(BEGUN, at=12.0, status="RollingBack", doing="Deleting", reason="an alarm")
BACK = replace(TURNED, at=13.0, status="InService")
OLD = StepCount("a1", 2, "1", "a1-1-v", "7@1.0", invocations=6, answered=5, model_errors=1)
NEW = StepCount("a1", 2, "1", "a1-2-v", "8@1.0", invocations=4, answered=3, abandoned=1)


def test_an_outcome_is_that_of_the_first_end() -> None:
    later = replace(BACK, at=99.0, detail_type=DetailType.DEPLOYMENT, reason=None)
    assert outcome_of([BEGUN, STEP]) == {"StartedAt": 10.0}
    assert outcome_of([BEGUN, TURNED, BACK, later]) == {
        "StartedAt": 10.0,
        "EndedAt": 13.0,
        "Outcome": "RolledBack",
        "Reason": "an alarm",
    }
    done = replace(BACK, reason=None)
    assert outcome_of([BEGUN, done])["Outcome"] == "Done"
    assert outcome_of([BEGUN, replace(done, status="Failed")])["Outcome"] == "Failed"
    stuck = replace(BACK, status="UpdateRollbackFailed")
    assert outcome_of([BEGUN, stuck])["Outcome"] == "RollbackFailed"


def test_lines_go_forward_then_back_and_add_up_over_the_workers() -> None:
    again = replace(OLD, worker="8@1.0", gateway_errors=2, retried=1)
    tenth = replace(OLD, place="10", invocations=1, answered=1, model_errors=0)
    back = replace(OLD, place="back/0", invocations=1, answered=1, model_errors=0)
    told = report([back, NEW, tenth, OLD, again], [BEGUN, STEP, TURNED], 2, {7, 8})
    places = [(line["Direction"], line["Row"], line["Role"]) for line in told["Lines"]]
    assert places == [
        ("Forward", 1, "old"),
        ("Forward", 1, "new"),
        ("Forward", 10, "old"),
        ("Back", 0, "old"),
    ]
    assert told["Lines"][0] == {
        "Row": 1,
        "Direction": "Forward",
        "Doing": "ActivatingTraffic",
        "FleetId": "a1-1-v",
        "Role": "old",
        "Invocations": 14,
        "Served": 8,
        "ModelErrors": 2,
        "GatewayErrors": 2,
        "Abandoned": 0,
        "Retried": 1,
    }
    assert "Doing" not in told["Lines"][2], "its event is no longer on record"
    assert told["Lines"][3]["Doing"] == "Deleting"
    assert told["Invocations"] == 14 + 4 + 1 + 1


@pytest.mark.parametrize(
    ("status", "row", "doing"),
    [
        ("InService", 1, "Deleting"),
        ("UpdateRollbackFailed", 0, "Baking"),
        ("Failed", 0, "Deleting"),
    ],
)
def test_an_end_renames_no_step_of_the_way(status: str, row: int, doing: str) -> None:
    """The end and what is told after it have a row of the last table, not of the first."""
    end = replace(BACK, at=14.0, status=status, row=row, doing=doing)
    death = replace(end, at=99.0, detail_type=DetailType.DEPLOYMENT, reason=None)
    counts = [
        replace(OLD, place=place, invocations=1, answered=1, model_errors=0)
        for place in ("0", "1", "back/0", "back/1")
    ]
    back = replace(TURNED, at=13.0, row=1, doing="Deleting", detail_type=DetailType.DEPLOYMENT)
    shifted = replace(TURNED, doing="ActivatingTraffic")
    told = report(counts, [BEGUN, STEP, shifted, back, end, death], 2, {7})
    assert [(line["Direction"], line["Row"], line["Doing"]) for line in told["Lines"]] == [
        ("Forward", 0, "Creating"),
        ("Forward", 1, "ActivatingTraffic"),
        ("Back", 0, "ActivatingTraffic"),
        ("Back", 1, "Deleting"),
    ]


def test_what_a_living_worker_has_is_under_way_and_what_a_dead_one_had_is_dropped() -> None:
    counts = [OLD, NEW, replace(OLD, worker="9@1.0", invocations=9)]
    both = report(counts, [BEGUN], 2, {7, 9})
    assert (both["UnderWay"], both["Dropped"]) == (1 + 4, 0)
    one = report(counts, [BEGUN], 2, {7})
    assert (one["UnderWay"], one["Dropped"]) == (1, 4)
    none = report([], [BEGUN], 2, {7})
    assert (none["Lines"], none["Invocations"], none["Dropped"]) == ([], 0, 0)


def test_a_deployment_without_a_fleet_of_its_own_has_no_old_and_new() -> None:
    scaling = replace(BEGUN, sizes={"a1-1-v": 3})
    told = report([OLD], [scaling], 2, {7})
    assert told["Lines"][0]["Role"] == "serving"
