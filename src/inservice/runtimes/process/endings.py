"""What there is to find out and to clear away when an instance has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from inservice.runtimes.memory import OomKills
from inservice.runtimes.process import remains
from inservice.runtimes.process.records import Exit, Record, age_seconds


class Endings:
    """Says how instances ended, and sees to it that nothing of them goes on."""

    def __init__(self) -> None:
        self._oom_kills = OomKills()
        self._restless: list[Record] = []  # of what these had started, something would not go

    def how(
        self,
        record: Record,
        dead: os.waitid_result | None,
        *,
        asked: bool,
        killed: bool,
        ran_out: bool | None = None,
    ) -> Exit:
        """How an instance ended, `asked` to by us or not, by our SIGKILL or not. Of one that was
        adopted there is no status, only what the kernel says about memory. Of one that was limited
        it is known whether it `ran_out` of that."""
        now, lived = time.time(), age_seconds(record)
        if dead is not None and dead.si_code == os.CLD_EXITED:
            return Exit(at=now, exit_code=dead.si_status, lived_seconds=lived)
        name = None if dead is None else _name(dead.si_status)
        unasked = not asked if name is None else name == "SIGKILL" and not killed
        if ran_out is None:
            ran_out = unasked and self._oom_kills.claim(record.pid, record.start_ticks)
        return Exit(
            at=now,
            signal=name,
            out_of_memory=unasked and ran_out,
            memory_bytes_max=record.memory_bytes_max,
            lived_seconds=lived,
        )

    def clear(self, dead: list[Record], living: Iterable[Record]) -> None:
        """End what these dead had started, and what of earlier ones would not go."""
        dead = [*self._restless, *dead]
        self._restless = [] if not dead or remains.kill(dead, living) else dead

    def look_around(self, living: Iterable[Record]) -> None:
        """Now and then."""
        self._oom_kills.look()
        self.clear([], living)


def _name(number: int) -> str:
    """Real-time signals but the first and the last have no name; a model may send itself any."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
