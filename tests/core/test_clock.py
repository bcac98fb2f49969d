"""Waiting for something or for the time, whichever comes first, by either kind of event."""

from __future__ import annotations

import asyncio
import sys

import pytest

from inservice.clock import Due, SystemClock


def test_whoever_waits_goes_on_when_it_is_set() -> None:
    async def test() -> None:
        due = Due()
        waiting = [asyncio.create_task(due.wait(seconds)) for seconds in (None, None, 60.0)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        due.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await due.wait()
        due.clear()
        assert not due.is_set()
        assert await due.wait(0.0) is False

    asyncio.run(test())


def test_a_clock_says_whether_it_was_set_in_time() -> None:
    async def test() -> None:
        clock, due = SystemClock(), Due()
        assert not await clock.wait(due, clock.now() + 0.001)
        assert not await clock.wait(due, clock.now() - 5)
        asyncio.get_running_loop().call_soon(due.set)
        assert await clock.wait(due, clock.now() + 60)
        assert await clock.wait(due, clock.now() + 60)

    asyncio.run(test())


@pytest.mark.parametrize("first", ["set", "cancel"])
def test_a_cancellation_is_never_forgotten(first: str) -> None:
    """Nor where it comes in the same moment as what was waited for."""

    async def test() -> None:
        due = Due()
        waiting = asyncio.create_task(due.wait(60.0))
        await asyncio.sleep(0)
        if first == "set":
            due.set()
        waiting.cancel()
        due.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert due._waiting == ()

    asyncio.run(test())


def test_it_takes_a_tenth_of_the_memory() -> None:
    event = asyncio.Event()
    size = sum(sys.getsizeof(part) for part in (event, vars(event), event._waiters))
    assert sys.getsizeof(Due()) < size / 10
