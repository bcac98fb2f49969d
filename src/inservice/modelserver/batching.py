"""The threads that run the model, and the queue in front of them.

A worker takes what waits. Without batching that is one call; with it, up to `size_max` calls at
once, and it is *adaptive*: a batch is what has gathered while the model was busy, so an idle model
answers at once and a busy one takes ever larger bites. Only when the last batch was more than one
call, which is when more are likely on their way, does the worker linger up to `delay_seconds_max`
for its batch to fill.

`queue.SimpleQueue` and one `call_soon_threadsafe` a batch: an invocation through here costs half of
what it costs through `run_in_executor`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Call = tuple[Any, Callable[[Any], None]]
"""An argument, and who is told its outcome."""

RunBatch = Callable[[Sequence[Any]], Sequence[Any]]
"""From the calls' arguments to their outcomes, in order; an outcome that is an exception is its own
caller's."""


class Workers:
    """A few threads that run batches of calls."""

    def __init__(
        self,
        run: RunBatch,
        *,
        threads: int = 1,
        size_max: int = 1,
        delay_seconds_max: float = 0.0,
    ) -> None:
        self._run = run
        self._size_max = size_max
        self._delay_seconds_max = delay_seconds_max
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        # Daemons, so that a call that never returns cannot hold up the end of the process.
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, argument: Any, ended: Callable[[Any], None]) -> None:
        """Queue a call; `ended` is told its outcome, in the loop's thread."""
        self._queue.put((argument, ended))

    def submit(self, argument: Any) -> asyncio.Future[Any]:
        """Queue a call. From the loop's thread only."""
        future = self._loop.create_future()

        def ended(outcome: Any) -> None:
            if future.done():  # the caller is gone
                return
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.begin(argument, ended)
        return future

    def stop(self) -> None:
        """Let the threads end once they have done what is queued."""
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        last_size = 1
        while (first := self._queue.get()) is not None:
            batch = [first]
            if self._size_max > 1:
                self._gather(batch, linger=last_size > 1)
            last_size = len(batch)
            outcomes = self._outcomes(batch)
            self._loop.call_soon_threadsafe(_deliver, batch, outcomes)

    def _gather(self, batch: list[Call], *, linger: bool) -> None:
        deadline = time.monotonic() + (self._delay_seconds_max if linger else 0.0)
        while len(batch) < self._size_max:
            try:
                left = deadline - time.monotonic()
                call = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                return
            if call is None:  # the end: for this thread, after this batch
                self._queue.put(None)
                return
            batch.append(call)

    def _outcomes(self, batch: list[Call]) -> Sequence[Any]:
        try:
            return self._run([argument for argument, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, who raise it
            return [error] * len(batch)


def _deliver(batch: list[Call], outcomes: Sequence[Any]) -> None:
    for (_, ended), outcome in zip(batch, outcomes, strict=True):
        ended(outcome)
