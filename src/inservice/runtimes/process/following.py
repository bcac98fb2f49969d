"""What the fork server tells of its instances, heard by control.

One connection for all instances, on which nothing is said while nothing changes but that the fork
server still turns. When it breaks, the fork server is gone: another is started, which adopts what
runs, and tells anew of everything. So what is known here is either what the host saw last or, for
a moment, what it saw before that. A fork server that says nothing for long is stuck, and with it
the pings and the output of every instance: it is ended, which harms nothing but exit codes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec

from inservice.clock import Due
from inservice.runtimes.base import LaunchFailed
from inservice.runtimes.process import code, records
from inservice.runtimes.process.protocol import Follow, News, Pulse, Reply
from inservice.runtimes.process.records import Record

SILENT_SECONDS = 15.0
"""A fork server beats every five. Twice this long, each time watched by a loop that turned, it was
stuck: it does nothing by itself that takes longer than two."""

RETRY_SECONDS = 1.0
"""Between two tries to have a fork server, on a host that cannot start one."""

END_SECONDS = 5.0
"""Until a fork server that was told to go is gone."""

_LINE_BYTES_MAX = 64 * 1024 * 1024
"""Of the first line, which tells of all instances: some hundreds of bytes each."""

_NEWS = msgspec.json.Decoder(News)

_log = logging.getLogger(__name__)


class Following:
    """Follows the fork server of a run directory for as long as anybody wants to know."""

    def __init__(self, path: Path, revive: Callable[[], Awaitable[object]]) -> None:
        """`path` is the fork server's socket; `revive` sees to it that there is one, and raises
        LaunchFailed if there cannot be."""
        self._path = path
        self._revive = revive
        self._pulses: dict[str, Pulse] = {}
        self._listeners: dict[str, tuple[Due, ...]] = {}
        self.is_told = False
        """Whether everything was told that the fork server knew when this began."""
        self._task: asyncio.Task[None] | None = None
        self.lines = 0
        """Lines of news heard so far."""
        self._code = code.identity()
        self._has_replaced = False  # once is enough: who comes after it is what can be had

    def begin(self) -> None:
        """Follow from now on. Whoever listens hears of it when everything is told."""
        if self._task is None or self._task.done():
            self.is_told = False
            self._task = asyncio.create_task(self._follow())

    async def end(self) -> None:
        """Follow no more."""
        if self._task is not None and not self._task.done():  # else its loop may be gone, too
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def pulse(self, record: Record) -> Pulse | None:
        """How this very instance was seen last, if that is known."""
        pulse = self._pulses.get(record.instance_id)
        return pulse if pulse is not None and pulse.cookie == record.cookie else None

    def forget(self, record: Record) -> None:
        """It is no more."""
        if self.pulse(record) is not None:
            del self._pulses[record.instance_id]

    @contextlib.contextmanager
    def listening(self, instance_id: str) -> Iterator[Due]:
        """An event that is set whenever something is told of this instance, or everything anew."""
        event = Due()
        self._listeners[instance_id] = (*self._listeners.get(instance_id, ()), event)
        try:
            yield event
        finally:
            listeners = tuple(one for one in self._listeners[instance_id] if one is not event)
            if listeners:
                self._listeners[instance_id] = listeners
            else:
                del self._listeners[instance_id]

    # ── the connection ───────────────────────────────────────────────────────────────────────
    async def _follow(self) -> None:
        said = ""
        while True:
            try:
                await self._revive()
                await self._hear()
                said = ""
            except (OSError, LaunchFailed, ValueError) as error:  # msgspec's errors are ValueErrors
                if str(error) != said:
                    said = str(error)
                    _log.warning("instances are not pinged, nor their output kept: %s", said)
                await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self) -> None:
        """Until it ends."""
        reader, writer = await asyncio.open_unix_connection(self._path, limit=_LINE_BYTES_MAX)
        with contextlib.closing(writer):
            writer.write(msgspec.json.encode(Follow()) + b"\n")
            reply = msgspec.json.decode(await _line(reader), type=Reply)
            if reply.error is not None or (reply.code != self._code and not self._has_replaced):
                # Its instances are adopted by the next one.
                self._has_replaced = True
                _log.warning("the fork server, process %d, is of other code: replaced", reply.pid)
                await _end(reply.pid, signal.SIGTERM)
                return
            first = True
            while line := await self._next_line(reader, reply.pid):
                self._take(_NEWS.decode(line), whole=first)
                first = False

    async def _next_line(self, reader: asyncio.StreamReader, pid: int) -> bytes:
        """Empty at the end. Silence is judged twice: after the first time everything that had
        come while this process did not run has been read."""
        reading = asyncio.ensure_future(_line(reader))
        try:
            for _ in range(2):
                done, _ = await asyncio.wait({reading}, timeout=SILENT_SECONDS)
                if done:
                    return reading.result()
        finally:
            reading.cancel()
        _log.error("the fork server, process %d, is stuck and is replaced", pid)
        await _end(pid, signal.SIGKILL)
        return b""

    def _take(self, news: News, *, whole: bool) -> None:
        self.lines += 1
        if whole:
            self._pulses.clear()
            self.is_told = True
        self._pulses.update((pulse.instance_id, pulse) for pulse in news.pulses)
        stirred = tuple(self._listeners) if whole else [one.instance_id for one in news.pulses]
        for instance_id in stirred:
            for event in self._listeners.get(instance_id, ()):
                event.set()


@contextlib.asynccontextmanager
async def end_of(record: Record, told: Due) -> AsyncIterator[Callable[[], bool]]:
    """Whether its process has ended; `told` is set when it does."""
    pidfd = records.open_process(record)
    if pidfd is None:
        yield lambda: True
        return
    loop, ended = asyncio.get_running_loop(), False

    def end() -> None:
        nonlocal ended
        ended = True
        loop.remove_reader(pidfd)
        told.set()

    loop.add_reader(pidfd, end)
    try:
        yield lambda: ended
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""


async def _end(pid: int, number: signal.Signals) -> None:
    """Signal the process that has answered a moment ago, and wait until it is gone."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(pidfd, gone.set)
        try:
            records.send(pidfd, number)
            async with asyncio.timeout(END_SECONDS):
                await gone.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
