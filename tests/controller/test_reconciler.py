"""How turns come to their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inservice.operations  # noqa: F401 - fills the registry
from inservice.clock import SystemClock
from inservice.hosting.endpoint import EndpointStatus
from inservice.runtimes.base import InstanceState
from inservice.testing.runtime import FakeHost, Script
from tests.controller.rig import Controller, FakeWorker

GONE = InstanceState.GONE


def test_control_stops_though_something_wakes_an_endpoint_at_that_very_moment(
    tmp_path: Path,
) -> None:
    """A turn that waits, is woken and is cancelled in one round of the event loop."""

    async def test() -> None:
        host = FakeHost(SystemClock())
        key = ("000000000000", "us-east-1", "ep")
        host.script("*", Script(ready_after_seconds=None))
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        control = await Controller.born(tmp_path, host, lambda _: None)
        create(control)
        await until(lambda: bool(host.alive()))
        await asyncio.sleep(0.05)  # to where it waits for news
        control.reconciler.wake(key)
        # The waiter of the event is done now, and the task that awaits it has not run yet.
        await asyncio.sleep(0)
        control.reconciler.wake(key)
        async with asyncio.timeout(10):
            await control.reconciler.close()
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(test())


def test_an_endpoint_that_is_made_again_while_its_deletion_is_being_saved_is_seen_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wake-up of the new one reaches the turn that ends the old one."""

    async def test() -> None:
        host, loop = FakeHost(SystemClock()), asyncio.get_running_loop()
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        control = await Controller.born(tmp_path, host, lambda _: None)
        create(control)
        await until(lambda: len(host.alive()) == 1)
        first = host.alive()
        save = control.reconciler._save

        def save_and_be_overtaken(record: Any, facts: Any, decision: Any) -> None:
            save(record, facts, decision)
            if decision.gone:
                control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")
                woken = threading.Event()
                loop.call_soon_threadsafe(woken.set)  # behind the wake-up
                assert woken.wait(10)

        monkeypatch.setattr(control.reconciler, "_save", save_and_be_overtaken)
        await until(lambda: is_in_service(control))
        control.call("DeleteEndpoint", EndpointName="ep")
        await until(lambda: len(host.alive()) == 1 and host.alive() != first)
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(test())


def test_an_endpoint_that_rests_has_no_task_and_is_seen_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever wakes it, and by the net below the wake-ups."""
    monkeypatch.setattr("inservice.controller.endpoints.reconciler.IDLE_SECONDS", 0.1)

    async def test() -> None:
        host = FakeHost(SystemClock())
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        control = await Controller.born(tmp_path, host, lambda _: None)
        create(control)
        await until(lambda: is_in_service(control) and turning() == 0)
        (first,) = host.alive()
        host.die(first)
        await until(lambda: len(host.alive()) == 1 and turning() == 0)
        turns = 0
        facts = control.reconciler._observer.facts

        def counted(*asked: Any) -> Any:
            nonlocal turns
            turns += 1
            return facts(*asked)

        monkeypatch.setattr(control.reconciler._observer, "facts", counted)
        await until(lambda: turns >= 4)
        control.call("DeleteEndpoint", EndpointName="ep")
        await until(lambda: control.record("ep") is None and not host.alive())
        await until(lambda: turning() == 0 and not names("_wake_the_rested"))
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    def names(coroutine: str) -> list[str]:
        tasks = [str(task.get_coro()) for task in asyncio.all_tasks()]
        return [name for name in tasks if f"Reconciler.{coroutine} " in name]

    def turning() -> int:
        return len(names("_take_turns"))

    asyncio.run(test())


def test_what_ends_while_control_stops_is_not_started_again(tmp_path: Path) -> None:
    """The end of an instance wakes its endpoint, which rested, and nobody decides any more."""

    async def test() -> None:
        host = FakeHost(SystemClock())
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        control = await Controller.born(tmp_path, host, lambda _: None)
        create(control)
        await until(lambda: is_in_service(control) and bool(control.reconciler._resting))
        await control.reconciler.close()
        before = asyncio.all_tasks()
        for instance in host.alive():
            host.die(instance)
        await until(lambda: all(each.sight.state is GONE for each in control.instances.all()))
        control.reconciler.wake(("000000000000", "us-east-1", "ep"))
        assert asyncio.all_tasks() <= before
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(test())


def create(control: Controller) -> None:
    control.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1}
    control.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
    control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")


def is_in_service(control: Controller) -> bool:
    record = control.record("ep")
    return record is not None and record.endpoint.status is EndpointStatus.IN_SERVICE


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)
