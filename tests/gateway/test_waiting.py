"""How long a request waits for room."""

from __future__ import annotations

import asyncio

import pytest

from inservice.gateway.balance import waiting
from inservice.gateway.balance.waiting import Waiting

KEY = ("000000000000", "us-east-1", "e")


class Waiter:
    """Notes in `ends` how its wait ended."""

    given_up = False

    def __init__(self, name: str, ends: list[str]) -> None:
        self.name, self.ends = name, ends

    def go_on(self) -> None:
        self.ends.append(f"{self.name} goes on")

    def turn_away(self) -> None:
        self.ends.append(f"{self.name} is turned away")


def test_in_a_queue_that_lasts_nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUEUE_SECONDS", 0.4)
    monkeypatch.setattr(waiting, "CROWDED_SECONDS", 0.01)

    async def test() -> None:
        ends: list[str] = []
        queues = Waiting()
        queues.add(KEY, Waiter("first", ends))
        await asyncio.sleep(0.3)
        queues.add(KEY, Waiter("second", ends))
        while not ends:  # the queue has been there for QUEUE_SECONDS
            await asyncio.sleep(0.01)
        queues.add(KEY, Waiter("third", ends))
        while len(ends) < 3:
            await asyncio.sleep(0.01)
        assert ends == [f"{name} is turned away" for name in ("first", "third", "second")]
        assert not queues.queues

    asyncio.run(asyncio.wait_for(test(), 10))


def test_a_queue_that_was_empty_is_a_burst_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUEUE_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "CROWDED_SECONDS", 0.0)

    async def test() -> None:
        ends: list[str] = []
        queues = Waiting()
        queues.add(KEY, Waiter("first", ends))
        while not ends:
            await asyncio.sleep(0.01)
        queues.add(KEY, Waiter("second", ends))
        await asyncio.sleep(0.05)
        queues.room(KEY)
        assert ends == ["first is turned away", "second goes on"]

    asyncio.run(asyncio.wait_for(test(), 10))
