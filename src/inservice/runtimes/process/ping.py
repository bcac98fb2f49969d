"""GET /ping, once, against something that may be anything: a container is an untrusted upstream.

Asked from the fork server's loop, so nothing here waits, and what it costs is part of what an idle
instance costs its host: one connection, one request, at most HEAD_BYTES_MAX read.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inservice.runtimes.base import Probe
from inservice.runtimes.pinging import (
    HEAD_BYTES_MAX,
    PING_SECONDS,
    REQUEST,
    outcome,
    phases,
    trouble,
)
from inservice.runtimes.process.watch import Timer, Watch

CROWDED_SECONDS = 0.05
"""Between two tries to connect to an instance whose queue of connections is full."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe brought back."""

    probe: Probe
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds by phase, as our own model server tells them in Server-Timing; else empty."""


class Ping:
    """One probe of a UNIX socket. `done` is called once with what it brought, never from within
    the call that made it, unless it is cancelled.

    The outcome is the status as a string, or what happened instead.
    """

    __slots__ = ("_at", "_began", "_done", "_head", "_path", "_socket", "_timers", "_watch")

    def __init__(self, watch: Watch, path: str, done: Callable[[Answer], None]) -> None:
        self._watch = watch
        self._path = path
        self._done = done
        self._at, self._began = time.time(), time.monotonic()
        self._head = b""
        self._socket: socket.socket | None = None
        late = watch.patiently(PING_SECONDS, lambda: self._end("timed out"))
        self._timers: list[Timer] = [late]
        self._connect()

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        for timer in self._timers:
            timer.cancel()
        if self._socket is not None:
            self._watch.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        try:
            self._socket = connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.connect(self._path)
            connection.send(REQUEST)  # a fresh socket has room for it
        except BlockingIOError:  # its queue is full: it answers nobody else just now either
            self._drop_socket()
            self._timers[1:] = [self._watch.after(CROWDED_SECONDS, self._connect)]
        except OSError as error:
            self._drop_socket()
            words = trouble(error)
            self._timers[1:] = [self._watch.after(0.0, lambda: self._end(words))]
        else:
            self._watch.readable(connection.fileno(), self._read)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        assert self._socket is not None
        try:
            part = self._socket.recv(HEAD_BYTES_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(trouble(error))
            return
        self._head += part
        if not part or b"\r\n\r\n" in self._head or len(self._head) >= HEAD_BYTES_MAX:
            self._end(outcome(self._head))

    def _end(self, came_to: str) -> None:
        self.cancel()
        ms = (time.monotonic() - self._began) * 1000
        self._done(Answer(Probe(self._at, came_to, ms), phases(self._head)))
