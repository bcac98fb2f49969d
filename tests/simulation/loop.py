"""An event loop in which time is a number, and processes that can be killed at any moment.

Nothing here sleeps, and no thread and no socket exists: when nothing is ready, the loop goes to the
time of its next timer. Between processes there is a network in memory, which is slow when it is
told to be. Whatever the shipped code asks of asyncio (tasks, timers, threads by
`run_in_executor`, UNIX sockets) it gets, in an order that follows from the seed alone.

A *process* is whatever was begun in its context: asyncio hands a context on to every task and
callback, so every callback of a process is known to be its own. Killing it is what `kill -9` is: no
callback of it runs any more, so nothing is cancelled, no `finally` is passed, nobody says goodbye,
and what it had under way in threads never happens. Its peers find their connections reset. Within
a callback (in the middle of what is synchronous) a process is killed by raising `Killed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Killed(BaseException):
    """The process is dead from here on. Not an Exception: nothing may catch it."""


class Stalled(Exception):
    """Nothing will ever happen any more, and somebody waits for something."""


class Process:
    """Something that can be killed, and all that it has begun."""

    def __init__(self, loop: VirtualLoop, name: str, pid: int = 0) -> None:
        self.name = name
        self.pid = pid
        self.alive = True
        self.tasks: set[asyncio.Task[Any]] = set()
        self.connections: list[Pipe] = []
        self.listening: list[str] = []
        self.loop = loop
        self.context = contextvars.copy_context()
        self.context.run(_PROCESS.set, self)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function as this process. None if that is the death of it."""
        try:
            return self.context.copy().run(function, *args)
        except Killed:
            return None

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have this process do something; an exception that ends that is a problem."""
        task = self.loop.create_task(coroutine, context=self.context.copy())
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (problem := task.exception()) is not None:
            self.loop.call_exception_handler({"message": self.name, "exception": problem})

    def kill(self) -> None:
        """As by `kill -9`."""
        if not self.alive:
            return
        self.alive = False
        self.loop.forget(self)
        for path in self.listening:
            self.loop.listeners.pop(path, None)
        for connection in self.connections:
            connection.reset()


def current_process() -> Process | None:
    """Whose callback this is."""
    return _PROCESS.get()


class VirtualLoop(asyncio.BaseEventLoop):
    """See above."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self
        self._time = 0.0
        self.over = False
        self.callbacks = 0
        """How many were run: what a history costs."""
        self.problems: list[BaseException] = []
        """What escaped from tasks and callbacks."""
        self.listeners: dict[str, tuple[Callable[[], Any], Process]] = {}
        self.thread_seconds: Callable[[str], float] = lambda _: 0.0
        """How long a call in a thread of a kind takes."""
        self.around_threads: Callable[[str, str], None] = lambda *_: None
        """Called with the kind of thread and "before" or "after" each call, as its process."""
        self.way_seconds: Callable[[Process, Process], float] = lambda *_: 0.0
        """How long bytes are on their way from one process to another."""
        self._free_at: dict[tuple[int, str], list[float]] = {}
        self.set_task_factory(self._begin_task)
        self.set_exception_handler(self._note_problem)

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    def time(self) -> float:
        return self._time

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop takes for its selector: time passes at once."""
        if timeout is None:
            raise Stalled
        self._time += max(0.0, timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    # ── whose callbacks run ─────────────────────────────────────────────────────────────────────
    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if context is None:  # an empty one is false
            context = contextvars.copy_context()
        if not self._may_run(context):
            handle = asyncio.Handle(callback, args, self, context)
            handle.cancel()
            return handle
        self.callbacks += 1
        return super().call_soon(callback, *args, context=context)

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if context is None:  # an empty one is false
            context = contextvars.copy_context()
        handle = super().call_at(max(when, self._time), callback, *args, context=context)
        if not self._may_run(context):
            handle.cancel()
        return handle

    def _may_run(self, context: contextvars.Context) -> bool:
        process = context.get(_PROCESS)
        return not self.over and (process is None or process.alive)

    def forget(self, process: Process) -> None:
        """Nothing that this process has begun goes on."""
        for handle in [*self._ready, *self._scheduled]:  # type: ignore[attr-defined]
            context = handle._context
            if context is not None and context.get(_PROCESS) is process:
                handle.cancel()

    def _begin_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Future[Any]:
        context = options.get("context")
        if context is None:
            context = contextvars.copy_context()
        process = context.get(_PROCESS)
        if not self._may_run(context):
            coroutine.close()
            return self.create_future()
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, context=context)
        if process is not None:
            # Tasks of the dead must not be collected: that would run what is left of them.
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    def _note_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if not isinstance(problem, Killed):
            self.problems.append(problem or RuntimeError(context["message"]))

    def end(self, processes: list[Process]) -> None:
        """The world ends: whatever is left of anybody is taken away, and does nothing."""
        self.over = True
        for process in processes:
            for connection in process.connections:
                connection.leave()
            for task in list(process.tasks):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with contextlib.suppress(BaseException):
                    task.get_coro().close()
            process.tasks.clear()

    # ── threads ─────────────────────────────────────────────────────────────────────────────────
    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """The call happens in the loop, at the time at which a thread would have come to it."""
        assert isinstance(executor, ThreadPoolExecutor), "see inservice.threads"
        kind, process = str(executor._thread_name_prefix), current_process()
        free_at = self._free_at.setdefault((id(executor), kind), [0.0] * executor._max_workers)
        place = free_at.index(min(free_at))
        free_at[place] = max(free_at[place], self._time) + self.thread_seconds(kind)
        answer = self.create_future()

        def call() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                self.around_threads(kind, "before")
                result = func(*args)
                self.around_threads(kind, "after")
            except Killed:
                return
            except BaseException as problem:
                error = problem
            if answer.done() or (process is not None and not process.alive):
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        self.call_at(free_at[place], call)
        return answer

    # ── the network ─────────────────────────────────────────────────────────────────────────────
    async def create_unix_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], path: Any = None, **_: Any
    ) -> Listening:
        process = current_process()
        assert process is not None
        self.listeners[str(path)] = (protocol_factory, process)
        process.listening.append(str(path))
        return Listening(self, str(path))

    async def create_unix_connection(
        self, protocol_factory: Callable[[], Any], path: Any = None, **_: Any
    ) -> tuple[Pipe, Any]:
        client = current_process()
        assert client is not None
        if str(path) not in self.listeners:
            raise ConnectionRefusedError(f"nobody listens at {path}")
        factory, server = self.listeners[str(path)]
        near, far = Pipe(self, client), Pipe(self, server)
        near.peer, far.peer = far, near
        near.protocol = protocol_factory()
        near.protocol.connection_made(near)
        self.call_soon(far.accepted_by, factory, context=server.context.copy())
        return near, near.protocol


class Listening:
    """What `create_unix_server` gives."""

    def __init__(self, loop: VirtualLoop, path: str) -> None:
        self._loop = loop
        self._path = path

    def close(self) -> None:
        self._loop.listeners.pop(self._path, None)

    async def wait_closed(self) -> None:
        pass


class Pipe(asyncio.Transport):
    """One end of a connection. What is written arrives at the other end, in order and late."""

    def __init__(self, loop: VirtualLoop, process: Process) -> None:
        super().__init__()
        self.loop = loop
        self.process = process
        self.peer: Pipe
        self.protocol: Any = None
        self._closing = False
        self._arrives_at = 0.0
        self._early: deque[bytes] = deque()  # arrived before this end was accepted
        self._sent: deque[bytes] = deque()  # and on its way
        process.connections.append(self)

    def accepted_by(self, factory: Callable[[], Any]) -> None:
        """The listening process takes the connection."""
        self.protocol = factory()
        self.protocol.connection_made(self)
        while self._early:
            self.protocol.data_received(self._early.popleft())
        if self._closing:
            self.protocol.connection_lost(ConnectionResetError())

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        seconds = self.loop.way_seconds(self.process, self.peer.process)
        self._arrives_at = max(self.loop.time() + seconds, self._arrives_at)
        context = self.peer.process.context.copy()
        self._sent.append(bytes(data))
        self.loop.call_at(self._arrives_at, self.peer.receive, context=context)

    def receive(self) -> None:
        """Something that the peer wrote is here: timers of one moment have no order of their own,
        so they do not say what."""
        data = self.peer._sent.popleft()
        if self._closing:
            return
        if self.protocol is None:
            self._early.append(data)
        else:
            self.protocol.data_received(data)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self.loop.call_soon(self._lose, None, context=self.process.context.copy())
        context = self.peer.process.context.copy()
        self.loop.call_at(self._after_all_that_was_sent(), self.peer.lose, None, context=context)

    def abort(self) -> None:
        self.close()

    def reset(self) -> None:
        """The process is dead: the other end is told, after what had been written already."""
        if self._closing:
            return
        self._closing = True
        context = self.peer.process.context.copy()
        when = self._after_all_that_was_sent()
        self.loop.call_at(when, self.peer.lose, ConnectionResetError(), context=context)

    def _after_all_that_was_sent(self) -> float:
        return max(self.loop.time(), self._arrives_at) + 1e-6

    def leave(self) -> None:
        """Nobody is told any more."""
        self._closing = True

    def lose(self, error: Exception | None) -> None:
        """The peer is gone."""
        if self._closing:
            return
        self._closing = True
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """What the kernel tells of the peer, of which that is all that is ever asked."""
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("iII", self.peer.process.pid, 0, 0)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
