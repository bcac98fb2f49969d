"""How instances are watched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inservice.clock import SystemClock
from inservice.controller.endpoints.instances import STEADY_LOOK_SECONDS, Instances
from inservice.runtimes.base import InstanceState, LaunchSpec
from inservice.testing.runtime import FakeHost, FakeRuntime

SPEC = LaunchSpec("g-1-v/0", "000000000000", "us-east-1", "e", "v", "image", "primary", None)


class NoSecondLook(SystemClock):
    """A clock by which the next look at a steady instance never comes."""

    async def sleep(self, seconds: float) -> None:
        if seconds >= STEADY_LOOK_SECONDS:
            await asyncio.Event().wait()
        await super().sleep(seconds)


def test_an_end_is_seen_as_it_comes_and_not_at_the_next_look() -> None:
    async def test() -> None:
        changed = asyncio.Event()
        host = FakeHost(SystemClock())
        instances = Instances(FakeRuntime(host), NoSecondLook(), lambda fleet: changed.set())
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
