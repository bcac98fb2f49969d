"""Streams whose events came with PutLogEvents, and what is left of any stream after a deletion.

Events are kept as they came, a batch for each call. Within a batch they are in the order of time;
batches of one stream may overlap, since whoever writes late writes what happened earlier. So a
stream is read by merging its batches, which are opened only when the merge gets to their time, and
within a millisecond events stand in the order in which they came: places hold however much is
written after.
"""

from __future__ import annotations

import heapq
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from inservice.instance_logs.base import FOREVER, START, LogEvent, LogStream, Place
from inservice.store.collections.client_logs import BatchPlace

_PAGE = 500
"""Batches whose times are asked for at once."""


class Kept(NamedTuple):
    """An event as it is kept in a batch."""

    at_ms: int
    message: str


Batches = Callable[[int, int, tuple[int, int], int], Sequence[BatchPlace]]
"""(start, end, after, limit): some of a stream's batches with events from start on and before end,
in the order of (first_ms, number) and after that place in it."""

Open = Callable[[int], bytes]
"""The body of the batch of a number; empty if it is gone by now."""


def packed(events: Iterable[Kept], ingested_ms: int) -> bytes:
    """The body of a batch."""
    return zlib.compress(msgspec.msgpack.encode((ingested_ms, list(events))), 1)


def unpacked(body: bytes) -> tuple[int, list[Kept]]:
    """What `packed` was given: when the batch came, and its events."""
    if not body:
        return 0, []
    ingested_ms, events = msgspec.msgpack.decode(
        zlib.decompress(body), type=tuple[int, list[tuple[int, str]]]
    )
    return ingested_ms, [Kept(*event) for event in events]


@dataclass(frozen=True, slots=True)
class WrittenStream:
    """A stream of a store."""

    name: str
    batches: Batches
    open: Open
    size: int  # bytes, as AWS counts them
    first_ms: int | None
    last_ms: int | None

    def stored_bytes(self) -> int:
        """Of all events ever written to it."""
        return self.size

    def first_at_ms(self) -> int | None:
        """Time of its oldest event; None before the first."""
        return self.first_ms

    def last_at_ms(self) -> int | None:
        """Time of its newest event; None before the first."""
        return self.last_ms

    def events(self, start: Place = START, end_ms: int = FOREVER) -> Iterator[LogEvent]:
        """Events from `start` on and before `end_ms`, oldest first."""
        at_ms, number = -1, 0
        for event, ingested_ms in self._merged(start.at_ms, end_ms):
            number = number + 1 if event.at_ms == at_ms else 0
            at_ms = event.at_ms
            if (at_ms, number) >= start:
                yield LogEvent(self.name, Place(at_ms, number), event.message, ingested_ms)

    def latest(self, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
        """The last `limit` events from `start_ms` on and before a place, oldest first.

        The frame is widened towards the past until it has enough of them, so the end of a stream
        costs what it holds and not what the stream holds. A frame begins with a whole millisecond:
        numbers in it are right.
        """
        first_ms = self.first_ms if self.first_ms is not None else before.at_ms
        span_ms, oldest_ms = 60_000, max(start_ms, first_ms)
        newest_ms = min(before.at_ms, self.last_ms if self.last_ms is not None else 0)
        while True:
            from_ms = max(oldest_ms, newest_ms - span_ms)
            frame = self.events(Place(from_ms, 0), newest_ms + 1)
            found = deque((event for event in frame if event.place < before), maxlen=limit)
            if len(found) >= limit or from_ms <= oldest_ms:
                return list(found)
            span_ms *= 8

    def _merged(self, start_ms: int, end_ms: int) -> Iterator[tuple[Kept, int]]:
        """Events of the frame by time, those of one millisecond as they came; and when they did."""
        waiting: list[tuple[int, int, int, str, int, Iterator[Kept]]] = []

        def push(number: int, index: int, ingested_ms: int, rest: Iterator[Kept]) -> None:
            event = next(rest, None)
            if event is not None and event.at_ms < end_ms:
                heapq.heappush(
                    waiting, (event.at_ms, number, index, event.message, ingested_ms, rest)
                )

        def pop() -> tuple[Kept, int]:
            at_ms, number, index, message, ingested_ms, rest = heapq.heappop(waiting)
            push(number, index + 1, ingested_ms, rest)
            return Kept(at_ms, message), ingested_ms

        for batch in self._all_batches(start_ms, end_ms):
            while waiting and waiting[0][0] < batch.first_ms:
                yield pop()
            ingested_ms, events = unpacked(self.open(batch.number))
            framed = iter([event for event in events if event.at_ms >= start_ms])
            push(batch.number, 0, ingested_ms, framed)
        while waiting:
            yield pop()

    def _all_batches(self, start_ms: int, end_ms: int) -> Iterator[BatchPlace]:
        after = (-1, -1)
        while page := self.batches(start_ms, end_ms, after, _PAGE):
            yield from page
            after = (page[-1].first_ms, page[-1].number)


@dataclass(frozen=True, slots=True)
class LeftStream:
    """A stream of which only what is not older than `floor_ms` is there any more."""

    whole: LogStream
    floor_ms: int

    @property
    def name(self) -> str:
        """The whole stream's."""
        return self.whole.name

    @classmethod
    def of(cls, whole: LogStream, floor_ms: int) -> LogStream:
        """The stream itself if nothing of it went."""
        return cls(whole, floor_ms) if floor_ms else whole

    def stored_bytes(self) -> int:
        """Of the whole stream: what went is not measured."""
        return self.whole.stored_bytes()

    def first_at_ms(self) -> int | None:
        """Time of its oldest event; None if nothing is left."""
        return next((event.place.at_ms for event in self.events()), None)

    def last_at_ms(self) -> int | None:
        """Time of its newest event; None if nothing is left."""
        last_ms = self.whole.last_at_ms()
        return last_ms if last_ms is not None and last_ms >= self.floor_ms else None

    def events(self, start: Place = START, end_ms: int = FOREVER) -> Iterator[LogEvent]:
        """Events from `start` on and before `end_ms`, oldest first."""
        return self.whole.events(max(start, Place(self.floor_ms, 0)), end_ms)

    def latest(self, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
        """The last `limit` events from `start_ms` on and before a place, oldest first."""
        return self.whole.latest(max(start_ms, self.floor_ms), before, limit)
