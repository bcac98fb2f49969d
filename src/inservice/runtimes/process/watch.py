"""The fork server's loop: descriptors to read from, things to do later, signals. One thread.

Not asyncio, which would triple what the fork server keeps in memory and bring machinery that it has
no use for.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable

Act = Callable[[], None]

SLICE_SECONDS = 0.25
LATE_SECONDS = 0.1
LAST_LOOK_SECONDS = 0.002
"""Of a deadline that judges somebody: as in `transport.patience`, which tells why."""


class Timer:
    """Something to do later, until it is called off."""

    __slots__ = ("act",)

    def __init__(self, act: Act) -> None:
        self.act: Act | None = act

    def cancel(self) -> None:
        """Not any more. The loop does not even wake up for it."""
        self.act = None


class Watch:
    """Calls back when there is something to do."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()  # breaks ties, so that callbacks are never compared
        self._stopping = False

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            for key, _ in self._selector.select(self._seconds_to_wait()):
                # What was called a moment ago may have put an end to the interest in this one.
                if self._selector.get_map().get(key.fd) == key:
                    key.data()
            while self._due and self._due[0][0] <= time.monotonic():
                act = heapq.heappop(self._due)[2].act
                if act is not None:
                    act()

    def _seconds_to_wait(self) -> float | None:
        while self._due and self._due[0][2].act is None:
            heapq.heappop(self._due)
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True

    def readable(self, fd: int, act: Act) -> None:
        """Call whenever the descriptor has something to read, or its end."""
        self._selector.register(fd, selectors.EVENT_READ, act)

    def forget(self, fd: int) -> None:
        """No longer. To be called before the descriptor is closed; harmless if not watched."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    def after(self, seconds: float, act: Act) -> Timer:
        """Call once, then."""
        timer = Timer(act)
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), timer))
        return timer

    def patiently(self, seconds: float, act: Act) -> Timer:
        """Call once, after so many seconds that this loop was able to watch.

        Held up, it finds its timers due before it has read what came meanwhile; so a slice of the
        time counts for its length however late it ends, and after a late one what there is is read
        before anybody is judged.
        """
        timer, left, due, looked = Timer(act), seconds, 0.0, False

        def wait(piece: float) -> None:
            nonlocal due
            due, timer.act = time.monotonic() + piece, ended
            heapq.heappush(self._due, (due, next(self._count), timer))

        def ended() -> None:
            nonlocal left, looked
            if left > 0.0:
                piece = min(left, SLICE_SECONDS)
                left -= piece
                wait(piece)
            elif not looked and time.monotonic() > due + LATE_SECONDS:
                looked = True
                wait(LAST_LOOK_SECONDS)
            else:
                act()

        ended()
        return timer

    def on_signals(self, act: Callable[[bytes], None], *numbers: signal.Signals) -> None:
        """Call with the numbers of the signals that came, as bytes, soon after they did."""
        awake, wakes = socket.socketpair()
        awake.setblocking(False)
        wakes.setblocking(False)
        self._sockets = awake, wakes  # kept open as long as the loop lives
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)
        self.readable(awake.fileno(), lambda: act(awake.recv(4096)))
