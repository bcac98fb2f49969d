"""Two clocks of the virtual loop: the steady one, and the machine's, which somebody may set."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from inservice.clock import Due

EPOCH = 1_800_000_000.0
"""When a history begins, by a clock that is right."""


@dataclass
class MachineClock:
    """What the machine's clock says beside the truth. It steps; the truth does not."""

    loop: asyncio.AbstractEventLoop
    wrong_by: float = 0.0

    def wall(self) -> float:
        """Seconds since the epoch, as the machine has them."""
        return EPOCH + self.loop.time() + self.wrong_by


class VirtualClock:
    """`inservice.clock.Clock` on the virtual loop, as a process that starts now has it.

    Like `SystemClock`, `now` asks the machine once, and is steady from then on.
    """

    def __init__(self, machine: MachineClock) -> None:
        self._machine = machine
        self._loop = machine.loop
        self._offset = machine.wall() - machine.loop.time()

    def now(self) -> float:
        return self._loop.time() + self._offset

    def wall(self) -> float:
        return self._machine.wall()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: Due, until: float) -> bool:
        if event.is_set():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until - self._offset):
                await event.wait()
        return event.is_set()
