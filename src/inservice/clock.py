"""Time as a dependency: whoever needs `now` is given a Clock, so tests and simulations own time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from inservice.values import Instant


class Due:
    """What somebody waits for until it is set: asyncio's Event, in a tenth of its memory.

    Each endpoint has one, and each instance, and an Event makes a queue for who waits: 900 bytes.
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Whether it is, now."""
        return self._is_set

    def set(self) -> None:
        """It is; whoever waits goes on."""
        self._is_set = True
        for waiter in self._waiting:
            _let_go(waiter)

    def clear(self) -> None:
        """It is not any more."""
        self._is_set = False

    async def wait(self, seconds: float | None = None) -> bool:
        """Return when it is set, or after so many seconds if that is sooner; says whether it was
        set. One who is cancelled in that moment hears that, too."""
        if self._is_set:
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _let_go, waiter)
        self._waiting += (waiter,)
        try:
            await waiter
        finally:
            self._waiting = tuple(other for other in self._waiting if other is not waiter)
            if timer is not None:
                timer.cancel()
        return self._is_set


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


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

    async def wait(self, event: Due, until: Instant) -> bool:
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

    async def wait(self, event: Due, until: Instant) -> bool:
        await event.wait(max(0.0, until - self.now()))
        return event.is_set()
