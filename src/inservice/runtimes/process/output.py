"""What a model prints, on its way out: kept as well as can be without making the model wait."""

from __future__ import annotations

import contextlib
import io
import os
import select
import time

from inservice.instance_logs.lines import LINE_BYTES_MAX, MARK_BYTES_MAX, LineCutter

LAST_WORDS_SECONDS = 1.5
"""How long a process that has lost output waits at its end for room to say so. The collector
leaves a flood alone for up to a second; a reader that is gone holds nobody up for longer."""

ROOM_SECONDS = 0.01
"""How long a print waits for room. The collector empties a full FIFO in a millisecond, so a burst
that is larger than the FIFO is kept whole if the collector gets a turn at all."""

ROOM_SHARE = 0.05
"""How much of its time a process waits for room at most, so that one that shouts all the time, or
has no reader any more, is hardly slower for it."""


class LossyOutput(io.RawIOBase):
    """A file that is written to as good as without waiting; what does not fit is counted and lost.

    A pipe whose reader stopped would block the first print that finds it full, and with it the
    model. An invocation is worth more than its log line.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._lines = LineCutter(LINE_BYTES_MAX - MARK_BYTES_MAX)
        self._lost_bytes = 0
        self._no_wait_before = 0.0  # monotonic seconds

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: object, /) -> int:
        given = bytes(data)  # type: ignore[call-overload]  # io promises a buffer here
        rest = memoryview(self._lines.pass_on(given))
        with contextlib.suppress(BlockingIOError):
            self._own_up()
            while rest:
                rest = rest[self._write(rest) :]
        self._lost_bytes += len(rest)
        return len(given)

    def last_words(self) -> None:
        """At the end of the process: say what is missing, once there is room to."""
        if self._lost_bytes:
            self._await_room(LAST_WORDS_SECONDS)
        with contextlib.suppress(BlockingIOError):
            self._own_up()
            if mark := self._lines.end_line():
                self._write(memoryview(mark))

    def _own_up(self) -> None:
        """Say how much is missing here. Raises BlockingIOError when not even that fits."""
        if self._lost_bytes:
            words = b"\n[inservice] dropped %d bytes of output\n" % self._lost_bytes
            self._write(memoryview(words))
            self._lost_bytes = 0

    def _write(self, data: memoryview) -> int:
        """How much was written. Raises BlockingIOError when there is no room, nor soon will be."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            began = time.monotonic()
            if began < self._no_wait_before:
                raise
            self._await_room(ROOM_SECONDS)
            waited = time.monotonic() - began
            self._no_wait_before = began + waited / ROOM_SHARE
            return os.write(self._fd, data)

    def _await_room(self, seconds: float) -> None:
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        room.poll(seconds * 1000)
