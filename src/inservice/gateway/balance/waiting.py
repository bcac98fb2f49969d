"""Requests for which every instance is full: a short queue for each endpoint.

A queue evens out bursts; it cannot make a model faster. So it is bounded in length, and nobody
stays in it for long: under lasting overload the excess is refused at once, and what is served is
served in time. A queue that has not been empty for seconds is no burst: from then on a request
waits in it a moment only, or each would be served as late as the queue is long, and would go on
being so long after the overload has ended.

Waits are `Patience`: room may have been made while this worker could not look.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from inservice.transport.patience import Patience

QUEUE_MAX = 256
"""Requests that wait for one endpoint in one worker. With 128 under way at an instance that answers
in 1 ms the last of them waits a third of a second."""

QUEUE_SECONDS = 2.0
"""The longest wait. Clients that are told `ServiceUnavailable` try again elsewhere, or later."""

CROWDED_SECONDS = 0.1
"""The longest wait in a queue that has been there for QUEUE_SECONDS: as much as keeps the model
busy. At ten times its capacity this took the median answer from 1.96 s to 0.75."""

Key = tuple[str, str, str]


class Waiter(Protocol):
    """A request that waits."""

    given_up: bool

    def go_on(self) -> None:
        """There may be room now."""
        ...

    def turn_away(self) -> None:
        """It has waited too long."""
        ...


class Waiting:
    """All queues of a worker."""

    def __init__(self) -> None:
        self.queues: dict[Key, deque[tuple[Waiter, Patience]]] = {}
        """Endpoints for which somebody waits; mostly none."""
        self._bursts: dict[Key, Patience] = {}  # queues that have not been there for long

    def add(self, key: Key, waiter: Waiter) -> bool:
        """Wait for room. False if there is no room even to wait."""
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = deque()
            self._bursts[key] = Patience(QUEUE_SECONDS, lambda: self._bursts.pop(key, None))
        if len(queue) >= QUEUE_MAX:
            return False
        seconds = QUEUE_SECONDS if key in self._bursts else CROWDED_SECONDS
        # A timer for a request that waits anyhow costs nothing that matters.
        queue.append((waiter, Patience(seconds, lambda: self._expire(key, waiter))))
        return True

    def room(self, key: Key) -> None:
        """An instance of the endpoint has room for one more."""
        queue = self.queues.get(key)
        while queue:
            waiter, patience = queue.popleft()
            patience.cancel()
            if not waiter.given_up:
                if not queue:
                    self._forget(key)
                waiter.go_on()
                return
        if queue is not None:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        del self.queues[key]
        burst = self._bursts.pop(key, None)
        if burst is not None:
            burst.cancel()

    def _expire(self, key: Key, waiter: Waiter) -> None:
        queue = self.queues.get(key)
        if queue is None:
            return
        remaining = deque(entry for entry in queue if entry[0] is not waiter)
        if remaining:
            self.queues[key] = remaining
        else:
            self._forget(key)
        if not waiter.given_up:
            waiter.turn_away()
