"""Series of buckets: one second, one minute, five minutes and one hour, each summed on arrival.

A sample is added to its bucket in every tier at once, so a minute is never computed from seconds
that may have expired. Chunks are loaded when they are first touched. One that is over and that
nobody has read is let go of once it is saved: of hundreds of endpoints that are measured, few are
looked at. The others are let go of, the least recently used first, when all of them together cost
more than `cost_max`; those with unsaved changes stay. Which series exist is always in memory, and
that is what is limited: by number and by bytes of their names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from inservice.cloudwatch.alarms.errors import BadValue
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import TIERS, Metric
from inservice.telemetry.base import Sample
from inservice.telemetry.storage import CHUNK_BUCKETS, ChunkKey, Fold, MetricStorage, SeriesRow

SERIES_MAX = 10_000
"""Series of one account and region that PutMetricData may make. Each costs about 1 kB for ever."""

NAME_BYTES_MAX = 16 * 1024 * 1024
"""Of all their names and dimensions together; a metric may have 30 dimensions of 1,279 bytes."""

COST_MAX = 96 * 1024 * 1024
CHUNK_COST = 500
AGGREGATE_COST = 200
BIN_COST = 70
ZERO_COST = 50
"""Bytes, about: measured with tracemalloc on CPython 3.11."""

LET_GO_SECONDS = 60.0
"""Between looks for chunks that are over: a minute's worth of seconds is one."""

LAST_AT_SECONDS = 300.0
"""How far the newest sample of a series may be ahead of what is stored about it. It says whether a
metric was active within three hours; writing it with every fold would be a third of all rows."""

_ZERO = Aggregate.zero()
"""Each bucket in which nothing was counted. Most buckets of most endpoints are; it is never merged
into."""

_DECODE = msgspec.msgpack.Decoder(dict[int, list])  # type: ignore[type-arg]


@dataclass(slots=True)
class Series:
    """One metric in one unit."""

    id: int
    metric: Metric
    unit: str
    high_resolution: bool
    last_at: float
    stored_at: float  # `last_at` as it is stored

    def row(self) -> SeriesRow:
        """As it is stored."""
        return SeriesRow(self.id, self.metric, self.unit, self.high_resolution, self.last_at)


@dataclass(slots=True)
class _Chunk:
    buckets: dict[int, Aggregate] = field(default_factory=dict)  # by number within the chunk
    cost: int = CHUNK_COST  # also of an empty one: reading where nothing is must not pile up
    dirty: bool = False
    is_read: bool = False  # somebody has asked for what is in it, and may again

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
        self._series: dict[Metric, dict[str, Series]] = {}
        self._changed: dict[int, Series] = {}
        self._unstored: set[int] = set()  # series that no fold contains: nothing to look for
        self._sizes: dict[tuple[str, str], tuple[int, int]] = {}  # owner → series, bytes of names
        self._next_id = 1
        for row in storage.series():
            last = row.last_at
            self._enlist(Series(row.id, row.metric, row.unit, row.high_resolution, last, last))
            self._next_id = max(self._next_id, row.id + 1)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def check_room(self, samples: Iterable[Sample]) -> None:
        """Raises BadValue when the samples would make more series than an account may have."""
        fresh: dict[tuple[str, str], dict[tuple[Metric, str], int]] = {}
        for sample in samples:
            if sample.unit not in self._series.get(sample.metric, {}):
                owner = (sample.metric.account, sample.metric.region)
                names = fresh.setdefault(owner, {})
                names[sample.metric, sample.unit] = _name_bytes(sample.metric)
        for owner, names in fresh.items():
            count, size = self._sizes.get(owner, (0, 0))
            if count + len(names) > SERIES_MAX or size + sum(names.values()) > NAME_BYTES_MAX:
                raise BadValue(
                    f"This account has {count} metrics in this region; it may have {SERIES_MAX} "
                    f"with names and dimensions of {NAME_BYTES_MAX} bytes in all."
                )

    def add(self, samples: Sequence[Sample], now: float) -> None:
        """Count samples, each in every tier that still keeps its time.

        The chunks of all of them are loaded with one question, not with one for each.
        """
        places: list[tuple[ChunkKey, int, Aggregate]] = []
        self._now = max(self._now, now)
        for sample in samples:
            series = self._series_of(sample)
            for seconds, kept_seconds in TIERS.items():
                if sample.at < now - kept_seconds or (seconds == 1 and not sample.high_resolution):
                    continue
                at, span = int(sample.at), seconds * CHUNK_BUCKETS
                key = (series.id, seconds, at - at % span)
                places.append((key, at % span // seconds, sample.seen))
        loaded = self._load([key for key, _, _ in places])
        for chunk, (_, number, seen) in zip(loaded, places, strict=True):
            self._cost += chunk.add(number, seen)

    def _series_of(self, sample: Sample) -> Series:
        series = self._series.get(sample.metric, {}).get(sample.unit)
        if series is None:
            series = Series(
                self._next_id, sample.metric, sample.unit, False, sample.at, float("-inf")
            )
            self._next_id += 1
            self._unstored.add(series.id)
            self._enlist(series)
        series.last_at = max(series.last_at, sample.at)
        finer = sample.high_resolution and not series.high_resolution
        series.high_resolution |= finer
        if finer or series.last_at - series.stored_at >= LAST_AT_SECONDS:
            self._changed[series.id] = series
        return series

    def fold(self, through: int) -> Fold:
        """All unsaved changes. Call `folded` once they are written."""
        dirty = {key: chunk for key, chunk in self._chunks.items() if chunk.dirty}
        return Fold(
            series=[series.row() for series in self._changed.values()],
            chunks={key: _encode(chunk) for key, chunk in dirty.items()},
            through=through,
        )

    def folded(self, fold: Fold) -> None:
        """What `fold` gave is safe. Nothing may have been added in between."""
        for key in fold.chunks:
            self._chunks[key].dirty = False
        for series in self._changed.values():
            series.stored_at = series.last_at
        self._changed.clear()
        self._unstored.clear()
        if self._now >= self._let_go_at + LET_GO_SECONDS:
            self._let_go_at = self._now
            self._let_go()
        self._shrink()

    def needs_fold(self) -> bool:
        """Whether unsaved changes alone use up the memory that there is."""
        return self._cost > self._cost_max

    def forget(self, series_ids: Sequence[int], now: float) -> None:
        """Drop series that have nothing left, and chunks past their retention."""
        gone = set(series_ids) - self._changed.keys()
        for series in [s for units in self._series.values() for s in units.values()]:
            if series.id in gone:
                del self._series[series.metric][series.unit]
                self._count(series.metric, -1)
        self._series = {metric: units for metric, units in self._series.items() if units}
        for key in [k for k in self._chunks if k[0] in gone or _is_over(k, now)]:
            self._cost -= self._chunks.pop(key).cost

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def all_series(self, account: str, region: str) -> Iterator[Series]:
        """Every series of an account in a region."""
        for metric, units in self._series.items():
            if metric.account == account and metric.region == region:
                yield from units.values()

    def units(self, metric: Metric) -> Sequence[str]:
        """The units in which there are values of the metric."""
        return tuple(self._series.get(metric, ()))

    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """Start of period → what was seen in it, of the periods that have data.

        Periods begin at `start` and at every `period` seconds after it; the last one ends at or
        before `end`. Without a unit, values of every unit are counted together, as on AWS.
        """
        seconds = _tier(start, period)
        found: dict[int, Aggregate] = {}
        for series in self._series.get(metric, {}).values():
            if unit not in (None, series.unit) or (seconds == 1 and not series.high_resolution):
                continue
            for at, bucket in self._buckets(series.id, seconds, start, end):
                slot = at - (at - start) % period
                if slot + period > end:
                    continue
                if slot in found:
                    found[slot].merge(bucket)
                else:
                    found[slot] = bucket.copy()
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
            wanted = [key for key in absent if key[0] not in self._unstored]
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
        """What is over, saved, and was never asked for."""
        over = [
            key
            for key, chunk in self._chunks.items()
            if not (chunk.dirty or chunk.is_read) and _ends_at(key) <= self._now
        ]
        for key in over:
            self._cost -= self._chunks.pop(key).cost

    def _shrink(self, spare: int = 0) -> None:
        if self._cost <= self._cost_max:
            return
        candidates = list(self._chunks)[: len(self._chunks) - spare]
        for key in candidates:
            if self._cost <= self._cost_max * 0.9:
                break
            if not self._chunks[key].dirty:
                self._cost -= self._chunks.pop(key).cost

    def _enlist(self, series: Series) -> None:
        self._series.setdefault(series.metric, {})[series.unit] = series
        self._count(series.metric, +1)

    def _count(self, metric: Metric, change: int) -> None:
        owner = (metric.account, metric.region)
        count, size = self._sizes.get(owner, (0, 0))
        self._sizes[owner] = (count + change, size + change * _name_bytes(metric))


def _tier(start: int, period: int) -> int:
    """The coarsest buckets that fit the periods exactly; the coarser, the longer they are kept."""
    return max(s for s in TIERS if period % s == 0 and start % s == 0)


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


def _name_bytes(metric: Metric) -> int:
    names = sum(len(name) + len(value) for name, value in metric.dimensions)
    return len(metric.namespace) + len(metric.name) + names


def _is_over(key: ChunkKey, now: float) -> bool:
    return _ends_at(key) < now - TIERS[key[1]]


def _ends_at(key: ChunkKey) -> int:
    _, seconds, start = key
    return start + seconds * CHUNK_BUCKETS
