"""One build, seen from control: a process that is followed, and all who wait for what it makes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import msgspec

from inservice.images.environments.order import Done, Failed, Order, Progress, Said
from inservice.runtimes.base import Tell

_PAUSE_SECONDS = 2.0
"""Between two clauses that are told: they go into a history that people read."""

_END_SECONDS = 15.0
"""For a builder to kill what it has started and to clear up, before it is killed itself."""

_LINE_BYTES_MAX = 1 << 20
_ERROR_BYTES = 2000
_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


class Broken(Exception):
    """A builder ended without a word: it was killed, or could not run; the message says how."""


class Listeners:
    """Those who wait for one build, and hear how far it is."""

    def __init__(self) -> None:
        self._tells: dict[int, Tell] = {}
        self._last = ""
        self._due: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._tells)

    def join(self, tell: Tell) -> int:
        """One more, who hears at once what was told last; the number is for `leave`."""
        self._count += 1
        self._tells[self._count] = tell
        if self._last and self._due is None:
            tell(self._last)
        return self._count

    def leave(self, number: int) -> None:
        """One less."""
        del self._tells[number]

    def progress(self, clause: str) -> None:
        """Tell all, but not too often: of several that come fast, the last one."""
        self._last = clause
        loop = asyncio.get_running_loop()
        if self._due is None:
            self._due = loop.call_at(max(self._next, loop.time()), self._flush)

    def _flush(self) -> None:
        self._due = None
        self._next = asyncio.get_running_loop().time() + _PAUSE_SECONDS
        for tell in tuple(self._tells.values()):
            tell(self._last)

    def close(self) -> None:
        """Tell nothing any more."""
        if self._due is not None:
            self._due.cancel()


async def follow(order: Order, progress: Callable[[str], None]) -> Done | Failed:
    """Have a builder carry out an order. Cancelled, it and all that it started have ended when this
    returns. Raises Broken, and OSError where no process can be started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "inservice.images.environments.builder"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(_tail(process.stderr))
    ended: Done | Failed | None = None
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            await process.stdin.drain()
        async for line in process.stdout:
            said = _said.decode(line)
            if isinstance(said, Progress):
                progress(said.clause)
            else:
                ended = said
    except (msgspec.MsgspecError, ValueError) as error:
        raise Broken(f"its builder said what nobody understands: {error}") from error
    finally:
        process.stdin.close()
        await _ended(process)
        words = await errors
    if ended is None:
        raise Broken(f"its builder ended with {process.returncode}: {words or 'without a word'}")
    return ended


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-_ERROR_BYTES:]
    return " ".join(kept.decode(errors="replace").split())


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a process that was told of it, also while being cancelled."""
    waiting = asyncio.ensure_future(process.wait())
    loop = asyncio.get_running_loop()
    kill = loop.call_later(_END_SECONDS, _kill, process)
    try:
        while not waiting.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([waiting])
    finally:
        kill.cancel()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
