"""The controller with a real store and a real channel, over a fake host, and ways to crash it.

What a crash of control takes is taken here too: every object, every task, everything in memory.
What it leaves is left: the database, the instances, the routing table on disk, the gateway worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inservice.app.assets import KeptAssets
from inservice.artifacts.store import ArtifactStore
from inservice.channel.publishing import Gateways
from inservice.channel.tables import Delta
from inservice.channel.worker import WorkerEnd
from inservice.clock import Clock, SystemClock
from inservice.controller.endpoints.act import Actor
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.endpoints.observe import Observer
from inservice.controller.endpoints.reconciler import Reconciler
from inservice.controller.kit.tables import Tables
from inservice.operations.registry import Call, find
from inservice.routing.table import RoutingTable
from inservice.store.base import Store
from inservice.store.collections.endpoints import EndpointRecord
from inservice.store.drivers.database import open_store
from inservice.testing.runtime import FakeHost, FakeRuntime
from tests.lenient import Lenient
from tests.stores import lay_out, new_store

ACCOUNT, REGION = "0" * 12, "us-east-1"


class Crash(BaseException):
    """Control is gone. Not an Exception: nothing in the controller may catch it."""


@dataclass
class CrashAgainAndAgain:
    """Crashes at passes 1, 3, 6, 10, 15 … of one point: early, often, and with ever more room to
    get ahead in between, so that a life that needs five turns for a step gets them at last."""

    point: str
    crashed: Callable[[], None]
    passes: Counter[str] = field(default_factory=Counter)
    crashes: int = 0

    def __call__(self, point: str) -> None:
        self.passes[point] += 1
        number = self.crashes + 1
        if point == self.point and self.passes[point] >= number * (number + 1) // 2:
            self.crashes += 1
            self.crashed()
            raise Crash(point)


class FakeWorker:
    """A gateway worker as control sees one. It outlives control and checks what it is told."""

    def __init__(self, run_dir: Path, host: FakeHost) -> None:
        self.channel, self.host = run_dir / "routes.sock", host
        self.table = RoutingTable(-1, {}, {})
        self.wrongs: list[str] = []
        document = {"children": [{"name": "gateway-0", "pid": os.getpid(), "started_at": 0.0}]}
        (run_dir / "processes.json").write_text(json.dumps(document))

    async def work(self) -> None:
        end = WorkerEnd(self, os.getpid(), 0)
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self.channel)
                writer.write(end.greeting())
                with contextlib.closing(writer):
                    while line := await reader.readline():
                        writer.write(end.hear(line).answer)
            await asyncio.sleep(0.001)

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        if table.version < self.table.version:
            self.wrongs.append("a worker went back to an older table")
        self.table = table

    def look(self) -> None:
        """While an endpoint is served, something that lives serves it."""
        alive = set(self.host.alive())
        for route in self.table.endpoints.values():
            listed = {i.id for fleet in route.fleets if fleet.share for i in fleet.instances}
            if not listed & alive:
                self.wrongs.append(f"{route.name} at {route.step}: nothing alive in {listed}")


@dataclass
class Controller:
    """One life of control."""

    store: Store
    gateways: Gateways
    instances: Instances
    actor: Actor
    launches: Launches
    reconciler: Reconciler

    @classmethod
    async def born(
        cls,
        place: Path,
        host: FakeHost,
        crash_point: Callable[[str], None],
        clock: Clock | None = None,
    ) -> Any:
        clock = clock or SystemClock()
        if not (place / "store.db").exists():
            lay_out(new_store("store.db", "key"), place)
        store = open_store(f"sqlite:///{place / 'store.db'}", key_file=place / "key")
        reconciler: Reconciler

        def wake(fleet: str) -> None:
            reconciler.wake_generation(fleet.partition("-")[0])

        gateways = Gateways(
            place,
            clock,
            on_acknowledged=lambda: reconciler.wake_each(tables.newly_agreed()),
            on_metrics=lambda *_: None,
        )
        tables = Tables(gateways)
        artifacts = ArtifactStore(place / "artifacts", s3=lambda: None)
        instances = Instances(FakeRuntime(host, KeptAssets(artifacts)), clock, wake)
        launches = Launches(instances, clock, wake)
        actor = Actor(instances, launches, tables, 1.0, crash_point)
        observer = Observer(instances, launches, tables)
        reconciler = Reconciler(store, observer, actor, clock, crash_point)
        with store.reading() as reading:
            serving = bool(list(reading.endpoints.names()))
        await gateways.start(serving=serving)
        tables.adopt()
        await instances.adopt()
        reconciler.follow(store.feed)
        with store.reading() as reading:
            for key in reading.endpoints.names():
                reconciler.wake(key)
        return cls(store, gateways, instances, actor, launches, reconciler)

    async def die(self) -> None:
        """As by `kill -9`, as far as that can be done within a process."""
        await self.reconciler.close()
        await self.launches.close()
        await self.instances.close()
        await self.gateways.close()
        self.store.close()

    def call(self, operation: str, **members: Any) -> Any:
        """An AWS operation, as the API would call it."""
        found = find("sagemaker", operation)
        assert found is not None
        call = Call(
            account=ACCOUNT,
            region=REGION,
            principal="arn:aws:iam::000000000000:root",
            request_id="r",
            now=SystemClock().now(),
            store=self.store,
            live=Lenient(),  # type: ignore[arg-type]
        )
        return found.perform(call, members)

    def record(self, name: str) -> EndpointRecord | None:
        with self.store.reading() as reading:
            return reading.endpoints.find((ACCOUNT, REGION, name))
