"""How instances are watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.clock import SystemClock
from inservice.controller.endpoints.instances import Instances
from inservice.runtimes.base import Handle, InstanceState, LaunchFailed, LaunchSpec, Sight
from inservice.testing.runtime import FakeHost, FakeRuntime, Script
from inservice.workload.container import Container, Workload
from tests.contracts.runtime_stages import Shelves, asset_of

WORKLOAD = Workload((Container("primary", "image", {}),))
SPEC = LaunchSpec("g-1-v/0", "000000000000", "us-east-1", "e", "v", WORKLOAD, 60)


def test_an_end_is_seen_as_it_comes() -> None:
    async def test() -> None:
        changed = asyncio.Event()
        host = FakeHost(SystemClock())
        instances = Instances(FakeRuntime(host), SystemClock(), lambda fleet: changed.set())
        await instances.launch(SPEC)
        (watched,) = instances.of_fleet("g-1-v")
        await _until(changed, lambda: watched.sight.state is InstanceState.READY)
        host.die(SPEC.instance_id)
        await _until(changed, lambda: watched.sight.state is InstanceState.GONE)
        assert watched.sight.signal == "SIGKILL"
        await instances.close()

    asyncio.run(test())


async def _until(changed: asyncio.Event, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            changed.clear()
            await changed.wait()


def test_what_was_retired_while_its_successor_was_fetched_for_was_not_replaced() -> None:
    """A download may take an hour, in which an instance that died can be given up and wanted
    again: that is no restart."""

    async def test() -> None:
        restarts: list[str] = []
        host, changed, shelf = FakeHost(SystemClock()), asyncio.Event(), Shelves()
        instances = Instances(
            FakeRuntime(host, shelf),
            SystemClock(),
            lambda fleet: changed.set(),
            lambda spec, death: restarts.append(spec.instance_id),
        )
        container = Container("primary", "image", {}, asset_of(Path("/model"), "g-1-v"))
        spec = replace(SPEC, workload=Workload((container,)))
        await instances.launch(spec)
        (first,) = instances.of_fleet("g-1-v")
        host.die(spec.instance_id)
        await _until(changed, lambda: first.sight.state is InstanceState.GONE)
        shelf.open, shelf.asked = asyncio.Event(), asyncio.Event()
        launching = asyncio.create_task(instances.launch(spec))
        async with asyncio.timeout(10):
            await shelf.asked.wait()
            await instances.retire(spec.instance_id, 1)
            shelf.open.set()
            await launching
        (second,) = instances.of_fleet("g-1-v")
        assert second is not first
        assert (second.restarts, second.death, restarts) == (0, None, [])


class Counted(FakeRuntime):
    """Counts what is waited for, and may refuse to end what runs."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host)
        self.seen: list[InstanceState] = []
        self.refuses = False

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        sight = await super().next_sight(handle, last)
        self.seen.append(sight.state)
        return sight

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        if self.refuses:
            raise LaunchFailed("not now")
        await super().retire(handle, grace_seconds)


def test_nobody_is_asked_how_an_instance_ended_that_was_to_end() -> None:
    async def test() -> None:
        changed = asyncio.Event()
        host = FakeHost(SystemClock())
        host.script("*", Script(retires_after_seconds=0.1))
        runtime = Counted(host)
        instances = Instances(runtime, SystemClock(), lambda fleet: changed.set())
        await instances.launch(SPEC)
        (watched,) = instances.of_fleet("g-1-v")
        await _until(changed, lambda: watched.sight.state is InstanceState.READY)
        await instances.retire(SPEC.instance_id, 10.0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert runtime.seen == [InstanceState.READY]
        assert instances.all() == []
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(test())


def test_one_that_could_not_be_ended_is_watched_on() -> None:
    async def test() -> None:
        changed = asyncio.Event()
        host = FakeHost(SystemClock())
        runtime = Counted(host)
        instances = Instances(runtime, SystemClock(), lambda fleet: changed.set())
        await instances.launch(SPEC)
        (watched,) = instances.of_fleet("g-1-v")
        await _until(changed, lambda: watched.sight.state is InstanceState.READY)
        runtime.refuses = True
        with pytest.raises(LaunchFailed):
            await instances.retire(SPEC.instance_id, 10.0)
        assert not watched.retiring
        host.die(SPEC.instance_id)
        await _until(changed, lambda: watched.sight.state is InstanceState.GONE)
        await instances.close()

    asyncio.run(test())
