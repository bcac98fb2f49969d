"""Threads for what must not wait in an event loop: a few for each kind of waiting.

asyncio has one set of threads for everybody (`asyncio.to_thread`, `run_in_executor(None, …)`), six
of them on two cores. Whoever waits there for something slow holds up everybody else: six receivers
of webhooks that never answered kept control from evaluating alarms and from saving decisions. So
that set is used by nobody here, which `tests/test_architecture.py` holds, and each kind of waiting
has its own: what is slow can only delay what is slow for the same reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Threads:
    """At most `count` threads that do one kind of thing. They start when they are first needed.

    For what ends by itself: disks, the store, computing. The end of the process waits for it.
    """

    def __init__(self, kind: str, count: int = 1) -> None:
        """`kind` names the threads, for whoever looks at a stack."""
        self.count = count
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=kind)

    async def run(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a function in one of the threads, once one is free, and wait for what it gives.

        A caller that is cancelled waits no longer; the call goes on.
        """
        call = lambda: function(*args, **kwargs)  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Take no more calls, and wait for nothing."""
        self._executor.shutdown(wait=False)


class Hazards:
    """At most `count` threads at a time for calls that may never come back.

    For what a stranger can hold up, such as a look-up in the DNS: a caller may stop waiting, and
    the end of the process does not wait for a call that hangs. Its thread is held until it returns,
    which is why there is a limit.
    """

    def __init__(self, kind: str, count: int) -> None:
        """`kind` names the threads, for whoever looks at a stack."""
        self._kind = kind
        self._room = asyncio.Semaphore(count)

    async def run(self, function: Callable[[], Result]) -> Result:
        """Call a function in a thread of its own once there is room, and wait for the answer."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def call() -> None:
            try:
                result, error = function(), None
            except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
                result, error = None, problem
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(self._end, answer, result, error)

        try:
            threading.Thread(target=call, name=self._kind, daemon=True).start()
        except BaseException:
            self._room.release()
            raise
        return await answer

    def _end(self, answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._room.release()
        _answer(answer, result, error)


def _answer(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """What a call came to, for whoever still waits for it."""
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
