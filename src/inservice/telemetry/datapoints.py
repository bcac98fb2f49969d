"""Series of buckets: one second, one minute, five minutes and one hour, each summed on arrival.

A sample is added to its bucket in every tier at once, so a minute is never computed from seconds
that may have expired. Chunks are loaded when they are first touched. One that nobody reads is let
go of once it is saved and has not been added to for two minutes: of hundreds of endpoints that are
measured, few are looked at. The others are let go of, the least recently used first, when all of
them together cost more than `cost_max`; those with unsaved changes stay.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import TIERS, Metric
from inservice.telemetry.base import Sample
from inservice.telemetry.series import SeriesList
from inservice.telemetry.storage import CHUNK_BUCKETS, ChunkKey, Fold, MetricStorage

COST_MAX = 96 * 1024 * 1024
CHUNK_COST = 500
AGGREGATE_COST = 200
BIN_COST = 70
ZERO_COST = 50
"""Bytes, about: measured with tracemalloc on CPython 3.11."""

LET_GO_SECONDS = 60.0
"""Between looks for chunks that can go: a minute's worth of seconds is one."""

LOOKS_KEPT = 2
"""For which a chunk stays that nobody adds to: what comes once a minute finds it there."""

_ZERO = Aggregate.zero()
"""Each bucket in which nothing was counted. Most buckets of most endpoints are; it is never merged
into."""

_DECODE = msgspec.msgpack.Decoder(dict[int, list])  # type: ignore[type-arg]


@dataclass(slots=True)
class _Chunk:
    buckets: dict[int, Aggregate] = field(default_factory=dict)  # by number within the chunk
    cost: int = CHUNK_COST  # also of an empty one: reading where nothing is must not pile up
    dirty: bool = False
    is_read: bool = False  # somebody has asked for what is in it, and may again
    looks: int = 0  # since it was added to

    def add(self, number: int, seen: Aggregate) -> int:
        """Count in one bucket; gives the growth of `cost`. Of a bucket that there is, a zero more
        says nothing new, and so writes nothing."""
        bucket, grown = self.buckets.get(number), 0
        if bucket is not None and not seen.count:
            return 0
        self.dirty = True
        if not seen.count:
            self.buckets[number] = _ZERO
            self.cost += ZERO_COST
            return ZERO_COST
        if bucket is None or bucket is _ZERO:
            bucket, grown = Aggregate.zero(), AGGREGATE_COST
            self.buckets[number] = bucket
        bins = len(bucket.bins or ())
        bucket.merge(seen)
        grown += (len(bucket.bins or ()) - bins) * BIN_COST
        self.cost += grown
        return grown


class Datapoints:
    """All series. Not thread-safe: the recorder's lock is around it."""

    def __init__(self, storage: MetricStorage, *, cost_max: int = COST_MAX) -> None:
        self._storage = storage
        self._cost_max = cost_max
        self._cost = 0
        self._now = 0.0  # when something was added last
        self._let_go_at = 0.0
        self._chunks: OrderedDict[ChunkKey, _Chunk] = OrderedDict()
        self._passing: set[ChunkKey] = set()  # loaded for what will not come again soon
        self.series = SeriesList(storage.series())

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def add(self, samples: Sequence[Sample], now: float, *, passing: bool = False) -> None:
        """Count samples, each in every tier that still keeps its time.

        The chunks of all of them are loaded with one question, not with one for each. Those that
        are loaded for `passing` samples are let go of once they are saved.
        """
        places: list[tuple[ChunkKey, int, Aggregate]] = []
        self._now = max(self._now, now)
        for sample in samples:
            series = self.series.seen(sample)
            for seconds, kept_seconds in TIERS.items():
                if sample.at < now - kept_seconds or (seconds == 1 and not sample.high_resolution):
                    continue
                at, span = int(sample.at), seconds * CHUNK_BUCKETS
                key = (series, seconds, at - at % span)
                places.append((key, at % span // seconds, sample.seen))
        if passing:
            self._passing.update(key for key, _, _ in places if key not in self._chunks)
        loaded = self._load([key for key, _, _ in places])
        for chunk, (_, number, seen) in zip(loaded, places, strict=True):
            chunk.looks = 0
            self._cost += chunk.add(number, seen)

    def fold(self, through: int) -> Fold:
        """All unsaved changes. Call `folded` once they are written."""
        dirty = {key: chunk for key, chunk in self._chunks.items() if chunk.dirty}
        return Fold(
            series=self.series.changed(),
            chunks={key: _encode(chunk) for key, chunk in dirty.items()},
            through=through,
        )

    def folded(self, fold: Fold) -> None:
        """What `fold` gave is safe. Nothing may have been added in between."""
        for key in fold.chunks:
            self._chunks[key].dirty = False
        self.series.stored()
        for key in self._passing:
            chunk = self._chunks.get(key)
            if chunk is not None and not (chunk.dirty or chunk.is_read):
                self._drop(key)
        self._passing.clear()
        if self._now >= self._let_go_at + LET_GO_SECONDS:
            self._let_go_at = self._now
            self._let_go()
        self._shrink()

    def needs_fold(self) -> bool:
        """Whether unsaved changes alone use up the memory that there is."""
        return self._cost > self._cost_max

    def forget(self, series_ids: Sequence[int], now: float) -> None:
        """Drop series that have nothing left, and chunks past their retention."""
        gone = self.series.forget(series_ids)
        for key in [k for k in self._chunks if k[0] in gone or _is_over(k, now)]:
            self._drop(key)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """Start of period → what was seen in it, of the periods that have data.

        Periods begin at `start` and at every `period` seconds after it; the last one ends at or
        before `end`. Without a unit, values of every unit are counted together, as on AWS.
        """
        seconds = tier(start, period)
        found: dict[int, Aggregate] = {}
        for series in self.series.of(metric):
            if unit not in (None, series.unit) or (seconds == 1 and not series.high_resolution):
                continue
            for at, bucket in self._buckets(series.id, seconds, start, end):
                put_in(found, bucket, at, start=start, end=end, period=period)
        return found

    def _buckets(
        self, series_id: int, seconds: int, start: int, end: int
    ) -> Iterator[tuple[int, Aggregate]]:
        span = seconds * CHUNK_BUCKETS
        first = start - start % span
        keys = [(series_id, seconds, at) for at in range(first, end, span)]
        for key, chunk in zip(keys, self._load(keys), strict=True):
            chunk.is_read = True
            for number in sorted(chunk.buckets):
                at = key[2] + number * seconds
                if start <= at < end:
                    yield at, chunk.buckets[number]

    # ── chunks ──────────────────────────────────────────────────────────────────────────────────
    def _load(self, keys: Sequence[ChunkKey]) -> list[_Chunk]:
        absent = {key for key in keys if key not in self._chunks}
        if absent:
            wanted = [key for key in absent if not self.series.is_unstored(key[0])]
            stored = self._storage.chunks(wanted) if wanted else {}
            for key in absent:
                chunk = self._chunks[key] = _decode(stored.get(key))
                self._cost += chunk.cost
        for key in keys:
            self._chunks.move_to_end(key)
        found = [self._chunks[key] for key in keys]
        if absent:
            self._shrink(spare=len(keys))
        return found

    def _let_go(self) -> None:
        """What is saved, was never asked for, and is over or was not added to lately."""
        for key, chunk in list(self._chunks.items()):
            chunk.looks += 1
            is_idle = chunk.looks > LOOKS_KEPT or _ends_at(key) <= self._now
            if is_idle and not (chunk.dirty or chunk.is_read):
                self._drop(key)

    def _drop(self, key: ChunkKey) -> None:
        self._cost -= self._chunks.pop(key).cost

    def _shrink(self, spare: int = 0) -> None:
        if self._cost <= self._cost_max:
            return
        candidates = list(self._chunks)[: len(self._chunks) - spare]
        for key in candidates:
            if self._cost <= self._cost_max * 0.9:
                break
            if not self._chunks[key].dirty:
                self._drop(key)


def tier(start: int, period: int) -> int:
    """The coarsest buckets that fit the periods exactly; the coarser, the longer they are kept."""
    return max(s for s in TIERS if period % s == 0 and start % s == 0)


def put_in(
    found: dict[int, Aggregate], seen: Aggregate, at: int, *, start: int, end: int, period: int
) -> None:
    """Count what was seen in the bucket that begins at `at`, in the period that it is in, if that
    is a whole one before `end`."""
    slot = at - (at - start) % period
    if at < start or slot + period > end:
        return
    if slot in found:
        found[slot].merge(seen)
    else:
        found[slot] = seen.copy()


def _encode(chunk: _Chunk) -> bytes:
    rows = {number: bucket.row() for number, bucket in chunk.buckets.items()}
    return msgspec.msgpack.encode(rows)


def _decode(blob: bytes | None) -> _Chunk:
    if blob is None:
        return _Chunk()
    buckets = {
        number: Aggregate.from_row(row) if row[0] else _ZERO
        for number, row in _DECODE.decode(blob).items()
    }
    held = [bucket for bucket in buckets.values() if bucket is not _ZERO]
    bins = sum(len(bucket.bins or ()) for bucket in held)
    zeros = ZERO_COST * (len(buckets) - len(held))
    cost = CHUNK_COST + zeros + AGGREGATE_COST * len(held) + BIN_COST * bins
    return _Chunk(buckets, cost)


def _is_over(key: ChunkKey, now: float) -> bool:
    return _ends_at(key) < now - TIERS[key[1]]


def _ends_at(key: ChunkKey) -> int:
    _, seconds, start = key
    return start + seconds * CHUNK_BUCKETS
