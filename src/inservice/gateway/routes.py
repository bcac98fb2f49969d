"""The worker's copy of the routing table, and its end of the channel to control.

A worker starts from the files, follows the channel, acknowledges every version, and never goes
back: an older table may send requests to instances that were stopped since. When control is gone,
or sends something that is no table, it serves on from the last good one. What it is sent is mostly
the change of one endpoint; if it has missed the one before, it says so and gets the whole table. A
control that has lost its table is told ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Set
from pathlib import Path
from typing import Protocol

import msgspec

from inservice.clock import Clock
from inservice.gateway.runtime.taps.counting import Counting
from inservice.routing import EndpointRoute, RoutingTable
from inservice.transport.table_file import TableFile
from inservice.transport.tables import (
    LINE_BYTES_MAX,
    changed_by_all,
    decode_change,
    decode_table,
    encode_table,
)

_log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.25
"""Control is back within a second or two of a crash, and this is all that waits for it."""

COUNT_SECONDS = 1.0
"""How often counts are sent: the finest metrics have periods of one second."""


class Listed(Protocol):
    """Told what instances the table lists now, when some are not listed any more."""

    def __call__(self, ids: Set[str], addresses: Set[str]) -> None:
        """Sets that go on changing: not to be kept."""
        ...


class Routes:
    """The table that this worker serves from."""

    def __init__(self, path: Path, on_fewer: Listed) -> None:
        self._file = TableFile(path)
        self._on_fewer = on_fewer
        self._ids: set[str] = set()
        self._addresses: set[str] = set()
        self.table = RoutingTable(-1, {}, {})
        self.refused = 0
        """Tables that were older than ours, or no tables at all."""

    def load(self) -> None:
        """Take the table on disk, if there is one, if it can be read, if it is one."""
        try:
            self._take(self._file.read())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:  # control has a table too, and the channel is there
            self._refuse(error)

    def offer(self, encoded: bytes) -> bool:
        """Serve from this table from now on, if it is sound and newer. Says whether we do."""
        try:
            return self._take(decode_table(encoded))
        except ValueError as error:
            self._refuse(error)
            return False

    def change(self, encoded: bytes) -> bool:
        """Serve by the next table, which differs from ours in this. False if it is the change of
        another table than ours: then one before it was missed, and nothing has changed."""
        try:
            change = decode_change(encoded)
        except ValueError as error:
            self._refuse(error)
            return False
        if change.version <= self.table.version:
            return True  # what we have is newer, and says this as well
        if change.after != self.table.version:
            return False
        before = self.table.endpoints.get(change.endpoint) if change.endpoint else None
        self.table = changed_by_all(self.table, [change])
        gone, come = _instances(before), _instances(change.route)
        left = gone.items() - come.items()
        self._ids.difference_update(instance for instance, _ in left)
        self._addresses.difference_update(address for _, address in left)
        self._ids.update(come)
        self._addresses.update(come.values())
        if left:
            self._on_fewer(self._ids, self._addresses)
        return True

    def _take(self, table: RoutingTable) -> bool:
        if table.version <= self.table.version:
            self.refused += table.version < self.table.version
            return False
        self.table = table
        self._ids.clear()
        self._addresses.clear()
        for route in table.endpoints.values():
            listed = _instances(route)
            self._ids.update(listed)
            self._addresses.update(listed.values())
        self._on_fewer(self._ids, self._addresses)
        return True

    def _refuse(self, error: Exception) -> None:
        self.refused += 1
        _log.error("a routing table was refused: %s", error)


def _instances(route: EndpointRoute | None) -> dict[str, str]:
    """Addresses by instance id."""
    if route is None:
        return {}
    return {one.id: one.address for fleet in route.fleets for one in fleet.instances}


class _Message(msgspec.Struct):
    """What control may say."""

    table: msgspec.Raw = msgspec.Raw()
    change: msgspec.Raw = msgspec.Raw()
    tell: bool = False
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
            self._answer(writer, "ack")
        if change := bytes(message.change):
            self._answer(writer, "ack" if self._routes.change(change) else "missed")
        if message.tell:
            table = encode_table(self._routes.table)
            writer.write(b'{"told":' + table + b"}\n")
        if message.metrics_ack is not None:
            self._counting.confirm(message.metrics_ack)
            self._news.set()

    def _answer(self, writer: asyncio.StreamWriter, word: str) -> None:
        writer.write(msgspec.json.encode({word: self._routes.table.version}) + b"\n")
