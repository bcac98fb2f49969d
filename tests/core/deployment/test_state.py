"""What survives a crash comes back as it was, and events take AWS's shape."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from tests.core.deployment.stage import Stage

from inservice.deployment.events import as_eventbridge, upper_snake
from inservice.deployment.facts import Facts, FleetFacts
from inservice.deployment.plan import Doing
from inservice.deployment.state import Deployment, Phase
from inservice.deployment.views.describe import describe
from inservice.hosting.endpoint import FAILURE_REASON_LENGTH_MAX, Endpoint
from inservice.store.kit.codec import Codec

POLICY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 600,
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        },
        "TerminationWaitInSeconds": 600,
    }
}

ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 600,
    }
}


def baking() -> Stage:
    """A canary of one of three that bakes."""
    stage = Stage()
    for line in ("create old v=3", "after 5", f"update new v=3 {json.dumps(POLICY)}", "after 60"):
        list(stage.perform(line))
    return stage


def test_endpoint_and_deployment_survive_their_way_through_the_store() -> None:
    stage = baking()
    for value, kind in ((stage.deployment, Deployment), (stage.endpoint, Endpoint)):
        codec = Codec(kind)
        assert codec.decode(codec.encode(value)) == value


def test_a_deployment_event_is_shaped_like_aws_s_sample() -> None:
    """A canary of 1 of 3 bakes: 3 of 3 serve, 1 of 3 is pending; UPPER_SNAKE, milliseconds."""
    stage = baking()
    assert stage.endpoint
    assert stage.deployment
    happened = stage.events[-1]
    shown = describe(stage.endpoint, stage.deployment, stage.world.look())
    event = as_eventbridge(happened, stage.endpoint, shown, "an-id")
    assert event["detail-type"] == "SageMaker Endpoint Deployment State Change"
    assert event["source"] == "aws.sagemaker"
    assert event["resources"] == [stage.endpoint.arn]
    assert event["time"] == "1970-01-01T00:00:06Z"
    detail = event["detail"]
    assert detail["EndpointStatus"] == "UPDATING"
    assert detail["CreationTime"] == 0
    (serving,) = detail["ProductionVariants"]
    assert (serving["CurrentInstanceCount"], serving["DesiredInstanceCount"]) == (3, 3)
    pending = detail["PendingDeploymentSummary"]
    assert pending["StartTime"] == 5_000
    (coming,) = pending["ProductionVariants"]
    assert (coming["CurrentInstanceCount"], coming["DesiredInstanceCount"]) == (1, 3)
    assert coming["VariantStatus"] == [
        {
            "Status": "BAKING",
            "StatusMessage": "Baking for 600 seconds (WaitIntervalInSeconds) "
            "with traffic enabled on canary capacity of 1 instance(s).",
            "StartTime": 6_000,
        }
    ]
    assert detail["InService"]["Shares"] == {"g-1-v": 6_667, "g-2-v": 3_333}
    json.dumps(event)


def test_a_shift_is_described_by_what_it_shifts_to() -> None:
    """Between entering the row and the first turn on it, nothing of it is in force yet."""
    stage = baking()
    assert stage.endpoint
    assert stage.deployment
    entered = replace(stage.deployment, row=1, shares=stage.deployment.plan[0].shares)
    assert entered.step.doing is Doing.SHIFTING
    shown = describe(stage.endpoint, entered, stage.world.look())
    (coming,) = shown["PendingDeploymentSummary"]["ProductionVariants"]
    assert coming["CurrentInstanceCount"] == 0
    (status,) = coming["VariantStatus"]
    assert status["StatusMessage"] == "Activating traffic on canary capacity of 1 instance(s)."


def test_the_way_back_is_described_by_what_is_there() -> None:
    """One of four had been launched when it was turned back; the old fleet was still whole."""
    stage = Stage()
    lines = ("create old v=4", "after 5", f"update new v=4 {json.dumps(ROLLING)}", "after 5")
    for line in (*lines, "abort", "after 0"):
        list(stage.perform(line))
    assert stage.endpoint
    assert stage.deployment
    back = replace(stage.deployment, phase=Phase.ROLLING_BACK)
    old = FleetFacts(ready=frozenset(range(4)))
    draining = {"g-1-v": old, "g-2-v": FleetFacts(draining=frozenset({0}))}
    messages = [_messages(describe(stage.endpoint, back, Facts(fleets=draining)))]
    messages.append(_messages(describe(stage.endpoint, back, Facts(fleets={"g-1-v": old}))))
    creating = replace(back, plan=(replace(back.step, doing=Doing.CREATING),), row=0)
    messages.append(_messages(describe(stage.endpoint, creating, Facts(fleets={"g-1-v": old}))))
    assert messages == [["Terminating 1 instance(s)."], [], []]


def _messages(shown: dict[str, Any]) -> list[str]:
    pending = shown["PendingDeploymentSummary"]["ProductionVariants"]
    return [
        status["StatusMessage"]
        for variant in (*shown["ProductionVariants"], *pending)
        for status in variant.get("VariantStatus", [])
    ]


def test_a_status_event_has_the_other_detail_type() -> None:
    stage = baking()
    assert stage.endpoint
    told = next(each for each in stage.events if each.status == "InService")
    event = as_eventbridge(told, stage.endpoint, {}, "an-id")
    assert event["detail-type"] == "SageMaker Endpoint State Change"
    assert event["detail"]["EndpointStatus"] == "IN_SERVICE"


def test_upper_snake() -> None:
    assert upper_snake("UpdateRollbackFailed") == "UPDATE_ROLLBACK_FAILED"
    assert upper_snake("ActivatingTraffic") == "ACTIVATING_TRAFFIC"


def test_a_failure_reason_too_long_keeps_its_beginning_and_its_end() -> None:
    """What happened stands first; the error that the model raised, and the hint, stand last."""
    rolling = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 2},
            "WaitIntervalInSeconds": 60,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    }
    stage = Stage()
    first = ("create old v=4", "after 5", f"update new v=4 {json.dumps(rolling)}", "after 70")
    for line in (*first, "lost old"):
        list(stage.perform(line))
    stage.world.tripped = {"errors": f"is in ALARM: {'x' * 2000} too many errors"}
    list(stage.perform("after 60"))
    assert stage.endpoint
    assert stage.endpoint.status == "UpdateRollbackFailed"
    reason = stage.endpoint.failure_reason or ""
    assert reason.startswith('The deployment was rolled back: alarm "errors" is in ALARM: xxx')
    assert "too many errors. The rollback failed: " in reason
    assert reason.endswith("the artifact is gone")
    assert len(reason) <= FAILURE_REASON_LENGTH_MAX
