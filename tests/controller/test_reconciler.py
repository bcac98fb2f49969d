"""How turns come to their end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import inservice.operations  # noqa: F401 - fills the registry
from inservice.clock import SystemClock
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
        control.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1}
        control.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
        control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")
        async with asyncio.timeout(10):
            while not host.alive():
                await asyncio.sleep(0.01)
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
