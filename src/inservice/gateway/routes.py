"""The worker's copy of the routing table, and its end of the channel to control.

A worker starts from the file, follows the channel, acknowledges every version, and never goes back:
an older table may send requests to instances that were stopped since. When control is gone, or
sends something that is no table, it serves on from the last good one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from inservice.clock import Clock
from inservice.gateway.counting import Counting
from inservice.routing import RoutingTable
from inservice.transport.tables import decode_table

_log = logging.getLogger(__name__)

LINE_BYTES_MAX = 256 * 1024 * 1024
"""The longest message: a table of a hundred thousand instances is 20 MB."""

RECONNECT_SECONDS = 0.25
"""Control is back within a second or two of a crash, and this is all that waits for it."""

COUNT_SECONDS = 1.0
"""How often counts are sent: the finest metrics have periods of one second."""


class Routes:
    """The table that this worker serves from."""

    def __init__(self, path: Path, on_change: Callable[[RoutingTable], None]) -> None:
        self._path = path
        self._on_change = on_change
        self.table = RoutingTable(-1, {}, {})
        self.refused = 0
        """Tables that were older than ours, or no tables at all."""

    def load(self) -> None:
        """Take the table in the file, if there is one, if it can be read, if it is one."""
        try:
            self.offer(self._path.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:  # control has a table too, and the channel is there
            self.refused += 1
            _log.error("the file of the routing table cannot be read: %s", error)

    def offer(self, encoded: bytes) -> bool:
        """Serve from this table from now on, if it is sound and newer. Says whether we do."""
        try:
            table = decode_table(encoded)
        except ValueError as error:
            self.refused += 1
            _log.error("a routing table was refused: %s", error)
            return False
        if table.version <= self.table.version:
            self.refused += table.version < self.table.version
            return False
        self.table = table
        self._on_change(table)
        return True


class _Message(msgspec.Struct):
    """What control may say."""

    table: msgspec.Raw = msgspec.Raw()
    metrics_ack: int | None = None


_MESSAGES = msgspec.json.Decoder(_Message)


class Channel:
    """Keeps a connection to control for as long as the worker lives."""

    def __init__(
        self, path: Path, index: int, routes: Routes, counting: Counting, clock: Clock
    ) -> None:
        self._path = path
        self._index = index
        self._routes = routes
        self._counting = counting
        self._clock = clock
        self._writer: asyncio.StreamWriter | None = None
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            # A writer whose connection is gone raises RuntimeError, not OSError (uvloop).
            with contextlib.suppress(OSError, RuntimeError, asyncio.LimitOverrunError, ValueError):
                await self._converse()
            self._writer = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def report(self) -> None:
        """Send counts every second, until cancelled."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            self.send_counts()

    def send_counts(self) -> None:
        """Close the current rows; send them if control is there, else they wait for it."""
        message = self._counting.flush(self._clock.now())
        if message is not None and self._writer is not None and not self._writer.is_closing():
            self._writer.write(message)

    async def confirmed(self) -> None:
        """Return when control has confirmed all counts. Waits for ever if it is gone."""
        while self._counting.unconfirmed():
            self._news.clear()
            await self._news.wait()

    async def _converse(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES_MAX)
        try:
            hello = {
                "pid": os.getpid(),
                "index": self._index,
                "version": self._routes.table.version,
            }
            writer.write(msgspec.json.encode({"hello": hello}) + b"\n")
            for message in self._counting.unconfirmed():
                writer.write(message)
            self._writer = writer
            while line := await reader.readline():
                self._hear(line, writer)
        finally:
            self._writer = None
            writer.close()

    def _hear(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        message = _MESSAGES.decode(line)
        if table := bytes(message.table):
            self._routes.offer(table)
            # Also when it was refused: what control needs to know is what we serve from.
            writer.write(msgspec.json.encode({"ack": self._routes.table.version}) + b"\n")
        if message.metrics_ack is not None:
            self._counting.confirm(message.metrics_ack)
            self._news.set()
