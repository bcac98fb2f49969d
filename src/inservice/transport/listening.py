"""Listening sockets, the connections that they were asked for, and the deadlines of those.

What a connection is, this module does not know: a `Peer` is all that a server asks of one.
`connection` says what a connection does with what comes on it, and `server` what is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from inservice.transport.acceptor import Acceptor
from inservice.transport.census import Census
from inservice.transport.limits import Limits
from inservice.transport.patience import Watch, within

NEVER: Final = float("inf")

_log = logging.getLogger(__name__)

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)

_SWEEP_SECONDS: Final = 1.0
"""How often deadlines are looked at: all of them are seconds long."""


class Peer:
    """One client's connection, as its server sees it.

    A class and not a protocol: what is compiled finds its attributes by their offset.
    """

    __slots__ = ("deadline", "stalled_since", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.deadline = NEVER
        """When the server's sweep calls `deadline_passed`, in the time that it watched."""
        self.stalled_since = NEVER
        """Since when the client has not taken what we wrote, or NEVER."""

    @property
    def idle(self) -> bool:
        """Nothing of a request has come since the last answer."""
        raise AssertionError("nobody knows")

    def close(self) -> None:
        """Send what was written, then close."""
        raise AssertionError("nobody closes it")

    def deadline_passed(self, now: float) -> None:
        """The server's sweep found `deadline` in the past."""
        raise AssertionError(f"nobody minds that it is {now}")


class Server:
    """Listening sockets and their connections."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self.connections: set[Peer] = set()
        self.requests = 0
        """Whole requests that were given to be answered."""
        self.refused = 0
        """Requests that the transport refused itself."""
        self.turned_away = 0
        """Connections closed at once because there were too many."""
        self.date = b""
        """The Date header line, renewed with each sweep."""
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._loop, _SWEEP_SECONDS)
        self.now = self._watch.now
        """The time that was watched, as of the last sweep: exact enough for deadlines of whole
        seconds, and free, where asking costs 0.1 µs at a dozen places."""
        self._listeners: list[asyncio.AbstractServer | Acceptor] = []
        self._acceptors: list[Acceptor] = []
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._timer: asyncio.TimerHandle | None = None
        """To the next sweep. There is none while nobody is connected: an idle model server would
        wake up every second for nothing, as would hundreds of them on one host."""
        self._sweep()

    async def listen(
        self,
        protocol: Callable[[], Peer],
        *,
        sockets: list[socket.socket] | None = None,
        path: str | Path | None = None,
        backlog: int = 2048,
    ) -> None:
        """Accept connections on inherited listening sockets, on a UNIX socket's path, or both."""
        make, loop = cast("Callable[[], asyncio.Protocol]", protocol), self._loop
        for listening in sockets or ():
            if listening.family == socket.AF_UNIX:
                server = await loop.create_unix_server(make, sock=listening, backlog=backlog)
            else:
                server = await loop.create_server(make, sock=listening, backlog=backlog)
            self._listeners.append(server)
        if path is not None:
            self._listeners.append(await loop.create_unix_server(make, str(path), backlog=backlog))

    def share(
        self,
        protocol: Callable[[], Peer],
        sockets: list[socket.socket],
        census: Census | None = None,
    ) -> None:
        """Accept on sockets that other processes accept on too, each to have its part."""
        make = cast("Callable[[], asyncio.Protocol]", protocol)
        self._acceptors = [
            Acceptor(self._loop, listening, make, self.connections, census) for listening in sockets
        ]
        self._listeners += self._acceptors
        if self._timer is None:
            self._sweep()

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Where this server listens."""
        return [
            listening.getsockname()[:2]
            if listening.family != socket.AF_UNIX
            else listening.getsockname()
            for server in self._listeners
            for listening in getattr(server, "sockets", ())
        ]

    def add(self, connection: Peer) -> None:
        """A connection is made."""
        self.connections.add(connection)
        self._emptied.clear()
        if self._timer is None:
            self._sweep()
        if len(self.connections) > self.limits.connections_max:
            self.turned_away += 1
            connection.transport.abort()

    def remove(self, connection: Peer) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()
            if not self._acceptors:
                self._stop_sweeping()

    async def drain(self, deadline_seconds: float = 30.0, idle_seconds: float = 1.0) -> None:
        """Accept nothing new, finish what is in flight, then close.

        Every answer from now on says `Connection: close`. Idle connections are left open for
        `idle_seconds`, since a request may already be on its way on one of them; whatever is still
        in flight after `deadline_seconds` is cut off.
        """
        self.draining = True
        for listener in self._listeners:
            listener.close()
        began = self._loop.time()
        with contextlib.suppress(TimeoutError):
            await within(min(idle_seconds, deadline_seconds), self._emptied.wait())
        for connection in tuple(self.connections):
            if connection.idle:
                connection.close()
        await self._wait_until_empty(began + deadline_seconds - self._loop.time())
        if cut_off := sum(not connection.idle for connection in self.connections):
            _log.warning("cut off %d requests after %g s of grace", cut_off, deadline_seconds)
        for connection in tuple(self.connections):
            connection.transport.abort()
        await self._wait_until_empty(_SWEEP_SECONDS)
        self._stop_sweeping()

    async def _wait_until_empty(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._emptied.wait(), max(seconds, 0.0))

    def _sweep(self) -> None:
        """Close what has outstayed a deadline; renew the time and the Date header. Sweeping goes on
        while there are connections, or a census of them is to be kept."""
        now = self._watch.look()
        self.now = self._watch.now
        stalled_before = now - self.limits.write_stall_seconds
        for connection in tuple(self.connections):
            if connection.stalled_since < stalled_before:
                connection.transport.abort()
            elif connection.deadline < now:
                connection.deadline_passed(now)
        for acceptor in self._acceptors:
            acceptor.count()
        self.date = b"date: %b\r\n" % http_date(time.time()).encode()
        if self.connections or self._acceptors:
            self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        else:
            self._timer = None

    def _stop_sweeping(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def http_date(moment: float) -> str:
    """Epoch seconds as a Date field has them. The library for it is one for mail, ten modules that
    every process of the server would import."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(moment)
    name, of = _DAYS[weekday], _MONTHS[month - 1]
    return f"{name}, {day:02} {of} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
