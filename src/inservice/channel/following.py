"""A worker's end of the channel on its socket, for as long as the worker lives.

When control is gone, or says what is no message, the worker serves on from the table it has, and
calls again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Protocol

from inservice.channel.messages import LINE_BYTES_MAX, Garbled, Lines
from inservice.channel.worker import Serving, WorkerEnd
from inservice.clock import Clock

_log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.25
"""Control is back within a second or two of a crash, and this is all that waits for it."""

COUNT_SECONDS = 1.0
"""How often counts are sent: the finest metrics have periods of one second."""

READ_BYTES = 256 * 1024


class Counted(Protocol):
    """What a worker counts, in messages that are kept until control has confirmed them."""

    def flush(self, at: float) -> bytes | None:
        """The next message, of what was counted up to `at`; None if there is nothing to say."""
        ...

    def unconfirmed(self) -> list[bytes]:
        """Every message that control has not confirmed, oldest first."""
        ...

    def confirm(self, seq: int) -> None:
        """Control has kept everything up to `seq`."""
        ...


class Refusing(Protocol):
    """What a worker refused."""

    def take(self, *, there: bool) -> bytes | None:
        """The message to send now, if control is `there`; None if there is nothing to say."""
        ...


class Channel:
    """Keeps a connection to control."""

    def __init__(
        self,
        path: Path,
        index: int,
        serving: Serving,
        counted: Counted,
        refusing: Refusing,
        clock: Clock,
        *,
        routes: bool = True,
    ) -> None:
        """`routes`: see `WorkerEnd`."""
        self._path = path
        self._end = WorkerEnd(serving, os.getpid(), index, routes=routes)
        self._counted = counted
        self._refusing = refusing
        self._clock = clock
        self._writer: asyncio.StreamWriter | None = None
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            # A writer whose connection is gone raises RuntimeError, not OSError (uvloop).
            with contextlib.suppress(OSError, RuntimeError):
                try:
                    await self._converse()
                except Garbled as garbled:
                    _log.error("control was not understood: %s", garbled)
            self._writer = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def report(self) -> None:
        """Send counts, and who was refused, every second, until cancelled."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            self.send_counts()

    def send_counts(self) -> None:
        """Close the current rows; send them, and who was refused, if control is there, else they
        wait for it."""
        writer = self._writer
        there = writer is not None and not writer.is_closing()
        counts = self._counted.flush(self._clock.now())
        for message in (counts, self._refusing.take(there=there)):
            if message is not None and writer is not None and there:
                writer.write(message)

    async def confirmed(self) -> None:
        """Return when control has confirmed all counts. Waits for ever if it is gone."""
        while self._counted.unconfirmed():
            self._news.clear()
            await self._news.wait()

    async def _converse(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=READ_BYTES)
        try:
            writer.write(self._end.greeting())
            for message in self._counted.unconfirmed():
                writer.write(message)
            self._writer = writer
            lines = Lines(LINE_BYTES_MAX)
            while data := await reader.read(READ_BYTES):
                for line in lines.feed(data):
                    self._hear(line, writer)
        finally:
            self._writer = None
            writer.close()

    def _hear(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        heard = self._end.hear(line)
        for note in heard.notes:
            _log.error("%s", note)
        if heard.answer:
            writer.write(heard.answer)
        if heard.kept is not None:
            self._counted.confirm(heard.kept)
            self._news.set()
