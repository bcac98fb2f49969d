"""The loop closed: errors of a new fleet, an alarm, a rollback; and counting that is exact."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, archive, variant
from tests.waiting import wait_until

Echo = Callable[[str], str]

FAULTY = """
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    raise RuntimeError("the new model is broken")
"""


def put_alarms(server: Server, endpoint: str, config: str) -> list[str]:
    """As in AWS's guardrail notebooks: errors and latency, watched on the new fleet alone."""
    watched = {
        "EndpointName": endpoint,
        "VariantName": "AllTraffic",
        "EndpointConfigName": config,
    }
    alarms = {
        "Invocation5XXErrors": {"Statistic": "Sum", "Threshold": 1.0},
        "ModelLatency": {"ExtendedStatistic": "p99", "Threshold": 60_000_000.0},
    }
    for metric, watch in alarms.items():
        server.client("cloudwatch").put_metric_alarm(
            AlarmName=f"{endpoint}-{metric}",
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in watched.items()],
            Period=10,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
            ActionsEnabled=False,
            **watch,
        )
    return [f"{endpoint}-{metric}" for metric in alarms]


def total(server: Server, endpoint: str, began: datetime, **config: str) -> float:
    """The sum of Invocations since `began`, of the variant or of it under one config."""
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic", **config}
    found = server.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=began - timedelta(minutes=2),
        EndTime=datetime.now(UTC) + timedelta(minutes=2),
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def test_a_canary_of_a_broken_model_is_rolled_back_by_its_alarm(
    server: Server, echo: Echo, tmp_path: Path
) -> None:
    sagemaker, name = server.client("sagemaker"), "closed-loop"
    server.create_model(f"{name}-old", echo(f"{name}-old"))
    server.create_model(
        f"{name}-new", archive(tmp_path / "new.tar.gz", {"code/inference.py": FAULTY})
    )
    for number, model in enumerate(("old", "new"), 1):
        server.create_config(f"{name}-{number}", variant(f"{name}-{model}", count=2))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-1")
    assert server.settled(name)["EndpointStatus"] == "InService"
    alarms = put_alarms(server, name, f"{name}-2")
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 60,
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
    }
    with Crowd(server, name) as crowd:
        sagemaker.update_endpoint(
            EndpointName=name,
            EndpointConfigName=f"{name}-2",
            DeploymentConfig={
                "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": a} for a in alarms]},
            },
        )
        described = server.settled(name)
        settled_at = time.time()
        wait_until(lambda: crowd.models(since=settled_at).total() > 50)
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == f"{name}-1"
    assert f"{name}-Invocation5XXErrors" in described["FailureReason"]
    assert "Threshold Crossed" in described["FailureReason"]

    failed = [answer.at for answer in crowd.answers if answer.failure]
    assert failed, "the canary took traffic"
    assert all("ModelError" in failure for failure in crowd.failures), "everyone was answered"
    assert max(failed) <= settled_at, "and nobody by it when it was rolled back"
    history = server.client("cloudwatch").describe_alarm_history(
        AlarmName=f"{name}-Invocation5XXErrors", HistoryItemType="StateUpdate"
    )["AlarmHistoryItems"]
    assert any(item["HistorySummary"].endswith("to ALARM") for item in history)


def test_invocations_are_counted_exactly_though_control_is_killed(
    start_server: Callable[..., Server], echo: Echo
) -> None:
    server, name, began = start_server(), "exact", datetime.now(UTC)
    server.create_model(name, echo(name))
    server.create_config(name, variant(name, count=2))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert server.settled(name)["EndpointStatus"] == "InService"

    runtime = server.client("sagemaker-runtime")
    sent = 0
    for _ in range(2):  # the second is one that has taken over what the first had counted
        for _ in range(40):
            runtime.invoke_endpoint(EndpointName=name, Body=b"x")["Body"].read()
            sent += 1
        os.kill(server.processes()["control"], signal.SIGKILL)
        for _ in range(20):
            runtime.invoke_endpoint(EndpointName=name, Body=b"x")["Body"].read()
            sent += 1
        wait_until(server.answers)
    wait_until(lambda: total(server, name, began) >= sent)
    for config in ({}, {"EndpointConfigName": name}):
        assert total(server, name, began, **config) == sent
