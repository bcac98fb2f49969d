"""Time as a dependency: whoever needs `now` is given a Clock, so tests and simulations own time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

Instant = float
"""Seconds since the epoch, as `Clock.now` tells them."""


class Clock(Protocol):
    """What the time is, and a way to wait for it."""

    def now(self) -> Instant:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class SystemClock:
    """Wall-clock at start, monotonic from then on.

    A step of the machine's clock during a bake must neither end it nor prolong it (reliability.md,
    A18), so after the first reading the wall clock is not asked again.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> Instant:
        return time.monotonic() + self._offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
