"""A container that is watched: pinged by turns, and followed to its end, which the kernel tells.

Nobody is asked again and again whether it still runs: a pidfd becomes readable when its first
process ends. It costs control what a ping in five seconds costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from inservice.clock import Due
from inservice.instance_logs import writer
from inservice.runtimes import pinging
from inservice.runtimes.base import InstanceState, Probe, Sight
from inservice.runtimes.oci.pinging import ping
from inservice.runtimes.oci.records import Ready, Record, age_seconds, open_process

LINES_SHOWN = 120
"""A traceback through a framework has a hundred lines, and the user's own is among the first."""

Keep = Callable[[Record], None]
"""Keeps a record that has changed."""


class Watch:
    """Of one container, from its start or its adoption to its end."""

    def __init__(self, record: Record, keep: Keep, ended: Callable[[Record], Awaitable[Record]]):
        """`ended` gives the record of a container that has ended, with how."""
        self.record = record
        self._keep = keep
        self._ended = ended
        self.probes: deque[Probe] = deque(maxlen=pinging.PROBES_KEPT)
        self.well = record.ready is not None  # until a ping says otherwise
        self._listeners: set[Due] = set()
        self._pinging: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def state(self) -> InstanceState:
        """What it was seen to be last."""
        if self._over.is_set():
            return InstanceState.GONE
        return pinging.state(well=self.well, was_ready=self.record.ready is not None)

    def sight(self) -> Sight:
        """All that is known of it."""
        record, probes = self.record, tuple(self.probes)
        ready_at = record.ready.at if record.ready else None
        phases = record.ready.phases if record.ready else {"fork": record.start_seconds}
        if record.exit is None:
            return Sight(
                self.state,
                ready_at=ready_at,
                age_seconds=age_seconds(record.start_ticks),
                last_lines=() if self.well else last_lines(record),
                probes=probes,
                phases=phases,
            )
        lived = record.exit.lived_seconds
        return Sight(
            InstanceState.GONE,
            ready_at=ready_at,
            age_seconds=max(0.0, record.exit.at - record.started_at) if lived is None else lived,
            exit_code=record.exit.exit_code,
            signal=record.exit.signal,
            out_of_memory=record.exit.out_of_memory,
            last_lines=last_lines(record),
            probes=probes,
            phases=phases,
        )

    async def look(self) -> None:
        """Ping it now, or hear what the ping under way brings."""
        if self._pinging is None:
            self._pinging = asyncio.create_task(self._ping())
        waiting = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({self._pinging, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def news(self, last: Sight | None) -> None:
        """Return when it is to be seen otherwise than so."""
        due = Due()
        self._listeners.add(due)
        try:
            while not (
                last is None
                or self._over.is_set()
                or pinging.is_news(self.state, tuple(self.probes), last)
            ):
                due.clear()
                await due.wait()
        finally:
            self._listeners.discard(due)

    async def over(self, seconds: float | None = None) -> bool:
        """Whether it has ended, after so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def stop(self) -> None:
        """Watch no more."""
        tasks = [task for task in (self._task, self._pinging) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── its life ────────────────────────────────────────────────────────────────────────────────
    async def _run(self) -> None:
        pidfd = open_process(self.record)
        turns = asyncio.create_task(self._take_turns())
        try:
            if pidfd is not None:
                await _readable(pidfd)
        finally:
            turns.cancel()
            if pidfd is not None:
                os.close(pidfd)
        self.record = await self._ended(self.record)
        self._over.set()
        self._tell()

    async def _take_turns(self) -> None:
        pause = pinging.FIRST_LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            await self.look()
            if self.well:
                pause = pinging.STEADY_LOOK_SECONDS
            elif self.record.ready is not None:
                pause = pinging.ILL_LOOK_SECONDS
            else:
                longer = pause * pinging.STARTING_LOOK_GROWTH
                pause = min(longer, pinging.STARTING_LOOK_SECONDS_MAX)

    async def _ping(self) -> None:
        try:
            answer = await ping(self.record)
        finally:
            self._pinging = None
        probe = answer.probe
        self.probes.extend(self.probes.pop().before(probe) if self.probes else (probe,))
        was = self.state
        self.well = probe.outcome == "200"
        if self.well and self.record.ready is None:
            at = time.time()
            rest = at - self.record.started_at - sum(answer.phases.values())
            known = {"fork": self.record.start_seconds, **answer.phases, "ping": max(0.0, rest)}
            self.record = replace(self.record, ready=Ready(at=at, phases=known))
            with contextlib.suppress(OSError):  # a full disk: then only we know
                self._keep(self.record)
        if not self.well or self.state is not was:
            self._tell()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener.set()


def last_lines(record: Record) -> tuple[str, ...]:
    """What it printed last. Of this incarnation only: the log is that of the id."""
    return writer.tail(Path(record.log_path), LINES_SHOWN, since=record.began_at)


async def _readable(descriptor: int) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
