"""Accepting on a socket that other processes accept on too.

A loop's own server accepts until nobody is left in the queue. So the first worker to wake takes a
burst of clients whole, and keeps it, since clients keep their connections: with 32 of them two
workers were no faster than one in two runs of five. Here a worker accepts one client a wake-up, and
while it has more than its part it leaves the next one to the others for a moment. That costs
50 µs of CPU a connection more than the 90 of the loop's own way, and nothing after it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import Final

from inservice.transport.census import Census

TURN_SECONDS: Final = 0.005
"""How long a client is left to the processes that have fewer. Awake they need 50 µs; one that is
stuck must not cost the others' clients more than this."""

FULL_SECONDS: Final = 0.1
"""How long nobody is accepted when there is no file descriptor left: the queue stays readable, and
asking again at once would be a busy loop."""


class Acceptor:
    """One listening socket. What it has of asyncio's servers is what `Server` asks for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        census: Census | None,
    ) -> None:
        self.sockets = (listening,)
        self._loop = loop
        self._listening = listening
        self._make = make
        self._connections = connections
        self._census = census
        self._opening: set[asyncio.Task[object]] = set()
        self._turn_left = False  # the others have had their chance to take the next client
        self._closed = False
        listening.setblocking(False)
        self.count()
        self._again()

    def close(self) -> None:
        """Accept nobody any more; the queue is the other processes'."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()

    def count(self) -> None:
        """Tell the others how many clients there are now."""
        if self._census is not None and not self._closed:
            self._census.tell(self._clients)

    @property
    def _clients(self) -> int:
        return len(self._connections) + len(self._opening)

    def _again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._loop.call_later(seconds, self._again)

    def _accept(self) -> None:
        census = self._census
        if census is not None and not self._turn_left and census.is_ahead(self._clients):
            self._turn_left = True
            self._pause(TURN_SECONDS)
            return
        self._turn_left = False
        try:
            client, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or the client has left
        except OSError:
            self._pause(FULL_SECONDS)
            return
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = self._loop.connect_accepted_socket(self._make, client)
        task: asyncio.Task[object] = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        self.count()
