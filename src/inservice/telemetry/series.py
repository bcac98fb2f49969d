"""Which series there are: one for each metric in each unit.

All of them are always in memory, and of hundreds of endpoints each has some twenty, which hardly
anybody asks for. So a series is no object: its numbers are in columns, and what it is called is
kept once, its dimensions for all metrics that have them, its name for all dimensions that it has.
A series costs about 100 bytes so, where an object of its own with a name of its own took ten times
as much.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from inservice.cloudwatch.alarms.errors import BadValue
from inservice.cloudwatch.metrics.metric import Dimensions, Metric
from inservice.telemetry.base import Sample
from inservice.telemetry.storage import SeriesRow

SERIES_MAX = 10_000
"""Series of one account and region that PutMetricData may make: they are there for ever."""

NAME_BYTES_MAX = 16 * 1024 * 1024
"""Of all their names and dimensions together; a metric may have 30 dimensions of 1,279 bytes."""

LAST_AT_SECONDS = 300.0
"""How far the newest sample of a series may be ahead of what is stored about it. It says whether a
metric was active within three hours; writing it with every fold would be a third of all rows."""

_NONE = -1

_Bearer = tuple[str, str, Dimensions]
_Kind = tuple[str, str]  # namespace, name


class One(NamedTuple):
    """A series of a metric that is known."""

    id: int
    unit: str
    high_resolution: bool


class SeriesList:
    """All series. Not thread-safe: the recorder's lock is around it."""

    def __init__(self, rows: Iterable[SeriesRow]) -> None:
        self._places: dict[_Bearer, dict[_Kind, int]] = {}  # of the first unit of each metric
        self._kinds: dict[_Kind, _Kind] = {}
        self._ids = array("q")
        self._units: list[str] = []
        self._nexts = array("q")  # where the next unit of the same metric is
        self._last_at = array("d")
        self._stored_at = array("d")  # `last_at` as it is stored
        self._fine = bytearray()  # has buckets of one second
        self._free: list[int] = []  # places of which the series is forgotten
        self._changed: dict[int, Metric] = {}  # by place
        self._unstored: set[int] = set()
        self._sizes: dict[tuple[str, str], tuple[int, int]] = {}  # owner → series, bytes of names
        self._next_id = 1
        for row in rows:
            place = self._enlist(row.metric, row.unit, row.id)
            self._last_at[place] = self._stored_at[place] = row.last_at
            self._fine[place] = row.high_resolution
            self._next_id = max(self._next_id, row.id + 1)

    def __len__(self) -> int:
        return len(self._ids) - len(self._free)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────
    def of(self, metric: Metric) -> list[One]:
        """The series of a metric, one for each of its units."""
        return [
            One(self._ids[place], self._units[place], bool(self._fine[place]))
            for place in self._all_of(metric)
        ]

    def all(self, account: str, region: str) -> Iterator[SeriesRow]:
        """Every series of an account in a region."""
        for (of_account, of_region, dimensions), kinds in self._places.items():
            if of_account == account and of_region == region:
                for kind, first in kinds.items():
                    metric = Metric(account, region, *kind, dimensions)
                    for place in self._chain(first):
                        yield self._row(place, metric)

    def is_unstored(self, series_id: int) -> bool:
        """Whether no fold contains it: there is nothing to look for."""
        return series_id in self._unstored

    def check_room(self, samples: Iterable[Sample]) -> None:
        """Raises BadValue when the samples would make more series than an account may have."""
        fresh: dict[tuple[str, str], dict[tuple[Metric, str], int]] = {}
        for sample in samples:
            if self._find(sample.metric, sample.unit) == _NONE:
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

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def seen(self, sample: Sample) -> int:
        """The id of the series that a sample belongs to, which is made if there is none."""
        place = self._find(sample.metric, sample.unit)
        if place == _NONE:
            place = self._enlist(sample.metric, sample.unit, self._next_id)
            self._last_at[place] = sample.at
            self._unstored.add(self._next_id)
            self._next_id += 1
        last_at = self._last_at[place] = max(self._last_at[place], sample.at)
        finer = sample.high_resolution and not self._fine[place]
        self._fine[place] |= finer
        if finer or last_at - self._stored_at[place] >= LAST_AT_SECONDS:
            self._changed[place] = sample.metric
        return self._ids[place]

    def changed(self) -> list[SeriesRow]:
        """Those to be written: new ones, and those whose `last_at` moved."""
        return [self._row(place, metric) for place, metric in self._changed.items()]

    def stored(self) -> None:
        """What `changed` gave is written."""
        for place in self._changed:
            self._stored_at[place] = self._last_at[place]
        self._changed.clear()
        self._unstored.clear()

    def forget(self, series_ids: Sequence[int]) -> frozenset[int]:
        """Drop series that have nothing left. Gives those that were: not one that is new since."""
        gone = frozenset(series_ids) - {self._ids[place] for place in self._changed}
        if not gone:
            return gone
        for bearer, kinds in list(self._places.items()):
            for kind, first in list(kinds.items()):
                self._unchain(bearer, kind, first, gone)
            if not kinds:
                del self._places[bearer]
        return gone

    def _unchain(self, bearer: _Bearer, kind: _Kind, first: int, gone: frozenset[int]) -> None:
        chain = list(self._chain(first))
        left = [place for place in chain if self._ids[place] not in gone]
        if len(left) == len(chain):
            return
        metric = Metric(*bearer[:2], *kind, bearer[2])
        for place in set(chain).difference(left):
            self._free.append(place)
            self._count(metric, -1)
        for place, following in zip(left, [*left[1:], _NONE], strict=False):
            self._nexts[place] = following
        if left:
            self._places[bearer][kind] = left[0]
        else:
            del self._places[bearer][kind]

    # ── columns ─────────────────────────────────────────────────────────────────────────────────
    def _row(self, place: int, metric: Metric) -> SeriesRow:
        return SeriesRow(
            self._ids[place],
            metric,
            self._units[place],
            bool(self._fine[place]),
            self._last_at[place],
        )

    def _all_of(self, metric: Metric) -> Iterator[int]:
        kinds = self._places.get((metric.account, metric.region, metric.dimensions), {})
        return self._chain(kinds.get((metric.namespace, metric.name), _NONE))

    def _chain(self, place: int) -> Iterator[int]:
        while place != _NONE:
            yield place
            place = self._nexts[place]

    def _find(self, metric: Metric, unit: str) -> int:
        for place in self._all_of(metric):
            if self._units[place] == unit:
                return place
        return _NONE

    def _enlist(self, metric: Metric, unit: str, series_id: int) -> int:
        bearer = (metric.account, metric.region, metric.dimensions)
        kind = (metric.namespace, metric.name)
        kinds = self._places.setdefault(bearer, {})
        place = self._new_place(series_id, sys.intern(unit))
        *_, last = _NONE, *self._chain(kinds.get(kind, _NONE))
        if last == _NONE:
            kinds[self._kinds.setdefault(kind, kind)] = place
        else:
            self._nexts[last] = place
        self._count(metric, +1)
        return place

    def _new_place(self, series_id: int, unit: str) -> int:
        never = float("-inf")
        if not self._free:
            self._ids.append(series_id)
            self._units.append(unit)
            self._nexts.append(_NONE)
            self._last_at.append(never)
            self._stored_at.append(never)
            self._fine.append(False)
            return len(self._ids) - 1
        place = self._free.pop()
        self._ids[place], self._units[place], self._nexts[place] = series_id, unit, _NONE
        self._last_at[place] = self._stored_at[place] = never
        self._fine[place] = False
        return place

    def _count(self, metric: Metric, change: int) -> None:
        owner = (metric.account, metric.region)
        count, size = self._sizes.get(owner, (0, 0))
        self._sizes[owner] = (count + change, size + change * _name_bytes(metric))


def _name_bytes(metric: Metric) -> int:
    names = sum(len(name) + len(value) for name, value in metric.dimensions)
    return len(metric.namespace) + len(metric.name) + names
