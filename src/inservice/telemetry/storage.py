"""What metrics need of a store: a journal, and chunks of datapoints.

How they work together. A sample is durable once it is in the journal; that is when its sender is
told so. Every few seconds the journal is *folded*: the chunks it changed are written and the
entries that changed them are removed, in one transaction. After a crash the chunks are those of
the last fold and the entries after it are still there, so applying them once more gives exactly
what was. A gateway worker's entry carries its sequence number, kept in the same transaction, so
what a worker sends twice is counted once.

What is noted of every variant once a minute is neither journalled nor, at first, in chunks: see
`sheets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inservice.cloudwatch.alarms.history import HistoryItem
from inservice.cloudwatch.metrics.metric import Metric
from inservice.telemetry.base import AlarmKey, HistoryPage, HistoryQuery, StepCount

CHUNK_BUCKETS = 60
"""Buckets in a chunk, the unit of reading and writing: a minute of seconds, an hour of minutes. A
chunk of a busy latency series is about 20 kB; a row for each bucket would be a thousand rows for
an hour's graph."""

ChunkKey = tuple[int, int, int]
"""(series id, seconds of a bucket, first second)."""

SHEET_SECONDS = 0
"""Instead of the seconds of a bucket, in the key of a row of a sheet: (which sheet, this, a number
of its own)."""


DEPLOYMENTS_KEPT = 50
"""Of each endpoint, whose counts by step are kept: a report is read within days. An endpoint that
is scaled every minute has deployments without end."""


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as it is stored."""

    id: int
    metric: Metric
    unit: str
    high_resolution: bool  # has buckets of one second
    last_at: float  # when its newest sample is from


@dataclass(frozen=True, slots=True)
class Fold:
    """What one fold writes, all of it or nothing."""

    series: Sequence[SeriesRow]  # new ones, and those whose `last_at` moved
    chunks: Mapping[ChunkKey, bytes]
    through: int  # the newest journal entry that is contained in the chunks
    sheets: Mapping[ChunkKey, bytes] = field(default_factory=dict)  # rows of them, see `sheets`
    sheets_over: Sequence[ChunkKey] = ()  # rows of which the notes are contained in the chunks


class MetricStorage(Protocol):
    """Used by one thread at a time; the recorder sees to it."""

    def series(self) -> Sequence[SeriesRow]:
        """Every series there is."""
        ...

    def marks(self) -> Mapping[str, int]:
        """Worker → the newest sequence number of it that was journalled."""
        ...

    def journal(
        self,
        entry: bytes,
        *,
        now: float,
        worker: str = "",
        seq: int = 0,
        step_counts: Sequence[StepCount] = (),
    ) -> int:
        """Keep an entry, and with it the worker's mark and what it adds to the counts by step;
        durable when it returns. Gives its id.

        Raises ServiceUnavailable when the database does not take it.
        """
        ...

    def step_counts(self, generation: str, number: int) -> Sequence[StepCount]:
        """What was counted of one deployment."""
        ...

    def counted_generations(self) -> frozenset[str]:
        """The endpoints of which there are counts by step."""
        ...

    def forget_step_counts(self, generations: Iterable[str]) -> None:
        """These endpoints are gone."""
        ...

    def unfolded(self) -> Sequence[tuple[int, bytes]]:
        """The entries that no fold contains, oldest first, with their ids."""
        ...

    def fold(self, fold: Fold) -> None:
        """Write the chunks, and remove the entries up to `through`; write rows of sheets, and
        remove those that are over."""
        ...

    def sheets(self) -> Mapping[ChunkKey, bytes]:
        """The rows of sheets that there are."""
        ...

    def chunks(self, keys: Iterable[ChunkKey]) -> Mapping[ChunkKey, bytes]:
        """Those of the chunks that exist."""
        ...

    def expire(self, now: float) -> Sequence[int]:
        """Forget what is past its retention. Gives the ids of series that have nothing left."""
        ...

    def add_history(self, entries: Sequence[tuple[AlarmKey, str, HistoryItem]]) -> None:
        """Keep what happened: (alarm, MetricAlarm or CompositeAlarm, item)."""
        ...

    def history(self, query: HistoryQuery) -> HistoryPage:
        """One page, for which no more than HISTORY_WORK items are looked at."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
