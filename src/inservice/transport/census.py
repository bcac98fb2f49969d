"""How many clients each of the processes has that accept on one socket, in memory that they share.

Whoever owns the socket makes it and hands its descriptor down. Each process writes its own number
and reads the others'; a number that is a moment old does no harm. No lock, no message: the worst
that a wrong number can do is a few milliseconds of waiting.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

_BYTES: Final = 4
_NOBODY: Final = 2**31 - 1
"""The number of a process that is not there: nobody waits for it to take its part."""

AHEAD: Final = 2
"""Clients that one process may have more than another. Two busy workers differ by as much anyhow,
and less would make each wait for the other's turn."""


def make_census(processes: int) -> int:
    """A descriptor of a census in which nobody is there yet."""
    descriptor = os.memfd_create("census")
    for index in range(processes):
        strike_out(descriptor, index)
    return descriptor


def strike_out(descriptor: int, index: int) -> None:
    """The process has ended."""
    os.pwrite(descriptor, _NOBODY.to_bytes(_BYTES, "little"), index * _BYTES)


class Census:
    """One process's view of it."""

    def __init__(self, descriptor: int, index: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self._index = index

    def tell(self, clients: int) -> None:
        """We have so many."""
        at = self._index * _BYTES
        self._memory[at : at + _BYTES] = clients.to_bytes(_BYTES, "little")

    def is_ahead(self, clients: int) -> bool:
        """With so many we have more than our part: somebody else has fewer."""
        numbers = self._memory[:]
        least = min(
            int.from_bytes(numbers[at : at + _BYTES], "little")
            for at in range(0, len(numbers), _BYTES)
        )
        return clients > least + AHEAD
