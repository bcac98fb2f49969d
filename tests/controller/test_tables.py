"""What a change costs, however many endpoints there are; and what is never told to a worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inservice.channel import publishing, table_file
from inservice.channel.publishing import Gateways
from inservice.channel.tables import Delta
from inservice.channel.worker import WorkerEnd
from inservice.clock import SystemClock
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.endpoints.observe import Observer
from inservice.controller.kit.tables import Tables
from inservice.gateway.routes import Routes
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute, KeyRoute, RoutingTable
from inservice.runtimes.base import LaunchSpec
from inservice.testing.runtime import FakeHost, FakeRuntime
from inservice.workload.container import Container, Workload

ACCOUNT, REGION = "0" * 12, "us-east-1"


def key(number: int) -> tuple[str, str, str]:
    return (ACCOUNT, REGION, f"e{number}")


def route(number: int, life: int = 0) -> EndpointRoute:
    fleet = f"g{number}-1-v"
    instances = (InstanceRoute(f"{fleet}/0", f"unix:/{number}/{life}"),)
    return EndpointRoute(
        *key(number), (FleetRoute(fleet, "v", "c", 10_000, "RANDOM", instances),), str(life)
    )


@dataclass
class Listener:
    """A worker that counts what it is sent."""

    place: Path
    pid: int
    routes: Routes
    received: int = 0
    whole: int = 0
    silent: bool = False

    async def work(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(
                    self.place / "routes.sock", limit=1 << 26
                )
                end = WorkerEnd(self, self.pid, 0)
                writer.write(end.greeting())
                with contextlib.closing(writer):
                    while line := await reader.readline():
                        self.hear(end, line, writer)
            await asyncio.sleep(0.01)

    @property
    def table(self) -> RoutingTable:
        return self.routes.table

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        self.routes.serve(table, delta)

    def hear(self, end: WorkerEnd, line: bytes, writer: asyncio.StreamWriter) -> None:
        self.received += len(line)
        self.whole += line.startswith(b'{"table"')
        heard = end.hear(line)
        if not self.silent:
            writer.write(heard.answer)


@pytest.fixture(autouse=True)
def _workers_are_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers of a test are one process, which the kernel would say."""
    monkeypatch.setattr(publishing, "caller_of", lambda _: 0)


@dataclass
class Plane:
    """Control's half and workers, each an end of real channels."""

    place: Path
    gateways: Gateways
    tables: Tables
    workers: list[Listener]
    news: list[list[Any]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def begun(cls, place: Path, workers: int = 1, serving: bool = False) -> Plane:
        listeners = [
            Listener(place, os.getpid() + n, Routes(place / "routes.json", lambda *_: None))
            for n in range(workers)
        ]
        live(place, [one.pid for one in listeners])
        it = await cls.control(place, listeners, serving)
        it.tasks = [asyncio.create_task(one.work()) for one in listeners]
        return it

    @classmethod
    async def control(cls, place: Path, workers: list[Listener], serving: bool) -> Plane:
        news: list[list[Any]] = []
        gateways = Gateways(
            place,
            SystemClock(),
            on_acknowledged=lambda: news.append(tables.newly_agreed()),
            on_metrics=lambda *_: None,
        )
        tables = Tables(gateways)
        await gateways.start(serving=serving)
        tables.adopt()
        return cls(place, gateways, tables, workers, news)

    async def agreed(self) -> None:
        await until(lambda: self.gateways.acknowledged() == self.gateways.table.version)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.gateways.close()


def live(place: Path, pids: list[int]) -> None:
    children = [{"name": f"gateway-{n}", "pid": pid} for n, pid in enumerate(pids)]
    fresh = place / "processes.new"
    fresh.write_text(json.dumps({"children": children}))
    fresh.replace(place / "processes.json")


async def until(question: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not question():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


# ── what a change costs ─────────────────────────────────────────────────────────────────────────
def test_a_change_of_one_endpoint_is_as_small_among_thousands(tmp_path: Path) -> None:
    async def cost(endpoints: int) -> tuple[int, int]:
        place = tmp_path / str(endpoints)
        place.mkdir()
        it = await Plane.begun(place)
        for number in range(endpoints):
            it.tables.publish(key(number), route(number))
        await it.agreed()
        journal = place / "routes.journal"
        sent, written = it.workers[0].received, journal.stat().st_size
        snapshot = (place / "routes.json").stat()
        it.tables.publish(key(7), route(7, life=1))
        await it.agreed()
        assert (place / "routes.json").stat().st_ino == snapshot.st_ino
        assert it.workers[0].routes.table == it.gateways.table
        await it.end()
        return it.workers[0].received - sent, journal.stat().st_size - written

    async def test() -> None:
        few, many = await cost(10), await cost(2_000)
        assert few == many

    run(test)


def test_an_acknowledgement_wakes_who_waits_for_it_and_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        it = await Plane.begun(tmp_path, workers=2)
        for number in range(50):
            it.tables.publish(key(number), route(number))
        await it.agreed()
        it.tables.newly_agreed()
        it.news.clear()
        it.tables.publish(key(7), route(7, life=1))
        await it.agreed()
        assert [one for some in it.news for one in some] == [key(7)]
        await it.end()

    run(test)


def test_a_worker_that_starts_wakes_only_whom_it_held_up(tmp_path: Path) -> None:
    async def test() -> None:
        it = await Plane.begun(tmp_path, workers=1)
        for number in range(20):
            it.tables.publish(key(number), route(number))
        await it.agreed()
        it.tables.newly_agreed()
        live(tmp_path, [it.workers[0].pid, 1])  # another one, which has not called
        assert not it.tables.agreed(key(3))
        it.news.clear()
        live(tmp_path, [it.workers[0].pid])  # and which ended without ever having called
        await until(lambda: it.news)
        assert [one for some in it.news for one in some] == [key(3)]
        assert it.tables.agreed(key(3))
        await it.end()

    run(test)


def test_a_turn_looks_at_the_fleets_of_its_own_endpoint(tmp_path: Path) -> None:
    """Counted: the fleets that a look at one endpoint asks for, with many others beside it."""

    class Counted(Instances):
        asked: list[str]

        def of_fleet(self, fleet: str) -> Any:
            self.asked.append(fleet)
            return super().of_fleet(fleet)

        def fleets(self) -> set[str]:
            raise AssertionError("a turn looks at every fleet there is")

    async def test() -> None:
        clock = SystemClock()
        host = FakeHost(clock)
        instances = Counted(FakeRuntime(host), clock, lambda _: None)
        instances.asked = []
        for number in range(300):
            await instances.launch(spec(f"g{number}-1-v/0"))
        await instances.launch(spec("g7-2-v/0"))
        assert instances.fleets_of("g7") == {"g7-1-v", "g7-2-v"}
        assert instances.fleets_of("g") == frozenset()
        it = await Plane.begun(tmp_path)
        launches = Launches(instances, clock, lambda _: None)
        observer = Observer(instances, launches, it.tables)
        instances.asked.clear()
        key = (ACCOUNT, REGION, "e7")
        given = SimpleNamespace(generation="g7", key=key, account=ACCOUNT, region=REGION)
        given.fleets = given.previous_fleets = ()
        observer.facts(given, SimpleNamespace(new=(), phase=None), {}, clock.now())  # type: ignore[arg-type]
        assert set(instances.asked) == {"g7-1-v", "g7-2-v"}
        await instances.close()
        await it.end()

    run(test)


def spec(instance_id: str) -> LaunchSpec:
    workload = Workload((Container("primary", "image", {}),))
    return LaunchSpec(instance_id, ACCOUNT, REGION, "e", "v", workload, 60)


# ── what is never told ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("damage", ["lost", "half", "empty", "journal lost"])
def test_a_control_that_lost_its_table_makes_no_worker_forget(tmp_path: Path, damage: str) -> None:
    """It starts anew, knows no endpoint yet, and publishes: the workers go on with all of them."""

    async def test() -> None:
        it = await Plane.begun(tmp_path, workers=2)
        for number in range(30):
            it.tables.publish(key(number), route(number))
        await it.agreed()
        before = it.gateways.table
        await it.gateways.close()
        snapshot, journal = tmp_path / "routes.json", tmp_path / "routes.journal"
        match damage:
            case "lost":
                snapshot.unlink()
                journal.unlink()
            case "half":
                snapshot.write_bytes(snapshot.read_bytes()[:40])
            case "empty":
                snapshot.write_bytes(b"")
                journal.write_bytes(b"")
            case _:
                journal.unlink()
        again = await Plane.control(tmp_path, it.workers, serving=True)
        again.tables.publish_keys({"k": KeyRoute("k", "s", ACCOUNT, "arn")})
        await again.agreed()
        for worker in it.workers:
            assert worker.routes.table.endpoints == before.endpoints
            assert worker.routes.table.keys.keys() == {"k"}
        assert table_file.TableFile(snapshot).read() == again.gateways.table
        again.tasks = it.tasks
        await again.end()

    run(test)


def test_a_worker_that_missed_a_change_gets_the_whole_table(tmp_path: Path) -> None:
    async def test() -> None:
        it = await Plane.begun(tmp_path)
        it.tables.publish(key(1), route(1))
        await it.agreed()
        (worker,) = it.workers
        worker.routes = Routes(tmp_path / "nothing.json", lambda *_: None)  # it has lost its mind
        it.tables.publish(key(2), route(2))
        await it.agreed()
        assert worker.routes.table == it.gateways.table
        await it.end()

    run(test)


def test_a_silent_worker_is_waited_for(tmp_path: Path) -> None:
    """What every fleet's end depends on: sent is not acknowledged."""

    async def test() -> None:
        it = await Plane.begun(tmp_path, workers=2)
        it.tables.publish(key(1), route(1))
        await it.agreed()
        it.workers[1].silent = True
        it.tables.publish(key(1), None)
        await until(lambda: it.workers[0].routes.table == it.gateways.table)
        await until(lambda: it.workers[1].routes.table == it.gateways.table)
        assert not it.tables.agreed(key(1))
        assert it.tables.routed(key(1)) == {"g1-1-v": {0}}
        live(tmp_path, [it.workers[0].pid])
        assert it.tables.agreed(key(1))
        assert it.tables.routed(key(1)) == {}
        await it.end()

    run(test)


@pytest.mark.parametrize("leaves", [True, False], ids=["out of the table", "another instance"])
def test_a_control_that_starts_takes_no_worker_for_being_up_to_date(
    tmp_path: Path, leaves: bool
) -> None:
    """The last control published a table and was killed before a worker had it. The next one finds
    that table and nothing of the one before, by which the worker still chooses."""

    async def test() -> None:
        first = await Plane.begun(tmp_path, workers=1)
        first.tables.publish(key(1), route(1))
        await first.agreed()
        (worker,) = first.workers
        for task in first.tasks:
            task.cancel()  # the worker hears nothing for a while, and serves on
        first.tables.publish(key(1), None if leaves else route(1, life=1))
        await first.gateways.close()
        second = await Plane.control(tmp_path, [worker], serving=True)
        assert not second.tables.agreed(key(1))
        assert not second.tables.is_known()
        assert second.tables.served() == set()
        second.tasks = [asyncio.create_task(worker.work())]
        await until(lambda: key(1) in [one for told in second.news for one in told])
        assert second.tables.is_known()
        assert second.tables.agreed(key(1))
        assert worker.routes.table == second.gateways.table
        await second.end()

    run(test)


def test_the_journal_is_folded_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "JOURNAL_BYTES", 2_000)

    async def test() -> None:
        it = await Plane.begun(tmp_path)
        largest = 0
        for number in range(400):
            it.tables.publish(key(number % 5), route(number % 5, life=number))
            assert table_file.TableFile(tmp_path / "routes.json").read() == it.gateways.table
            largest = max(largest, (tmp_path / "routes.journal").stat().st_size)
            await asyncio.sleep(0)
        await it.agreed()
        assert it.workers[0].routes.table == it.gateways.table
        assert largest < 100_000
        await it.end()

    run(test)
