"""Every strategy and its rollback under a steady load, with control killed in the middle.

    python -m benchmarks.deployments [--rate 200]

The load is open-loop (`benchmarks.load`): requests are due at a constant rate whether or not
answers come, and each one is accounted for. `failed` counts every request without a 200: goal 0.

    forward    UpdateEndpoint to a model that works
    back       the same to a model that cannot start
    abort      the same, rolled back by hand half-way
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
from benchmarks.load import Load
from botocore.credentials import Credentials

from inservice.cli import ours, server
from inservice.config import Settings
from inservice.demo.hosting import IMAGE
from inservice.demo.server import DemoServer, point_at

INSTANCES = 4
STRETCH_SECONDS = 3.0

WORKING = (
    "def model_fn(d): return 1\ndef transform_fn(m, b, c, a): return b'{}', 'application/json'\n"
)
BROKEN = "raise RuntimeError('broken')\n"


def sized(value: int) -> dict[str, Any]:
    """So many instances."""
    return {"Type": "INSTANCE_COUNT", "Value": value}


def blue_green(kind: str, **more: Any) -> dict[str, Any]:
    """A BlueGreenUpdatePolicy with bakes of a second."""
    routing = {"Type": kind, "WaitIntervalInSeconds": 1, **more}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 1}
    return {"BlueGreenUpdatePolicy": policy}


STRATEGIES: dict[str, dict[str, Any]] = {
    "all at once": blue_green("ALL_AT_ONCE"),
    "canary": blue_green("CANARY", CanarySize=sized(1)),
    "linear": blue_green("LINEAR", LinearStepSize=sized(1)),
    "rolling": {"RollingUpdatePolicy": {"MaximumBatchSize": sized(1), "WaitIntervalInSeconds": 1}},
}


@dataclass(frozen=True)
class Run:
    """One deployment under load."""

    strategy: str
    way: str
    seconds: float
    summary: dict[str, Any]
    ended: str  # the model that serves afterwards
    killed: bool


class UnderLoad(threading.Thread):
    """An open-loop load in a thread of its own, in stretches, until told to end."""

    def __init__(self, load: Load, rate: float) -> None:
        super().__init__()
        self._load, self._rate = load, rate
        self._over = threading.Event()

    def run(self) -> None:
        """Load until told to end."""
        asyncio.run(self._stretches())

    async def _stretches(self) -> None:
        while not self._over.is_set():
            await self._load.run(self._rate, STRETCH_SECONDS, patience_seconds=70.0)

    def end(self) -> None:
        """After the stretch that is under way."""
        self._over.set()
        self.join()


def main() -> int:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deployments")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
        demo = DemoServer(Path(place) / "data")
        point_at(demo.up())
        try:
            prepare(Path(place))
            runs = [
                one_run(demo.data_dir, f"e{number}-{way}", strategy, way, options.rate)
                for number, strategy in enumerate(STRATEGIES)
                for way in ("forward", "back", "abort")
            ]
            quick = without_waits()
        finally:
            demo.down()
    show(runs, quick)
    return 0 if all(answered_all(run) for run in runs) else 1


def prepare(place: Path) -> None:
    """Two models that work and one that does not, and a config of each."""
    sagemaker: Any = boto3.client("sagemaker")
    for name, source in (("old", WORKING), ("new", WORKING), ("broken", BROKEN)):
        path = place / f"{name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(source)
            archive.addfile(member, io.BytesIO(source.encode()))
        container = {"Image": IMAGE, "ModelDataUrl": path.as_uri()}
        sagemaker.create_model(ModelName=name, PrimaryContainer=container)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InitialInstanceCount": INSTANCES,
            "InstanceType": "ml.m5.large",
        }
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def one_run(data_dir: Path, endpoint: str, strategy: str, way: str, rate: float) -> Run:
    """One endpoint, one update under load, control killed while it is under way."""
    sagemaker: Any = boto3.client("sagemaker")
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName="old")
    settled(sagemaker, endpoint)
    running = server.find(Settings(data_dir))
    assert running is not None
    url = urlsplit(running.url)
    load = Load(
        url.hostname or "",
        url.port or 0,
        path=f"/endpoints/{endpoint}/invocations",
        body=b"{}",
        credentials=Credentials(running.access_key_id, running.secret_access_key),
        region=running.region,
    )
    under_load = UnderLoad(load, rate)
    under_load.start()
    began = time.monotonic()
    sagemaker.update_endpoint(
        EndpointName=endpoint,
        EndpointConfigName="broken" if way == "back" else "new",
        DeploymentConfig=STRATEGIES[strategy],
    )
    killed = kill_control(data_dir, after_seconds=0.7)
    if way == "abort":
        own = ours.client(running)
        if sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating":
            own.abort_deployment(EndpointName=endpoint)
    ended = settled(sagemaker, endpoint)
    seconds = time.monotonic() - began
    under_load.end()
    sagemaker.delete_endpoint(EndpointName=endpoint)
    return Run(strategy, way, seconds, load.ledger.summary(), ended, killed)


def without_waits() -> float:
    """Seconds of a linear deployment of four steps and no waits, on four instances."""
    sagemaker: Any = boto3.client("sagemaker")
    sagemaker.create_endpoint(EndpointName="quick", EndpointConfigName="old")
    settled(sagemaker, "quick")
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 0, "LinearStepSize": sized(1)}
    began = time.monotonic()
    sagemaker.update_endpoint(
        EndpointName="quick",
        EndpointConfigName="new",
        DeploymentConfig={"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}},
    )
    settled(sagemaker, "quick")
    return time.monotonic() - began


def settled(sagemaker: Any, endpoint: str) -> str:
    """Wait until nothing moves any more; the config that serves."""
    while True:
        described = sagemaker.describe_endpoint(EndpointName=endpoint)
        if described["EndpointStatus"] not in ("Creating", "Updating", "RollingBack"):
            return str(described["EndpointConfigName"])
        time.sleep(0.02)


def kill_control(data_dir: Path, after_seconds: float) -> bool:
    """`kill -9` control, and wait until there is another one."""
    time.sleep(after_seconds)
    processes = Settings(data_dir).run_dir / "processes.json"

    def pid() -> int:
        children = json.loads(processes.read_bytes())["children"]
        return next((c["pid"] for c in children if c["name"] == "control"), 0)

    before = pid()
    if not before or not psutil.pid_exists(before):
        return False
    os.kill(before, signal.SIGKILL)
    while pid() in (0, before):
        time.sleep(0.01)
    return True


def answered_all(run: Run) -> bool:
    """Whether every request that was due got a 200."""
    return bool(run.summary["by_status"] == {200: run.summary["due"]})


def show(runs: list[Run], quick: float) -> None:
    """Print the table."""
    print(
        f"{'strategy':12} {'way':8} {'seconds':>8} {'due':>6} {'failed':>6} "
        f"{'p50 ms':>7} {'p99 ms':>8} {'max ms':>8}  serves after  control killed"
    )
    for run in runs:
        late = run.summary["late_ms"]
        failed = run.summary["due"] - run.summary["by_status"].get(200, 0)
        print(
            f"{run.strategy:12} {run.way:8} {run.seconds:8.1f} {run.summary['due']:6} {failed:6} "
            f"{late['p50']:7.1f} {late['p99']:8.1f} {late['max']:8.1f}  {run.ended:12}  "
            f"{'yes' if run.killed else 'no'}"
        )
        if failed:
            print("   ", run.summary["by_status"], run.summary["unanswered"])
    print(f"\nlinear, 4 steps, no waits, {INSTANCES} instances: {quick:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
