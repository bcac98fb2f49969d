"""What others see of logs: groups, streams and events, and the order in which events stand.

Where an event is, is told by its time and by how many events of the same time are before it in its
stream: a place that holds however a stream is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

FOREVER = 1 << 62


class Place(NamedTuple):
    """Where an event is in its stream."""

    at_ms: int
    number: int  # of the events of that very millisecond, from 0


START = Place(0, 0)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line."""

    stream: str
    place: Place
    message: str
    ingested_ms: int | None = None  # when it came; None: when it happened


class LogStream(Protocol):
    """Events of one writer, however they are kept."""

    @property
    def name(self) -> str:
        """Its name in its group."""
        ...

    def stored_bytes(self) -> int:
        """What it takes."""
        ...

    def first_at_ms(self) -> int | None:
        """Time of its oldest event; None before the first."""
        ...

    def last_at_ms(self) -> int | None:
        """Time of its newest event; None before the first."""
        ...

    def latest(self, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
        """The last `limit` events from `start_ms` on and before a place, oldest first."""
        ...

    def events(self, start: Place = START, end_ms: int = FOREVER) -> Iterator[LogEvent]:
        """Events from `start` on and before `end_ms`, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class LogGroup:
    """One endpoint's streams."""

    name: str
    streams: Sequence[LogStream]  # by name


class LogGroups(Protocol):
    """What the instances of this server wrote."""

    def groups(self, account: str, region: str) -> Sequence[LogGroup]:
        """Every group, by name."""
        ...

    def group(self, account: str, region: str, name: str) -> LogGroup | None:
        """The group of that name, or None."""
        ...


def merged(
    streams: Sequence[LogStream], after: tuple[int, str, int] | None, start_ms: int, end_ms: int
) -> Iterator[LogEvent]:
    """Events of several streams by time, those of one millisecond by stream; all after `after`."""
    begin = start_ms if after is None else max(start_ms, after[0])
    sources = [stream.events(Place(begin, 0), end_ms) for stream in streams]
    for event in heapq.merge(*sources, key=order):
        if after is None or order(event) > after:
            yield event


def order(event: LogEvent) -> tuple[int, str, int]:
    """Where an event stands among those of all streams of a group."""
    return event.place.at_ms, event.stream, event.place.number
