"""Requests that gateway workers have in their hands, and those that died with a worker.

A worker that has a request under way says so once a second. What a dead worker had neither answered
nor seen its client leave is dropped: nobody will answer it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from inservice.channel.counts import InvocationRow

FRESH_SECONDS = 3.0
"""A worker with requests under way that has said nothing for as long has none any more, or is dead.
"""

Of = TypeVar("Of")
"""Whose requests they are."""


@dataclass(slots=True)
class _Said:
    """What one life of one worker last said of one fleet."""

    at: float  # epoch seconds
    concurrent_max: int
    open: int = 0  # sent to a model, and neither answered nor abandoned yet


class UnderWay(Generic[Of]):
    """What every worker last said. Not safe to call from two threads at once."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, Of], _Said] = {}

    def add(self, worker: str, whose: Of, row: InvocationRow) -> None:
        """Note a row; `worker` names one life of one worker, "<pid>@<start time>"."""
        said = self._said.setdefault((worker, whose), _Said(row.at, 0))
        # Two steps of a deployment are told in two rows of the same moment.
        before = said.concurrent_max if said.at == row.at else 0
        said.at, said.concurrent_max = row.at, before + row.concurrent_max
        change = row.begun - int(row.model_latency[0]) - row.abandoned
        # Below zero are answers to what was sent before this process began to count.
        said.open = max(0, said.open + change)

    def inflight(self, now: float) -> Iterator[tuple[Of, int]]:
        """The most at once in the last second; the sum over a fleet's workers is the fleet's."""
        for (_, whose), said in self._said.items():
            if now < said.at + FRESH_SECONDS:
                yield whose, said.concurrent_max

    def settle(self, now: float, pids: Collection[int]) -> Iterator[tuple[Of, int]]:
        """What was dropped since the last call; `pids` are the workers that live."""
        living = {str(pid) for pid in pids}
        for key, said in list(self._said.items()):
            if now < said.at + FRESH_SECONDS:
                continue
            worker, whose = key
            is_dead = worker.partition("@")[0] not in living
            if is_dead or not said.open:
                del self._said[key]
            if is_dead and said.open:
                yield whose, said.open
