"""How instances are watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inservice.clock import SystemClock
from inservice.controller.endpoints.instances import Instances
from inservice.runtimes.base import InstanceState, LaunchSpec
from inservice.testing.runtime import FakeHost, FakeRuntime

SPEC = LaunchSpec("g-1-v/0", "000000000000", "us-east-1", "e", "v", "image", "primary", None)


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
