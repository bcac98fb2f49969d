"""The workers that run the model, and the queues in front of them.

A worker is a thread with a model of its own: whatever is made while loading (a database connection,
an event loop, a thread-local) is used on the thread that made it. Its lane is a queue. A worker
takes what waits: without batching that is one call; with it, up to `size_max` calls at once, and it
is *adaptive*: a batch is what has gathered while the model was busy, so an idle model answers at
once and a busy one takes ever larger bites. Only when the last batch was more than one call, which
is when more are likely on their way, does the worker linger up to `delay_seconds_max` for its batch
to fill.

With one worker every call goes straight into its lane. With several, a lane is given no more than
it can take at once, and the rest waits here for whoever is free first; the steps of a stream go to
the lane where it was begun.

`queue.SimpleQueue` and one `call_soon_threadsafe` a batch: an invocation through here costs half of
what it costs through `run_in_executor`. What has to be awaited (see `awaiting`) runs in an event
loop on the worker's thread, which is entered while there is any such thing and left when there is
none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from inservice.modelserver.awaiting import advance

Call = tuple[Any, Callable[[Any], None], bool]
"""An argument, who is told its outcome, and whether it fills a lane."""

RunBatch = Callable[[Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]
"""From the calls' arguments to their outcomes, in order; an outcome that is an exception is its own
caller's."""

_log = logging.getLogger("inservice.modelserver")


class Runner(Protocol):
    """What runs calls of the model's code and tells their outcomes in the loop's thread."""

    def begin(self, argument: Any, ended: Callable[[Any], None], lane: int | None = None) -> None:
        """Have a call run; by the worker of a lane, where it has to be that one."""
        ...


def submit(runner: Runner, argument: Any, lane: int) -> asyncio.Future[Any]:
    """Have a call run. From the loop's thread only."""
    future = asyncio.get_running_loop().create_future()

    def ended(outcome: Any) -> None:
        if future.done():  # the caller is gone
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    runner.begin(argument, ended, lane)
    return future


class Workers:
    """The lanes of all workers, as the server's loop sees them."""

    def __init__(self, lanes: int, *, size_max: int = 1, delay_seconds_max: float = 0.0) -> None:
        self._size_max = size_max
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lanes = [
            Lane(self.tell, size_max=size_max, delay_seconds_max=delay_seconds_max)
            for _ in range(lanes)
        ]
        self._only = self.lanes[0] if lanes == 1 else None
        self._waiting: deque[Call] = deque()

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Outcomes are told in this loop. Called before the first `begin`."""
        self._loop = loop

    def begin(self, argument: Any, ended: Callable[[Any], None], lane: int | None = None) -> None:
        """Queue a call; `ended` is told its outcome, in the loop's thread."""
        if self._only is not None:
            self._only.put((argument, ended, False))
        elif lane is not None:
            self.lanes[lane].put((argument, ended, False))
        else:
            free = min(self.lanes, key=lambda lane: lane.filled)
            self._waiting.append((argument, ended, True))
            self._fill(free)

    def stop(self) -> None:
        """Let the workers end once they have done what is in their lanes."""
        for lane in self.lanes:
            lane.put(None)

    def tell(self, lane: Lane, batch: list[Call], outcomes: Sequence[Any]) -> None:
        """From a worker's thread: who called is told in the loop's."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            self._loop.call_soon_threadsafe(self._deliver, lane, batch, outcomes)

    def _deliver(self, lane: Lane, batch: list[Call], outcomes: Sequence[Any]) -> None:
        for (_, ended, fills), outcome in zip(batch, outcomes, strict=True):
            lane.filled -= fills
            ended(outcome)
        if self._waiting:
            self._fill(lane)

    def _fill(self, lane: Lane) -> None:
        while self._waiting and lane.filled < self._size_max:
            lane.filled += 1
            lane.put(self._waiting.popleft())


class Lane:
    """One worker's queue. Everything but `put` and `filled` belongs to the worker's thread."""

    def __init__(
        self,
        tell: Callable[[Lane, list[Call], Sequence[Any]], None],
        *,
        size_max: int,
        delay_seconds_max: float,
    ) -> None:
        self.filled = 0
        """How many calls it was given and has not answered; counted in the server's loop."""
        self._tell = tell
        self._size_max = size_max
        self._delay_seconds_max = delay_seconds_max
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._run: RunBatch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Sequence[Any]]] = set()
        self._awaiting = False
        """Whether the worker is in its loop, which a call has to wake, and not at its queue."""

    def put(self, call: Call | None) -> None:
        """Queue a call, or the end. From any thread."""
        self._queue.put(call)
        # Set before the worker looks into the queue for the last time: no call is overlooked.
        if self._awaiting and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the user's code closed it
                self._loop.call_soon_threadsafe(self._take_all)

    def enter(self) -> None:
        """Make this thread the worker's: before any code of the user's runs on it."""
        self._own_loop()

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end: loading, before there are calls."""
        done, value = advance(coroutine)
        return value if done else self._own_loop().run_until_complete(coroutine)

    def work(self, run: RunBatch) -> None:
        """Run calls until the end is queued.

        Nothing that the user's code does to this thread ends it. What a handler raises is its
        caller's; what is raised at the thread from outside (a signal's handler that comes too late,
        PyThreadState_SetAsyncExc) may come between two calls.
        """
        self._run = run
        self._last_size = 1
        while True:
            try:
                if self._tasks:
                    self._await_tasks()
                elif (first := self._queue.get()) is None:
                    return
                else:
                    self._turn(first)
            except BaseException:  # noqa: BLE001 - see above
                _log.exception("an exception hit the model's thread between two calls")

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _turn(self, first: Call) -> None:
        """One batch, to its end or to the first thing that has to be awaited."""
        batch = [first]
        if self._size_max > 1:
            self._gather(batch)
        self._last_size = len(batch)
        outcomes: Sequence[Any]
        coroutine = self._run([argument for argument, _, _ in batch])
        try:
            done, outcomes = advance(coroutine)
        except BaseException as error:  # noqa: BLE001 - it belongs to the callers
            done, outcomes = True, [_told_of(error)] * len(batch)
        if done:
            self._tell(self, batch, outcomes)
            return
        task = self._own_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._task_ended(task, batch))

    def _gather(self, batch: list[Call]) -> None:
        # Inside its loop a worker never waits at its queue: there are others to go on with.
        linger = self._last_size > 1 and not self._awaiting
        deadline = time.monotonic() + (self._delay_seconds_max if linger else 0.0)
        while len(batch) < self._size_max:
            try:
                left = deadline - time.monotonic()
                call = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                return
            if call is None:  # the end: after this batch
                self._queue.put(None)
                return
            batch.append(call)

    # ── while something has to be awaited ────────────────────────────────────────────────────

    def _await_tasks(self) -> None:
        loop = self._own_loop()
        self._awaiting = True
        loop.call_soon(self._take_all)
        try:
            loop.run_forever()
        finally:
            self._awaiting = False

    def _take_all(self) -> None:
        """In the loop: begin what waits in the queue."""
        while self._awaiting and self._tasks:
            try:
                call = self._queue.get_nowait()
            except queue.Empty:
                return
            if call is None:  # the end: after what is being awaited
                self._queue.put(None)
                return
            self._turn(call)

    def _task_ended(self, task: asyncio.Task[Sequence[Any]], batch: list[Call]) -> None:
        self._tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        outcomes = task.result() if error is None else [_told_of(error)] * len(batch)
        self._tell(self, batch, outcomes)
        if not self._tasks:
            self._own_loop().stop()


class Inline:
    """No worker: the model runs in the server's own loop."""

    def __init__(self, run: RunBatch) -> None:
        self._run = run
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self,
        argument: Any,
        ended: Callable[[Any], None],
        lane: int | None = None,  # noqa: ARG002
    ) -> None:
        """Run a call; `ended` is told at once unless something has to be awaited."""
        coroutine = self._run((argument,))
        try:
            done, outcomes = advance(coroutine)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            done, outcomes = True, [_told_of(error)]
        if done:
            ended(outcomes[0])
            return
        task = asyncio.get_running_loop().create_task(self._finish(coroutine, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, coroutine: Coroutine[Any, Any, Sequence[Any]], ended: Callable[[Any], None]
    ) -> None:
        ended((await coroutine)[0])


def _told_of(error: BaseException) -> Exception:
    """As what can be raised in a loop without ending it."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
