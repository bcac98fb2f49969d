"""Where the fork server is spoken to: a socket, one line in from each client, one line back.

The socket's file says who serves in the run directory: whoever made it anew has taken our place.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from inservice.runtimes.process import code
from inservice.runtimes.process.isolation import Isolation
from inservice.runtimes.process.protocol import LINE_BYTES_MAX, Command, Pulse, Reply
from inservice.runtimes.process.records import Record
from inservice.runtimes.process.watch import Watch

_CROWDED_SECONDS = 0.1
"""Until a fork server that is out of descriptors looks for clients again, instead of being called
in a circle."""

_QUEUE_MAX = 256
"""Clients that wait to be accepted. Control asks for as many launches at once as it has to do."""


class Commands:
    """Reads commands and has them obeyed."""

    def __init__(
        self,
        watch: Watch,
        path: Path,
        obey: Callable[[Command, socket.socket], None],
        isolation: Isolation,
    ) -> None:
        """`obey` answers the client, now or later. What is known of the
        `isolation` of models is said with each answer."""
        self._watch = watch
        self._path = path
        self._obey = obey
        self._isolation = isolation
        code.identity()  # now, as it has to be
        path.unlink(missing_ok=True)  # a dead one's: the lock says that we are the only one
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._inode = path.stat().st_ino
        self._listener.listen(_QUEUE_MAX)
        self._listener.setblocking(False)
        self._await_clients()

    def are_found(self) -> bool:
        """Whether the socket in the run directory is ours."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Nobody is to find us any more."""
        if self.are_found():
            self._path.unlink()

    def answer(
        self,
        clients: list[socket.socket],
        *,
        record: Record | None = None,
        pulse: Pulse | None = None,
        error: str | None = None,
        errno: int | None = None,
    ) -> None:
        """Say the same to each of these, and forget them."""
        line = self.line(record=record, pulse=pulse, error=error, errno=errno)
        for client in clients:
            with client, contextlib.suppress(OSError):  # it may have died; the deed is done
                client.sendall(line)
        clients.clear()

    def answer_failure(self, clients: list[socket.socket], error: Exception) -> None:
        """It could not be done."""
        number = error.errno if isinstance(error, OSError) else None
        self.answer(clients, error=f"{type(error).__name__}: {error}", errno=number)

    def line(
        self,
        *,
        record: Record | None = None,
        pulse: Pulse | None = None,
        error: str | None = None,
        errno: int | None = None,
    ) -> bytes:
        """An answer as it is sent."""
        reply = Reply(
            pid=os.getpid(),
            code=code.identity(),
            record=record,
            pulse=pulse,
            error=error,
            errno=errno,
            unprotected=self._isolation.unprotected,
            isolation=self._isolation.level or "",
            unplaced=self._isolation.unplaced,
        )
        return msgspec.json.encode(reply) + b"\n"

    def _await_clients(self) -> None:
        self._watch.readable(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:
            self._watch.forget(self._listener.fileno())
            self._watch.after(_CROWDED_SECONDS, self._await_clients)
            return
        client.setblocking(False)
        received = bytearray()
        self._watch.readable(client.fileno(), lambda: self._receive(client, received))

    def _receive(self, client: socket.socket, received: bytearray) -> None:
        try:
            chunk = client.recv(LINE_BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            chunk = b""
        received += chunk
        if chunk and len(received) <= LINE_BYTES_MAX and not received.endswith(b"\n"):
            return
        self._watch.forget(client.fileno())
        if not received.endswith(b"\n"):
            client.close()
            return
        try:
            command: Command = msgspec.json.decode(received, type=Command)
            self._obey(command, client)
        except (msgspec.MsgspecError, OSError) as error:
            self.answer_failure([client], error)
