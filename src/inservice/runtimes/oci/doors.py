"""The doors of a container's network: a process that leads single connections in and out.

    in    an isolated container has no network but its own loopback; whoever connects to a UNIX
          socket of this host is led to its port there. So nothing else ever is.
    out   code in a container that is to reach this server, for the credentials of its execution
          role, finds it at the same address of its own loopback as on this host's.

The process belongs to the container and not to control: it outlives control, and ends when the
container does. It needs the right to enter the container's network. Root has that; so has whoever
runs an engine without root, for its own containers; whoever merely may talk to Docker has it not.

A socket is of the network in which it was made, whoever uses it. So one thread is in the
container's network and makes sockets, and the loop, on this host's, moves bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path

from inservice import disk, linux

BACKLOG = 1024
"""Of the UNIX socket: a container that is slow to accept fills that of its own first."""

_BUFFER_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Doors:
    """What is opened, for whom."""

    pid: int  # of the container's first process
    start_ticks: int
    kept_at: str  # the file that tells which process this is
    socket: str = ""  # the way in: a UNIX socket of this host …
    port: int = 0  # … and the port in the container
    out: int = 0  # the way out: this port of the container's loopback is that of this host's

    def as_argument(self) -> str:
        """For the command line of the process."""
        return json.dumps(asdict(self))


class Inside:
    """A thread that is in another network, and makes sockets there."""

    def __init__(self, network: int) -> None:
        self._network = network
        self._asked: queue.SimpleQueue[tuple[Callable[[], socket.socket], Future[socket.socket]]]
        self._asked = queue.SimpleQueue()
        entered: Future[None] = Future()
        threading.Thread(target=self._run, args=(entered,), daemon=True).start()
        entered.result()

    def made(self, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket of that network. Raises OSError."""
        answer: Future[socket.socket] = Future()
        self._asked.put((make, answer))
        return answer.result()

    def _run(self, entered: Future[None]) -> None:
        try:
            linux.enter_namespace(self._network)
        except OSError as error:
            entered.set_exception(error)
            return
        entered.set_result(None)
        while True:
            make, answer = self._asked.get()
            try:
                answer.set_result(make())
            except OSError as error:
                answer.set_exception(error)


def main() -> int:
    """Open the doors; the command returns when they are open, and a process stays behind it."""
    doors = Doors(**json.loads(sys.argv[1]))
    try:
        pidfd = os.pidfd_open(doors.pid)
        if linux.start_ticks(doors.pid) != doors.start_ticks:
            raise ProcessLookupError(3, "the container has ended")
        network = os.open(f"/proc/{doors.pid}/ns/net", os.O_RDONLY)
        listener = _listening_here(doors.socket) if doors.socket else None
        with contextlib.suppress(PermissionError):
            # Where this process has no right to that network by itself, it may have it as a member
            # of the users that the network belongs to. It cannot enter those it is in already.
            _enter_users(doors.pid)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return 1
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        with os.fdopen(ready, "rb") as waiting:
            words = waiting.read().decode()
        sys.stderr.write(words)
        return 1 if words else 0
    os.close(ready)
    os.setsid()
    try:
        inside = Inside(network)
        outer = inside.made(lambda: _listening_there(doors.out)) if doors.out else None
    except OSError as error:
        os.write(told, f"{error.strerror or error}\n".encode())
        os._exit(1)
    kept = f"{os.getpid()} {linux.start_ticks(os.getpid())}"
    disk.write(Path(doors.kept_at), kept.encode(), synced=False)
    _leave_terminal()
    os.close(told)
    asyncio.run(_serve(doors, inside, listener, outer, pidfd))
    if doors.socket:
        Path(doors.socket).unlink(missing_ok=True)
    Path(doors.kept_at).unlink(missing_ok=True)
    return 0


def _enter_users(pid: int) -> None:
    theirs, ours = f"/proc/{pid}/ns/user", "/proc/self/ns/user"
    if os.stat(theirs).st_ino != os.stat(ours).st_ino and os.geteuid() != 0:  # noqa: PTH116
        users = os.open(theirs, os.O_RDONLY)
        linux.enter_namespace(users)
        os.close(users)


def _leave_terminal() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _listening_here(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    Path(path).unlink(missing_ok=True)
    listener.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101
    listener.listen(BACKLOG)
    return listener


def _listening_there(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    return listener


async def _serve(
    doors: Doors,
    inside: Inside,
    listener: socket.socket | None,
    outer: socket.socket | None,
    pidfd: int,
) -> None:
    """Until the container has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    servers = []
    if listener is not None:

        async def go_in() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            made = inside.made(lambda: socket.socket(socket.AF_INET))
            return await _connected(made, doors.port)

        servers.append(
            await asyncio.start_unix_server(_leading(go_in), sock=listener, limit=_BUFFER_BYTES)
        )
    if outer is not None:

        async def go_out() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await _connected(socket.socket(socket.AF_INET), doors.out)

        servers.append(
            await asyncio.start_server(_leading(go_out), sock=outer, limit=_BUFFER_BYTES)
        )
    await ended.wait()
    for server in servers:
        server.close()


async def _connected(
    made: socket.socket, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made.setblocking(False)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except BaseException:
        made.close()
        raise
    return await asyncio.open_connection(sock=made, limit=_BUFFER_BYTES)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _leading(
    connect: Callable[[], Awaitable[_Streams]],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """What becomes of a connection: another one, and what comes of each goes to the other."""

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await connect()
        except (OSError, TimeoutError):  # nobody listens there: then nobody does here
            writer.transport.abort()
            return
        await asyncio.gather(_move(reader, back), _move(there, writer))
        for each in (writer, back):
            each.close()

    return lead


async def _move(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """All bytes, and then the end: one side may have said all while the other has not."""
    try:
        while piece := await source.read(_BUFFER_BYTES):
            target.write(piece)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
    except (OSError, ConnectionError):
        target.transport.abort()
