"""GET /ping, once, against something that may be anything: a container is an untrusted upstream.

Asked from the fork server's loop, so nothing here waits, and what it costs is part of what an idle
instance costs its host: one connection, one request, at most HEAD_BYTES_MAX read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inservice.runtimes.base import Probe
from inservice.runtimes.process.watch import Timer, Watch

PING_SECONDS = 2.0
"""AWS's own limit for one attempt; of time in which this process was able to watch."""

HEAD_BYTES_MAX = 16 * 1024

CROWDED_SECONDS = 0.05
"""Between two tries to connect to an instance whose queue of connections is full."""

_REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_TIMING = re.compile(rb"^server-timing:([^\r]*)", re.IGNORECASE | re.MULTILINE)
_PHASE = re.compile(r"([a-z]+);dur=([0-9.]{1,12})(?:,|\s|$)")


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
            connection.send(_REQUEST)  # a fresh socket has room for it
        except BlockingIOError:  # its queue is full: it answers nobody else just now either
            self._drop_socket()
            self._timers[1:] = [self._watch.after(CROWDED_SECONDS, self._connect)]
        except OSError as error:
            self._drop_socket()
            outcome = _words(error)
            self._timers[1:] = [self._watch.after(0.0, lambda: self._end(outcome))]
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
            self._end(_words(error))
            return
        self._head += part
        if not part or b"\r\n\r\n" in self._head or len(self._head) >= HEAD_BYTES_MAX:
            self._end(_outcome(self._head))

    def _end(self, outcome: str) -> None:
        self.cancel()
        ms = (time.monotonic() - self._began) * 1000
        self._done(Answer(Probe(self._at, outcome, ms), _phases(self._head)))


def _words(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return "not listening yet"
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _outcome(head: bytes) -> str:
    if (status := _STATUS.match(head)) is not None:
        return status.group(1).decode()
    return f"not HTTP: {head[:40]!r}" if head else "closed without an answer"


def _phases(head: bytes) -> dict[str, float]:
    timing = _TIMING.search(head)
    if timing is None:
        return {}
    said = timing.group(1).decode("latin-1")
    phases: dict[str, float] = {}
    for name, milliseconds in _PHASE.findall(said):
        with contextlib.suppress(ValueError):
            phases[name] = float(milliseconds) / 1000
    return phases
