"""Time as a dependency: whoever needs `now` is given a Clock, so tests and simulations own time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

from inservice.values import Instant


class Clock(Protocol):
    """What the time is, and a way to wait for it."""

    def now(self) -> Instant:
        """Seconds since the epoch, steady: what it was at start and as many seconds as have passed
        since. For durations, and for whatever is compared with another `now`."""
        ...

    def wall(self) -> Instant:
        """Seconds since the epoch as the machine's clock has them, its steps included. For what
        others have dated by theirs: signatures, and the ends of keys and sessions. Never for how
        long something took."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    async def wait(self, event: asyncio.Event, until: Instant) -> bool:
        """Return when the event is set, or at `until` (as `now` tells it) if that is sooner; says
        whether it is set.

        Whoever reads deadlines from a clock waits by it too: were the waiting the event loop's, a
        test that owns the time could not hurry it.
        """
        ...


class SystemClock:
    """Two clocks, since one cannot be both.

    A step of the machine's clock during a bake must neither end it nor prolong it, so `now` asks
    the wall clock once, and the monotonic one from then on. A signature that was made by a clock
    that is right must be accepted as soon as ours is right too, so `wall` asks it each time.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> Instant:
        return time.monotonic() + self._offset

    def wall(self) -> Instant:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, until: Instant) -> bool:
        # `wait_for` forgets that it was cancelled when the event comes at that moment.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self.now())):
                await event.wait()
        return event.is_set()
