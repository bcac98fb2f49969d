"""Deadlines that count only the time in which this process was able to watch.

A process that did not run for a while, for want of CPU, of memory, or because its own loop was held
up, finds all its timers due when it goes on, and a loop runs timers before it reads one byte of
what has come meanwhile. A timeout that is judged there blames whoever was waited for: at a load of
20 on 2 cores, 499 of 24,507 requests were refused because "no connection in time" was made to
models that had accepted it long before.

So time is counted in slices, and the rules are two. A slice counts for its length and no more,
however late its end is seen. And if the slice that ends a wait was late itself, the loop gets to
read what there is before anybody is judged. An idle machine sees no
difference; a starved one is patient for as long as it is starved, and never for ever, since each
slice counts for something.

`Watch` is this for who looks at many deadlines in regular sweeps, `Patience` and `within` for who
waits for one thing. Retries and periods need none of it: being late is no fault there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

SLICE_SECONDS: Final = 0.25
"""The longest slice of a single wait: what one stall can take off its deadline."""

LATE_SECONDS: Final = 0.1
"""A slice that ends later than this was not watched to its end. A loop that is merely busy is late
by a few milliseconds."""

_LAST_LOOK_SECONDS: Final = 0.002
"""Until the loop has read what came during a late slice. Above the millisecond that is the grain of
a loop's timers, so that it does not fire before the loop has read."""

_T = TypeVar("_T")


class Watch:
    """A clock for deadlines, moved on by regular looks. It stands still while nobody looks."""

    __slots__ = ("_looked_at", "_loop", "_period_seconds", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop, period_seconds: float) -> None:
        """`period_seconds` is how often `look` will be called."""
        self._loop = loop
        self._period_seconds = period_seconds
        self._looked_at = loop.time()
        self.now = self._looked_at
        """Seconds, as of the last look; what deadlines are made from."""

    def look(self) -> float:
        """Move on. Returns the time that deadlines may be judged by: `now`, or after a late look
        the `now` of the look before it, since when the loop has had a chance to read."""
        at, before = self._loop.time(), self.now
        elapsed, self._looked_at = at - self._looked_at, at
        if elapsed <= self._period_seconds + LATE_SECONDS:
            self.now = before + elapsed
            return self.now
        self.now = before + self._period_seconds
        return before


class Patience:
    """Calls `ended` once, after `seconds` that the loop was able to watch, unless cancelled."""

    __slots__ = ("_due_at", "_ended", "_last_look", "_left_seconds", "_loop", "_timer")

    def __init__(self, seconds: float, ended: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._left_seconds = seconds
        self._due_at = 0.0
        self._last_look = False
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def cancel(self) -> None:
        """What was waited for is there, or nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        seconds = min(max(self._left_seconds, 0.0), SLICE_SECONDS)
        self._left_seconds -= seconds
        self._wait_once(seconds)

    def _wait_once(self, seconds: float) -> None:
        self._due_at = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._slice_ended)

    def _slice_ended(self) -> None:
        if self._left_seconds > 0.0:
            self._wait()
        elif not self._last_look and self._loop.time() > self._due_at + LATE_SECONDS:
            self._last_look = True
            self._wait_once(_LAST_LOOK_SECONDS)
        else:
            self._timer = None
            self._ended()


async def within(seconds: float, waited_for: Awaitable[_T]) -> _T:
    """What it returns. Raises TimeoutError after `seconds` that the loop was able to watch."""
    async with asyncio.timeout(None) as limit:
        patience = Patience(seconds, lambda: limit.reschedule(0.0))
        try:
            return await waited_for
        finally:
            patience.cancel()
