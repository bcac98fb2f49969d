"""How long a broken new fleet has traffic before its alarm takes it away again.

    python benchmarks/rollback_loop.py [--rounds 5] [--period 10]

Each round updates an endpoint with a canary of a model that fails every invocation, watched by an
alarm on Invocation5XXErrors of the new fleet. Clients invoke without pause and note every failure.

    alarm     first failed invocation → the alarm is in ALARM
    traffic   first failed invocation → the last one: all weight is back on the old fleet
    settled   first failed invocation → DescribeEndpoint says InService, on the old config

An alarm sees whole periods only, so where in a period the first error falls decides most of it; the
rounds begin at random moments.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from inservice.demo.hosting import IMAGE
from inservice.demo.server import DemoServer, point_at

GOAL_SECONDS = 15.0
CLIENTS = 2

WORKING = """
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    return b"{}", "application/json"
"""
BROKEN = WORKING.replace('return b"{}", "application/json"', 'raise RuntimeError("broken")')


@dataclass(frozen=True)
class Round:
    """Seconds since the first failed invocation."""

    alarm: float
    traffic: float
    settled: float
    failed: int
    answered: int


class Clients:
    """Invoke without pause; every answer is counted, every failure has its time."""

    def __init__(self, endpoint: str) -> None:
        self.failures: list[float] = []
        self.answered = 0
        self._endpoint = endpoint
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._invoke) for _ in range(CLIENTS)]

    def _invoke(self) -> None:
        runtime = boto3.Session().client("sagemaker-runtime")
        while not self._over.wait(0.01):
            try:
                runtime.invoke_endpoint(EndpointName=self._endpoint, Body=b"x")["Body"].read()
            except ClientError:
                self.failures.append(time.time())
            self.answered += 1

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--period", type=int, default=10, choices=(10, 20, 30, 60))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
        server = DemoServer(Path(place) / "data")
        try:
            point_at(server.up())
            prepare(Path(place))
            rounds = [one_round(options.period) for _ in range(options.rounds)]
        finally:
            server.down()
    show(rounds, options.period)
    return 0


def prepare(place: Path) -> None:
    """Two models, two configs, and an endpoint on the one that works."""
    sagemaker: Any = boto3.Session().client("sagemaker")
    for name, code in (("working", WORKING), ("broken", BROKEN)):
        archive = place / f"{name}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(code)
            tar.addfile(member, BytesIO(code.encode()))
        sagemaker.create_model(
            ModelName=name, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": archive.as_uri()}
        )
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 2}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[{**variant, "InstanceType": "ml.m5.large"}],
        )
    sagemaker.create_endpoint(EndpointName="loop", EndpointConfigName="working")
    settled(sagemaker)


def settled(sagemaker: Any) -> dict[str, Any]:
    """The endpoint once it is InService."""
    while True:
        described: dict[str, Any] = sagemaker.describe_endpoint(EndpointName="loop")
        if described["EndpointStatus"] == "InService":
            return described
        time.sleep(0.05)


def one_round(period: int) -> Round:
    sagemaker: Any = boto3.Session().client("sagemaker")
    cloudwatch = boto3.Session().client("cloudwatch")
    watched = {"EndpointName": "loop", "VariantName": "AllTraffic", "EndpointConfigName": "broken"}
    name = f"errors-{time.time_ns()}"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in watched.items()],
        Statistic="Sum",
        Period=period,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    # The round before is still within the alarm's range: its errors must have left it first.
    while cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] != "OK":
        time.sleep(0.1)
    time.sleep(random.uniform(0.0, period))
    canary = {"Type": "INSTANCE_COUNT", "Value": 1}
    routing = {"Type": "CANARY", "CanarySize": canary, "WaitIntervalInSeconds": 600}
    with Clients("loop") as clients:
        sagemaker.update_endpoint(
            EndpointName="loop",
            EndpointConfigName="broken",
            DeploymentConfig={
                "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]},
            },
        )
        described = settled(sagemaker)
        ended = time.time()
    assert described["EndpointConfigName"] == "working"
    assert name in described["FailureReason"]
    history = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    alarm = max(
        item["Timestamp"].timestamp()
        for item in history["AlarmHistoryItems"]
        if item["HistorySummary"].endswith("to ALARM")
    )
    first = min(clients.failures)
    return Round(
        alarm=alarm - first,
        traffic=max(clients.failures) - first,
        settled=ended - first,
        failed=len(clients.failures),
        answered=clients.answered,
    )


def show(rounds: list[Round], period: int) -> None:
    """The table."""
    out = [f"{'round':>8} {'alarm':>8} {'traffic':>8} {'settled':>8} {'failed':>8} {'answered':>9}"]
    for number, one in enumerate(rounds, 1):
        out.append(
            f"{number:>8} {one.alarm:>8.2f} {one.traffic:>8.2f} {one.settled:>8.2f} "
            f"{one.failed:>8} {one.answered:>9}"
        )
    medians = {
        field: statistics.median(getattr(one, field) for one in rounds)
        for field in ("alarm", "traffic", "settled")
    }
    out.append(
        f"{'median':>8} {medians['alarm']:>8.2f} {medians['traffic']:>8.2f} "
        f"{medians['settled']:>8.2f}"
    )
    goal = GOAL_SECONDS if period == 10 else period + 2.0
    out.append(f"goal: traffic under {goal:g} s with a {period}-second alarm")
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
