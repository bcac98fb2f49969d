"""UpdateEndpoint under load, by each strategy, there and back: nobody goes unanswered."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, variant
from tests.waiting import wait_until

Echo = Callable[[str], str]


def blue_green(kind: str, wait: int = 0, termination: int = 0, **sizes: int) -> dict[str, Any]:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    for name, value in sizes.items():
        routing[name] = {"Type": "INSTANCE_COUNT", "Value": value}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
            "MaximumExecutionTimeoutInSeconds": 28800,
        }
    }


def rolling(wait: int = 0, batch: int = 1) -> dict[str, Any]:
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": batch},
            "WaitIntervalInSeconds": wait,
            "MaximumExecutionTimeoutInSeconds": 28800,
        }
    }


STRATEGIES = {
    "without a policy": {},
    "all at once": blue_green("ALL_AT_ONCE", termination=1),
    "canary": blue_green("CANARY", wait=1, termination=1, CanarySize=1),
    "linear": blue_green("LINEAR", wait=1, LinearStepSize=1),
    "rolling": rolling(wait=1, batch=1),
}


class Pair:
    """An endpoint on model `old` and a config with model `new` to move it to."""

    def __init__(self, server: Server, echo: Echo, new_url: str | None = None, count: int = 3):
        self.server = server
        self.name = f"ep-{uuid.uuid4().hex[:8]}"
        server.create_model(f"{self.name}-old", echo(f"{self.name}-old"))
        server.create_model(f"{self.name}-new", new_url or echo(f"{self.name}-new"))
        server.create_config(f"{self.name}-1", variant(f"{self.name}-old", count=count))
        server.create_config(f"{self.name}-2", variant(f"{self.name}-new", count=count))
        server.client("sagemaker").create_endpoint(
            EndpointName=self.name, EndpointConfigName=f"{self.name}-1"
        )
        assert server.settled(self.name)["EndpointStatus"] == "InService"

    def update(self, deployment_config: dict[str, Any]) -> None:
        more = {"DeploymentConfig": deployment_config} if deployment_config else {}
        self.server.client("sagemaker").update_endpoint(
            EndpointName=self.name, EndpointConfigName=f"{self.name}-2", **more
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_moves_a_busy_endpoint(server: Server, echo: Echo, strategy: str) -> None:
    pair = Pair(server, echo)
    with Crowd(server, pair.name) as crowd:
        pair.update(STRATEGIES[strategy])
        described = server.settled(pair.name)
        settled_at = time.time()
        wait_until(lambda: len(crowd.models(since=settled_at)) and time.time() > settled_at + 0.3)
    assert crowd.failures == []
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == f"{pair.name}-2"
    assert "FailureReason" not in described
    assert set(crowd.models()) == {f"{pair.name}-old", f"{pair.name}-new"}
    assert set(crowd.models(since=settled_at)) == {f"{pair.name}-new"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_new_fleet_that_cannot_start_leaves_the_old_one_serving(
    server: Server, echo: Echo, tmp_path: Any, strategy: str
) -> None:
    from tests.acceptance.server import archive

    broken = archive(tmp_path / "broken.tar.gz", {"code/inference.py": "raise RuntimeError('no')"})
    pair = Pair(server, echo, new_url=broken)
    with Crowd(server, pair.name) as crowd:
        pair.update(STRATEGIES[strategy])
        described = server.settled(pair.name)
    assert crowd.failures == []
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == f"{pair.name}-1"
    assert "did not pass the ping health check" in described["FailureReason"]
    assert set(crowd.models()) == {f"{pair.name}-old"}


def test_the_split_of_a_canary_is_the_planned_one(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo, count=4)
    pair.update(blue_green("CANARY", wait=3600, CanarySize=1))
    statuses: set[str] = set()

    def baking() -> bool:
        pending = server.describe(pair.name).get("PendingDeploymentSummary", {})
        for shown in pending.get("ProductionVariants", ()):
            statuses.update(s["Status"] for s in shown.get("VariantStatus", ()))
        return "Baking" in statuses

    wait_until(baking)
    said = [server.invoke(pair.name)["model"] for _ in range(300)]
    # Five standard deviations of a binomial with p = 1/4.
    assert abs(said.count(f"{pair.name}-new") - 75) < 5 * (300 * 0.25 * 0.75) ** 0.5
    _own_client(server).promote_deployment(EndpointName=pair.name)
    assert server.settled(pair.name)["EndpointConfigName"] == f"{pair.name}-2"


def test_losing_the_new_fleet_during_a_bake_rolls_back(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo)
    with Crowd(server, pair.name) as crowd:
        pair.update(blue_green("CANARY", wait=20, CanarySize=1))
        wait_until(lambda: f"{pair.name}-new" in crowd.models())
        for instance in server.instances(pair.name)[-3:]:
            os.kill(instance["Pid"], signal.SIGKILL)
        described = server.settled(pair.name)
    assert described["EndpointConfigName"] == f"{pair.name}-1"
    assert described["FailureReason"]
    # What the killed processes had in hand is lost, of each of two clients one request at most for
    # each of the three; nothing that came after is.
    assert len(crowd.failures) <= 2 * 3, crowd.failures


def test_hand_controls(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo)
    own = _own_client(server)
    pair.update(blue_green("CANARY", wait=3600, CanarySize=1))
    name = {"EndpointName": pair.name}
    wait_until(lambda: own.describe_deployment(**name)["Row"] >= 2)
    own.pause_deployment(**name)
    assert own.describe_deployment(**name)["Paused"]
    assert server.describe(pair.name)["EndpointStatus"] == "Updating"
    own.resume_deployment(**name)
    own.promote_deployment(**name)
    assert server.settled(pair.name)["EndpointConfigName"] == f"{pair.name}-2"
    own.undo_deployment(**name)
    assert server.settled(pair.name)["EndpointConfigName"] == f"{pair.name}-1"
    pair.update(blue_green("CANARY", wait=3600, CanarySize=1))
    wait_until(lambda: own.describe_deployment(**name)["Row"] >= 2)
    own.abort_deployment(**name)
    described = server.settled(pair.name)
    assert described["EndpointConfigName"] == f"{pair.name}-1"
    assert own.describe_deployment(**name)["Outcome"] == "RolledBack"
    said = [event["What"] for event in own.list_deployment_events(**name)["Events"]]
    assert any("hand" in what for what in said)
    with pytest.raises(ClientError, match="ValidationException"):
        own.abort_deployment(**name)


def test_a_plan_shows_what_an_update_will_do(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo, count=4)
    plan = _own_client(server).plan_deployment(
        EndpointName=pair.name,
        EndpointConfigName=f"{pair.name}-2",
        DeploymentConfig=blue_green("LINEAR", wait=60, termination=30, LinearStepSize=1),
    )
    shares = [row["Variants"][0]["TrafficPercent"] for row in plan["Steps"]]
    assert shares == sorted(shares)
    assert shares[-1] == 100.0
    assert plan["PeakInstances"] == 8
    assert plan["HoldSeconds"] == 3 * 60 + 30
    assert server.describe(pair.name)["EndpointStatus"] == "InService", "nothing was begun"


def test_deployment_configs_that_are_refused_change_nothing(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo, count=4)
    refused = {
        "CanarySize": blue_green("CANARY", CanarySize=3),
        "LinearStepSize": blue_green("LINEAR", LinearStepSize=3),
        "MaximumBatchSize": rolling(batch=3),
        "AlarmName": {
            **blue_green("ALL_AT_ONCE"),
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "no-such-alarm"}]},
        },
        "RollingUpdatePolicy": {**blue_green("ALL_AT_ONCE"), **rolling()},
    }
    for member, config in refused.items():
        with pytest.raises(ClientError, match="ValidationException") as raised:
            pair.update(config)
        assert member in str(raised.value) or "alarm" in str(raised.value).lower()
    assert server.describe(pair.name)["EndpointStatus"] == "InService"


def test_weights_and_capacities_change_in_place(server: Server, echo: Echo) -> None:
    pair = Pair(server, echo, count=1)
    sagemaker = server.client("sagemaker")
    with Crowd(server, pair.name) as crowd:
        for count in (3, 1):
            sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=pair.name,
                DesiredWeightsAndCapacities=[
                    {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
                ],
            )
            described = server.settled(pair.name)
            (shown,) = described["ProductionVariants"]
            assert shown["CurrentInstanceCount"] == shown["DesiredInstanceCount"] == count
    assert crowd.failures == []


def _own_client(server: Server) -> Any:
    return server.client("inservice")


def test_the_old_fleet_steps_in_when_the_new_one_dies_after_the_last_shift(
    server: Server, echo: Echo
) -> None:
    pair = Pair(server, echo)
    own = server.client("inservice")
    pair.update(blue_green("ALL_AT_ONCE", termination=3600))
    wait_until(lambda: own.describe_deployment(EndpointName=pair.name)["Row"] == 2)
    with Crowd(server, pair.name) as crowd:
        for instance in server.instances(pair.name)[-3:]:
            os.kill(instance["Pid"], signal.SIGKILL)
        described = server.settled(pair.name)
    assert described["EndpointConfigName"] == f"{pair.name}-1"
    # What the killed processes had in hand is lost: of each of two clients one request at most for
    # each of the three, since what is asked after the first kill may meet the second.
    assert len(crowd.failures) <= 2 * 3, crowd.failures
    assert f"{pair.name}-old" in crowd.models()
