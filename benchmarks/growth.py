"""What each endpoint costs a server that has many: the curve over their number.

    python -m benchmarks.growth [--endpoints 1,10,100,300,1000] [--seconds 60]
                                [--simulated 1000,10000,100000]

For each number a real server is filled with so many endpoints of one instance each, and left alone.
Counted is CPU, by the kernel in nanoseconds, of every process of the server, since what the clock
on the wall says depends on who else is at work:

    idle         CPU-seconds a minute while nobody asks anything, all processes together
    next         control's CPU for one CreateEndpoint more, until it is InService and asked once
    scrape       control's CPU for one /metrics, of five a period apart
    start        CPU of a control that was started anew, until it answered
    memory       what control and each gateway worker hold (their PSS), and the same for each
                 endpoint more than at the number before
    rolling      control's CPU for 48 instances replaced in batches of 5 % (once, at the end)

Beyond what a machine can run, control's own part is simulated: instances that stand still behind
the real Instances, Observer and RoutingTable.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import os
import resource
import signal
import sys
import tarfile
import tempfile
import time
import tracemalloc
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import psutil
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from inservice.channel.tables import Delta, encode_delta, table_after
from inservice.clock import SystemClock
from inservice.config import Settings
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.observe import Observer
from inservice.demo.hosting import IMAGE
from inservice.demo.server import DemoServer, point_at
from inservice.routing.table import WHOLE, EndpointRoute, FleetRoute, InstanceRoute, RoutingTable
from inservice.runtimes.base import Handle, InstanceState, Sight
from inservice.testing.runtime import FakeHost, FakeRuntime

MODEL = (
    "def model_fn(d): return 1\ndef transform_fn(m, b, c, a): return b'{}', 'application/json'\n"
)
AT_ONCE = 10
"""Endpoints that are made before it is waited for them: a machine of two cores forks no faster."""

SETTLE_SECONDS = 5.0
PERIOD_SECONDS = 1.5  # between two scrapes: each is assembled anew
SCRAPES = 5
MEMORY_MIB = 12
"""What has to be free for each endpoint more: its instance shares most of what it holds, and was
seen to have 8 to 10 for itself."""


@dataclass(frozen=True)
class Row:
    """One number of endpoints."""

    endpoints: int
    idle: dict[str, float]  # CPU-seconds a minute by kind of process
    next_ms: float
    scrape_ms: float
    start_seconds: float
    held_kib: dict[str, float]  # of control and of a gateway worker: their shares of memory


class Server:
    """A server under measurement."""

    def __init__(self, place: Path) -> None:
        self._demo = DemoServer(place / "data")
        self._settings = Settings(self._demo.data_dir)
        self._exports = self._demo.up()
        point_at(self._exports)
        self.sagemaker = boto3.client("sagemaker")
        self.endpoints = 0
        archive = place / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(MODEL)
            tar.addfile(member, io.BytesIO(MODEL.encode()))
        container: Any = {"Image": IMAGE, "ModelDataUrl": archive.as_uri()}
        self.sagemaker.create_model(ModelName="m", PrimaryContainer=container)
        for name, count in (("one", 1), ("fleet", 48), ("next-fleet", 48)):
            variant: Any = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
            variants: Any = [{**variant, "InitialInstanceCount": count}]
            self.sagemaker.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=variants
            )

    def down(self) -> None:
        """Stop it."""
        self._demo.down()

    # ── who runs, and what they used ────────────────────────────────────────────────────────────
    def control(self) -> int:
        """The process id of control."""
        while True:  # for a moment there is none: it was killed and the next is not begun
            for pid, kind in self._children().items():
                if kind == "control":
                    return pid
            time.sleep(0.005)

    def _children(self) -> dict[int, str]:
        document = json.loads((self._settings.run_dir / "processes.json").read_bytes())
        return {child["pid"]: child["name"].split("-")[0] for child in document["children"]}

    def processes(self) -> dict[int, str]:
        """Every process of the server, and its kind."""
        found = self._children()
        found[psutil.Process(self.control()).ppid()] = "supervisor"
        host = int((self._settings.run_dir / "forkserver.lock").read_text())
        found[host] = "fork server"
        for child in psutil.Process(host).children(recursive=True):
            is_zygote = "zygote" in " ".join(child.cmdline())
            found[child.pid] = "zygote" if is_zygote else "instances"
        return found

    def idle(self, seconds: float) -> dict[str, float]:
        """CPU-seconds a minute, by kind."""
        processes = self.processes()
        before = {pid: cpu_seconds(pid) for pid in processes}
        began = time.monotonic()
        time.sleep(seconds)
        minutes = (time.monotonic() - began) / 60
        used: Counter[str] = Counter()
        for pid, kind in processes.items():
            used[kind] += max(0.0, cpu_seconds(pid) - before[pid]) / minutes  # type: ignore[assignment]
        return dict(used)

    def held_kib(self) -> dict[str, float]:
        """PSS of control and, on average, of a gateway worker."""
        held: dict[str, list[float]] = {}
        for pid, kind in self._children().items():
            held.setdefault(kind, []).append(psutil.Process(pid).memory_full_info().pss / 1024)
        return {kind: sum(each) / len(each) for kind, each in held.items()}

    def of_control(self, deed: Callable[[], object]) -> float:
        """CPU-seconds that control needs while something is done."""
        pid = self.control()
        before = cpu_seconds(pid)
        deed()
        return cpu_seconds(pid) - before

    # ── what is done ────────────────────────────────────────────────────────────────────────────
    def create(self, config: str = "one") -> str:
        """One endpoint more; returns at once."""
        name = f"e{self.endpoints}"
        self.endpoints += 1
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def settle(self, name: str) -> None:
        """Wait until an endpoint is InService."""
        while True:
            described = self.sagemaker.describe_endpoint(EndpointName=name)
            if described["EndpointStatus"] == "InService":
                return
            if described["EndpointStatus"] not in ("Creating", "Updating"):
                raise SystemExit(f"{name}: {described.get('FailureReason')}")
            time.sleep(0.05)

    def fill(self, endpoints: int) -> None:
        """So many endpoints, all in service."""
        while self.endpoints < endpoints:
            more = min(AT_ONCE, endpoints - self.endpoints)
            for name in [self.create() for _ in range(more)]:
                self.settle(name)

    def create_one_more(self) -> None:
        """And see it InService after a second, asked once: asking is not what is measured."""
        name = self.create()
        time.sleep(1.0)
        self.settle(name)

    def scrape(self) -> None:
        """/metrics, once."""
        token = (self._settings.data_dir / "metrics.token").read_text().strip()
        request = urllib.request.Request(
            f"{self._exports['AWS_ENDPOINT_URL']}/metrics",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()

    def scrape_ms(self) -> float:
        """Of control, for one."""
        self.scrape()
        used = 0.0
        for _ in range(SCRAPES):
            time.sleep(PERIOD_SECONDS)
            used += self.of_control(self.scrape)
        return used / SCRAPES * 1000

    def start_seconds(self) -> float:
        """CPU of a new control until it answers."""
        old = self.control()
        os.kill(old, signal.SIGKILL)
        while (new := self.control()) == old:
            time.sleep(0.005)
        while True:
            try:
                self.sagemaker.describe_endpoint(EndpointName="e0")
            except (BotoCoreError, ClientError):
                time.sleep(0.01)
            else:
                return cpu_seconds(new)

    def rolling(self) -> float:
        """CPU-seconds of control for a rolling deployment of 48 instances."""
        name = self.create("fleet")
        self.settle(name)
        policy: Any = {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 5},
            "WaitIntervalInSeconds": 0,
        }

        def deploy() -> None:
            self.sagemaker.update_endpoint(
                EndpointName=name,
                EndpointConfigName="next-fleet",
                DeploymentConfig={"RollingUpdatePolicy": policy},
            )
            while self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != (
                "InService"
            ):
                time.sleep(1.0)

        return self.of_control(deploy)


def cpu_seconds(pid: int) -> float:
    """What a process has used, in nanoseconds of the scheduler: ticks are too coarse for one that
    wakes up twelve times a minute."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return total / 1e9
    return total / 1e9


def measured(server: Server, endpoints: int, seconds: float) -> Row:
    """One row."""
    server.fill(endpoints)
    time.sleep(SETTLE_SECONDS)
    idle = server.idle(seconds)
    held = server.held_kib()  # after a minute: by then what was needed to come up is given back
    next_ms = server.of_control(server.create_one_more) * 1000
    return Row(endpoints, idle, next_ms, server.scrape_ms(), server.start_seconds(), held)


def show(rows: Sequence[Row]) -> None:
    """The table of what is real."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.idle))
    head = "".join(f"{kind:>12}" for kind in kinds)
    print(
        "Idle: CPU-seconds a minute. next, scrape: ms of control's CPU. start: its CPU-seconds.\n"
    )
    print(f"{'endpoints':>9}{'idle':>8}{head}{'next':>8}{'scrape':>8}{'start':>7}")
    for row in rows:
        parts = "".join(f"{row.idle.get(kind, 0.0):>12.3f}" for kind in kinds)
        print(
            f"{row.endpoints:>9}{sum(row.idle.values()):>8.2f}{parts}{row.next_ms:>8.1f}"
            f"{row.scrape_ms:>8.1f}{row.start_seconds:>7.2f}",
            flush=True,
        )
    print(f"\nMemory: MiB, and KiB for each endpoint more.\n\n{'endpoints':>9}", end="")
    print("".join(f"{kind:>12}{'each':>8}" for kind in ("control", "gateway")))
    before: Row | None = None
    for row in rows:
        print(f"{row.endpoints:>9}", end="")
        for kind in ("control", "gateway"):
            print(f"{row.held_kib[kind] / 1024:>12.1f}{_each(row, before, kind):>8}", end="")
        print(flush=True)
        before = row


def _each(row: Row, before: Row | None, kind: str) -> str:
    if before is None:
        return ""
    more = row.endpoints - before.endpoints
    return f"{(row.held_kib[kind] - before.held_kib[kind]) / more:.1f}"


# ── simulated ───────────────────────────────────────────────────────────────────────────────────
class StillRuntime(FakeRuntime):
    """Instances that run and to which nothing happens."""

    def __init__(self, count: int) -> None:
        super().__init__(FakeHost(SystemClock()))
        self._count = count

    async def handles(self) -> Sequence[Handle]:
        """One of each endpoint."""
        return [
            Handle(f"g{n}-1-v/0", "fake", f"unix:/run/{n}", n, 0.0, None)
            for n in range(self._count)
        ]

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:  # noqa: ARG002
        """Ready, for ever."""
        if last is not None:
            await asyncio.Event().wait()
        return Sight(InstanceState.READY, ready_at=1.0)


async def simulated(endpoints: int) -> None:
    """One row of control's own part."""
    tracemalloc.start()
    instances = Instances(StillRuntime(endpoints), SystemClock(), lambda _: None)
    began = time.process_time()
    await instances.adopt()
    adopted = time.process_time() - began
    await asyncio.sleep(0)
    held = tracemalloc.get_traced_memory()[0] / endpoints / 1024
    tracemalloc.stop()
    launches = SimpleNamespace(
        under_way=lambda _: (),
        note=lambda _: None,
        phase=lambda _: None,
        failure=lambda *_, **__: None,
    )
    tables = SimpleNamespace(
        routed=lambda _: {},
        agreed=lambda _: True,
        current=lambda _: None,
        is_known=lambda: True,
    )
    observer = Observer(instances, cast(Any, launches), cast(Any, tables))
    endpoint = cast(
        Any,
        SimpleNamespace(
            key=("a", "r", "e"),
            account="a",
            region="r",
            name="e",
            generation="g0",
            fleets=(),
            previous_fleets=(),
        ),
    )
    deployment = cast(Any, SimpleNamespace(new=(), alarms=(), phase=None))
    facts_us = best_us(lambda: observer.facts(endpoint, deployment, {}, 2.0))
    table = RoutingTable(1, {("a", "r", f"e{n}"): route(n) for n in range(endpoints)}, {})
    change = Delta(1, 2, endpoint=("a", "r", "e0"), route=route(0))
    change_us = best_us(lambda: table_after(table, [change]))
    print(
        f"{endpoints:>9}{adopted / endpoints * 1e6:>12.1f}{held:>12.1f}{facts_us:>12.1f}"
        f"{change_us:>12.1f}{len(encode_delta(change)):>14}",
        flush=True,
    )
    await instances.close()


def route(number: int) -> EndpointRoute:
    """What a worker knows of one endpoint."""
    instance = InstanceRoute(f"g{number}-1-v/0", f"unix:/run/{number}")
    fleet = FleetRoute(f"g{number}-1-v", "v", "c", WHOLE, "RANDOM", (instance,))
    return EndpointRoute("a", "r", f"e{number}", (fleet,))


def best_us(deed: Callable[[], object], rounds: int = 200) -> float:
    """CPU of the best of many rounds, which a busy machine disturbs least."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time_ns()
        deed()
        best = min(best, time.process_time_ns() - began)
    return best / 1000


def numbers(text: str) -> list[int]:
    """`1,10,100`"""
    return [int(part) for part in text.split(",") if part]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--endpoints", type=numbers, default=[1, 10, 100, 300, 1_000])
    parser.add_argument("--simulated", type=numbers, default=[1_000, 10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=60.0, help="left alone, at each number")
    parser.add_argument("--no-rolling", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
        server = Server(Path(place))
        try:
            for endpoints in options.endpoints:
                room = psutil.virtual_memory().available >> 20
                if (endpoints - server.endpoints) * MEMORY_MIB > room:
                    print(f"{endpoints} endpoints: no room, {room} MiB are free")
                    break
                rows.append(measured(server, endpoints, options.seconds))
            rolling = None if options.no_rolling else server.rolling()
        finally:
            server.down()
    show(rows)
    if rolling is not None:
        print(f"rolling, 48 instances in batches of 5 %: {rolling:.2f} CPU-seconds of control")
    if options.simulated:
        print(f"\n{'simulated':>9}{'adopt µs':>12}{'KiB each':>12}{'facts µs':>12}", end="")
        print(f"{'change µs':>12}{'change bytes':>14}")
        for endpoints in options.simulated:
            asyncio.run(simulated(endpoints))
    return 0


if __name__ == "__main__":
    sys.exit(main())
