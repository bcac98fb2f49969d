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
import queue
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from inservice.modelserver.awaiting import advance
from inservice.modelserver.failures import log

RunBatch = Callable[[Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]
"""From the calls' arguments to their outcomes, in order; an outcome that is an exception is its own
caller's."""


class Queued:
    """A call in a lane."""

    __slots__ = ("argument", "ended", "fills", "told")

    def __init__(self, argument: Any, ended: Callable[[Any], None], *, fills: bool) -> None:
        self.argument = argument
        self.ended = ended
        self.fills = fills
        """Whether it takes up one of its lane's places."""
        self.told = False


_LOOK_UP_SECONDS = 5.0
"""How often an idle worker looks up. A signal that comes in the moment before the main thread
sleeps does not wake it; its handler is run when something else does."""


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
        self._waiting: deque[Queued] = deque()

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Outcomes are told in this loop. Called before the first `begin`."""
        self._loop = loop

    def begin(self, argument: Any, ended: Callable[[Any], None], lane: int | None = None) -> None:
        """Queue a call; `ended` is told its outcome, in the loop's thread."""
        if self._only is not None:
            self._only.put(Queued(argument, ended, fills=False))
        elif lane is not None:
            self.lanes[lane].put(Queued(argument, ended, fills=False))
        else:
            free = min(self.lanes, key=lambda lane: lane.filled)
            self._waiting.append(Queued(argument, ended, fills=True))
            self._fill(free)

    def stop(self) -> None:
        """Let the workers end once they have done what is in their lanes."""
        for lane in self.lanes:
            lane.end()

    def tell(self, lane: Lane, batch: list[Queued], outcomes: Sequence[Any]) -> None:
        """From a worker's thread: who called is told in the loop's."""
        assert self._loop is not None
        try:  # `suppress` would cost a microsecond at each call
            self._loop.call_soon_threadsafe(self._deliver, lane, batch, outcomes)
        except RuntimeError:
            return  # the loop is closed: nobody is there to hear it

    def _deliver(self, lane: Lane, batch: list[Queued], outcomes: Sequence[Any]) -> None:
        for call, outcome in zip(batch, outcomes, strict=True):
            if not call.told:  # an exception between two calls may have it told again
                call.told = True
                lane.filled -= call.fills
                call.ended(outcome)
        if self._waiting:
            self._fill(lane)

    def _fill(self, lane: Lane) -> None:
        while self._waiting and lane.filled < self._size_max:
            lane.filled += 1
            lane.put(self._waiting.popleft())


class Lane:
    """One worker's queue. All but `put`, `end` and `filled` belongs to the worker's thread.

    What the user's code does to this thread must neither end it nor cost a call. Exceptions come
    from handlers, and they come out of nowhere: from a signal's handler that is late, by
    PyThreadState_SetAsyncExc. The latter strike after a call of a function, so that `queue.get()`
    could return a call that nobody ever sees. Hence a call is in `_calls` or in `_batch` at every
    such point, and the queue carries no calls: it is a bell, which may ring once too often.
    """

    def __init__(
        self,
        tell: Callable[[Lane, list[Queued], Sequence[Any]], None],
        *,
        size_max: int,
        delay_seconds_max: float,
    ) -> None:
        self.filled = 0
        """How many of its places are taken by calls; counted in the server's loop."""
        self._tell = tell
        self._size_max = size_max
        self._delay_seconds_max = delay_seconds_max
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._calls: deque[Queued] = deque()
        self._batch: list[Queued] = []
        """Taken, and not told of yet."""
        self._last_size = 1
        self._ending = False
        self._run: RunBatch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Sequence[Any]]] = set()
        self._awaiting = False
        """Whether the worker is in its loop, which a call has to wake, and not at its bell."""

    def put(self, call: Queued) -> None:
        """Queue a call. From any thread."""
        self._calls.append(call)
        self._ring()

    def end(self) -> None:
        """Let the worker end once it has done what is queued. From any thread."""
        self._ending = True
        self._ring()

    def _ring(self) -> None:
        self._bell.put(None)
        # Set before the worker looks for calls for the last time: no call is overlooked.
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
        """Run calls until the end."""
        self._run = run
        while True:
            try:
                if self._tasks:
                    self._await_tasks()
                elif self._calls:
                    self._turn()
                elif self._ending:
                    return
                else:
                    self._bell.get(timeout=_LOOK_UP_SECONDS)
            except queue.Empty as nothing:
                if self._batch:  # then it was no bell's
                    self._struck(nothing)
            except BaseException as error:  # noqa: BLE001 - see above
                self._struck(error)

    def _struck(self, error: BaseException) -> None:
        log("an exception struck between two calls", error)
        batch, self._batch = self._batch, []
        if batch:
            self._tell(self, batch, [_told_of(error)] * len(batch))

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _take(self) -> None:
        """The first that waits, into the batch."""
        first = self._calls[0]
        self._batch = [*self._batch, first]
        self._calls.popleft()

    def _turn(self) -> None:
        """One batch, to its end or to the first thing that has to be awaited."""
        self._take()
        if self._size_max > 1:
            self._gather()
        batch = self._batch
        self._last_size = len(batch)
        coroutine = self._run([call.argument for call in batch])
        done, outcomes = advance(coroutine)
        if done:
            self._tell(self, batch, outcomes)
        else:
            task = self._own_loop().create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(lambda task: self._task_ended(task, batch))
        self._batch = []

    def _gather(self) -> None:
        # Inside its loop a worker never waits at its bell: there are others to go on with.
        linger = self._last_size > 1 and not self._awaiting
        deadline = time.monotonic() + (self._delay_seconds_max if linger else 0.0)
        while len(self._batch) < self._size_max:
            if self._calls:
                self._take()
            elif self._ending or (left := deadline - time.monotonic()) <= 0:
                return
            else:
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=left)

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
        """In the loop: begin what waits."""
        while self._awaiting and self._tasks and self._calls:
            try:
                self._turn()
            except BaseException as error:  # noqa: BLE001 - see above
                self._struck(error)

    def _task_ended(self, task: asyncio.Task[Sequence[Any]], batch: list[Queued]) -> None:
        self._tasks.discard(task)
        self._tell(self, batch, _outcomes(task, len(batch)))
        if not self._tasks:
            self._own_loop().stop()


class Inline:
    """No worker: the model runs in the server's own loop."""

    def __init__(self, run: RunBatch) -> None:
        self._run = run
        self._tasks: set[asyncio.Task[Sequence[Any]]] = set()

    def begin(
        self,
        argument: Any,
        ended: Callable[[Any], None],
        lane: int | None = None,  # noqa: ARG002
    ) -> None:
        """Run a call; `ended` is told at once unless something has to be awaited."""
        coroutine = self._run((argument,))
        if asyncio.current_task() is None:  # by hand; who streams is in a task already
            try:
                done, outcomes = advance(coroutine)
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                done, outcomes = True, [_told_of(error)]
            if done:
                ended(outcomes[0])
                return
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._task_ended(task, ended))

    def _task_ended(self, task: asyncio.Task[Sequence[Any]], ended: Callable[[Any], None]) -> None:
        self._tasks.discard(task)
        ended(_outcomes(task, 1)[0])


def _outcomes(task: asyncio.Task[Sequence[Any]], count: int) -> Sequence[Any]:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return task.result() if error is None else [_told_of(error)] * count


def _told_of(error: BaseException) -> Exception:
    """As what can be raised in a loop without ending it."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
