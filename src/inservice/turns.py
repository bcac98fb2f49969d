"""Whose turn it is: a few places for work that many want done, shared by who wants it.

A queue that takes whoever comes first is had by who comes most often. Here each has a queue of
their own and they take turns; and however full it is, nobody is refused who has less waiting than
their even share. Alone, one may have all of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


class Full(Exception):
    """There is no room for more of this one's."""


class Turns:
    """At most `at_once` under way. Of one event loop."""

    def __init__(self, at_once: int | None, most: int) -> None:
        """`most` are under way and waiting together, but for what newcomers have a right to. With
        no `at_once` nobody waits: for what may hang, where a place that is taken stays so."""
        self._most = most
        self._free = sys.maxsize if at_once is None else at_once
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._held: dict[str, int] = {}

    @property
    def held(self) -> int:
        """How many are under way and waiting."""
        return sum(self._held.values())

    async def run(self, whose: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do it when it is its turn. Raises Full."""
        own = self._held.get(whose, 0)
        sharing = len(self._held.keys() | {whose})
        if self.held >= self._most and own >= max(1, self._most // sharing):
            raise Full(f"{own} are waiting already")
        self._held[whose] = own + 1
        try:
            await self._place(whose)
            try:
                return await work()
            finally:
                self._free += 1
                self._next()
        finally:
            self._held[whose] -= 1
            if not self._held[whose]:
                del self._held[whose]

    async def _place(self, whose: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had come in the same moment
                self._free += 1
                self._next()
            raise

    def _next(self) -> None:
        """Give free places to who waits, one after the other."""
        while self._free and self._waiting:
            whose, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[whose] = queue  # behind all others
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
