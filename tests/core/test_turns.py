"""Whose turn it is: one who comes often does not keep others waiting, and nobody gets all."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from inservice.turns import Full, Turns


class Work:
    """What is under way, until it is let go on."""

    def __init__(self, at_once: int, most: int) -> None:
        self.turns = Turns(at_once, most)
        self.order: list[str] = []
        self.go_on = asyncio.Semaphore(0)
        self.most_under_way = 0
        self._under_way = 0

    async def one(self, whose: str) -> str:
        async def work() -> str:
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
            self.order.append(whose)
            await self.go_on.acquire()
            self._under_way -= 1
            return whose

        return await self.turns.run(whose, work)

    def begin(self, whose: str, count: int) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.one(whose)) for _ in range(count)]


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_alone_one_may_have_all_and_no_more() -> None:
    async def test() -> None:
        work = Work(2, 8)
        tasks = work.begin("a", 9)
        await _settle()
        assert (work.turns.held, work.most_under_way) == (8, 2)
        assert isinstance(tasks[8].exception(), Full)
        for _ in range(8):
            work.go_on.release()
        assert await asyncio.gather(*tasks[:8]) == ["a"] * 8
        assert (work.turns.held, work.most_under_way) == (0, 2)

    asyncio.run(test())


def test_whoever_comes_late_has_a_share_and_every_second_turn() -> None:
    async def test() -> None:
        work = Work(1, 8)
        many = work.begin("a", 8)
        await _settle()
        late = work.begin("b", 5)
        await _settle()
        refused = [task for task in late if task.done()]
        assert len(refused) == 1, "four of eight are b's, whatever a has"
        later = work.begin("c", 1)
        await _settle()
        for _ in range(13):
            work.go_on.release()
        await asyncio.gather(*many, *later, *late, return_exceptions=True)
        assert work.order[:6] == ["a", "a", "b", "c", "a", "b"]
        assert Counter(work.order) == {"a": 8, "b": 4, "c": 1}

    asyncio.run(test())


def test_who_waits_no_longer_leaves_the_place_to_others() -> None:
    async def test() -> None:
        work = Work(1, 8)
        first, second, third = work.begin("a", 3)
        await _settle()
        second.cancel()
        await _settle()
        work.go_on.release()
        assert await first == "a"
        third.cancel()  # in the moment in which its turn has come
        await _settle()
        (fourth,) = work.begin("b", 1)
        await _settle()
        work.go_on.release()
        assert await fourth == "b"
        assert work.turns.held == 0

    asyncio.run(test())


def test_what_fails_gives_its_place_back() -> None:
    async def test() -> None:
        turns = Turns(1, 1)

        async def fail() -> None:
            raise OSError("no")

        for _ in range(3):
            with pytest.raises(OSError, match="no"):
                await turns.run("a", fail)
        assert turns.held == 0

    asyncio.run(test())
