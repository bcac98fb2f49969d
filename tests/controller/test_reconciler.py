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
from inservice.testing.runtime import FakeHost, Script
from tests.controller.rig import Controller, FakeWorker


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
