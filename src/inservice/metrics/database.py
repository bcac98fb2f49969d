"""Metrics on SQLite or PostgreSQL: `metrics.base.MetricStorage`, a driver; only `app` names it.

On SQLite they have a file of their own beside the store's. The two live differently: an endpoint's
record is written once in a while and must survive the loss of power, metrics are written every
second and must survive `kill -9`. So here `synchronous` is NORMAL: a commit is in the operating
system's hands, not yet on the platter, and costs no fsync; what a power failure takes is the last
seconds of a graph. And neither waits for the other's lock.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import structlog
from sqlalchemy import (
    Connection,
    Engine,
    QueuePool,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from inservice.alarms.history import HISTORY_SECONDS, HistoryItem
from inservice.errors import ServiceUnavailable
from inservice.metrics import tables
from inservice.metrics.base import (
    CHUNK_BUCKETS,
    DEPLOYMENTS_KEPT,
    TIERS,
    AlarmKey,
    ChunkKey,
    Fold,
    HistoryQuery,
    MetricsRefused,
    SeriesRow,
)
from inservice.metrics.names import Metric
from inservice.metrics.step_counts import StepCount

BUSY_SECONDS = 5
KEYS_AT_ONCE = 250
"""Of a SELECT by key: three parameters each, and SQLite before 3.32 takes 999."""

MARK_SECONDS = 86_400
"""How long a worker's mark outlives its last word. It resends for as long as it lives."""

_log = structlog.get_logger(__name__)


def open_metrics(url: str) -> MetricsDatabase:
    """Open the metrics that belong to the store at a SQLAlchemy URL.

    SQLite: `metrics.db` in the directory of the store's file. PostgreSQL: the same database. Raises
    MetricsRefused. The store must be open: its lock covers these tables too.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
        )
        return MetricsDatabase(engine)
    path = Path(parsed.database or "").with_name("metrics.db")
    path.touch(mode=0o600)
    return MetricsDatabase(_sqlite_engine(path))


class MetricsDatabase:
    """One connection; the recorder's lock sees to it that one thread at a time uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._upsert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        try:
            with engine.begin() as connection:
                tables.metadata.create_all(connection)
                found = connection.execute(select(tables.schema.c.version)).scalar()
                if found is None:
                    connection.execute(insert(tables.schema).values(version=tables.VERSION))
        except DatabaseError as error:
            engine.dispose()
            raise MetricsRefused(
                f"The metrics cannot be opened: {error.orig}. Move {engine.url.database} away to "
                "begin new ones; endpoints are not affected."
            ) from error
        if found not in (None, tables.VERSION):
            engine.dispose()
            raise MetricsRefused(
                f"The metrics are of version {found}; this InService knows {tables.VERSION}."
            )

    def series(self) -> Sequence[SeriesRow]:
        """See `MetricStorage`."""
        with self._begin() as connection:
            rows = connection.execute(select(tables.series)).all()
        return [
            SeriesRow(
                row.id,
                Metric(row.account, row.region, row.namespace, row.name, _dimensions(row)),
                row.unit,
                row.high_resolution,
                row.last_at,
            )
            for row in rows
        ]

    def marks(self) -> Mapping[str, int]:
        """See `MetricStorage`."""
        with self._begin() as connection:
            rows = connection.execute(select(tables.marks.c.worker, tables.marks.c.seq))
            return {worker: seq for worker, seq in rows}  # noqa: C416 - rows are no tuples to mypy

    def journal(
        self,
        entry: bytes,
        *,
        now: float,
        worker: str = "",
        seq: int = 0,
        step_counts: Sequence[StepCount] = (),
    ) -> int:
        """See `MetricStorage`."""
        with self._begin() as connection:
            if worker:
                mark = {"worker": worker, "seq": seq, "at": now}
                self._replace(connection, tables.marks, [mark])
            self._add(connection, tables.step_counts, [asdict(count) for count in step_counts])
            result = connection.execute(insert(tables.journal).values(body=entry))
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def step_counts(self, generation: str, number: int) -> Sequence[StepCount]:
        """See `MetricStorage`."""
        table = tables.step_counts
        wanted = select(table).where(table.c.generation == generation, table.c.number == number)
        with self._begin() as connection:
            return [StepCount(**row) for row in connection.execute(wanted).mappings()]

    def counted_generations(self) -> frozenset[str]:
        """See `MetricStorage`."""
        with self._begin() as connection:
            found = connection.execute(select(tables.step_counts.c.generation).distinct())
            return frozenset(found.scalars())

    def forget_step_counts(self, generations: Iterable[str]) -> None:
        """See `MetricStorage`."""
        table = tables.step_counts
        with self._begin() as connection:
            for generation in generations:
                connection.execute(delete(table).where(table.c.generation == generation))

    def unfolded(self) -> Sequence[tuple[int, bytes]]:
        """See `MetricStorage`."""
        columns = tables.journal.c
        with self._begin() as connection:
            rows = connection.execute(select(columns.id, columns.body).order_by(columns.id))
            return [(number, bytes(body)) for number, body in rows]

    def fold(self, fold: Fold) -> None:
        """See `MetricStorage`."""
        series = [
            {
                "id": row.id,
                "account": row.metric.account,
                "region": row.metric.region,
                "namespace": row.metric.namespace,
                "name": row.metric.name,
                "dimensions": msgspec.json.encode(row.metric.dimensions).decode(),
                "unit": row.unit,
                "high_resolution": row.high_resolution,
                "last_at": row.last_at,
            }
            for row in fold.series
        ]
        chunks = [
            {"series": id_, "seconds": seconds, "start": start, "body": body}
            for (id_, seconds, start), body in fold.chunks.items()
        ]
        with self._begin() as connection:
            self._replace(connection, tables.series, series)
            self._replace(connection, tables.chunks, chunks)
            connection.execute(delete(tables.journal).where(tables.journal.c.id <= fold.through))

    def chunks(self, keys: Iterable[ChunkKey]) -> Mapping[ChunkKey, bytes]:
        """See `MetricStorage`."""
        columns = tables.chunks.c
        key = tuple_(columns.series, columns.seconds, columns.start)
        wanted, found = list(keys), {}
        with self._begin() as connection:
            for at in range(0, len(wanted), KEYS_AT_ONCE):
                some = select(tables.chunks).where(key.in_(wanted[at : at + KEYS_AT_ONCE]))
                for row in connection.execute(some):
                    found[row.series, row.seconds, row.start] = bytes(row.body)
        return found

    def expire(self, now: float) -> Sequence[int]:
        """See `MetricStorage`."""
        chunks, series = tables.chunks.c, tables.series.c
        with self._begin() as connection:
            for seconds, kept_seconds in TIERS.items():
                before = now - kept_seconds - seconds * CHUNK_BUCKETS
                connection.execute(
                    delete(tables.chunks).where(chunks.seconds == seconds, chunks.start < before)
                )
            left = select(chunks.series).where(chunks.series == series.id).exists()
            empty = list(connection.execute(select(series.id).where(~left)).scalars())
            connection.execute(delete(tables.series).where(series.id.in_(empty)))
            marks, history = tables.marks.c, tables.alarm_history.c
            connection.execute(delete(tables.marks).where(marks.at < now - MARK_SECONDS))
            connection.execute(
                delete(tables.alarm_history).where(history.at < now - HISTORY_SECONDS)
            )
            self._forget_old_deployments(connection)
        return empty

    def add_history(self, entries: Sequence[tuple[AlarmKey, str, HistoryItem]]) -> None:
        """See `MetricStorage`."""
        rows = [
            {
                "account": alarm.account,
                "region": alarm.region,
                "name": alarm.name,
                "alarm_type": alarm_type,
                "at": item.at,
                "type": item.type,
                "summary": item.summary,
                "body": item.data,
            }
            for alarm, alarm_type, item in entries
        ]
        with self._begin() as connection:
            connection.execute(insert(tables.alarm_history), rows)

    def history(self, query: HistoryQuery) -> Sequence[tuple[int, AlarmKey, str, HistoryItem]]:
        """See `MetricStorage`."""
        columns = tables.alarm_history.c
        wanted = select(tables.alarm_history).where(
            columns.account == query.account,
            columns.region == query.region,
            columns.alarm_type.in_(query.alarm_types),
        )
        if query.name is not None:
            wanted = wanted.where(columns.name == query.name)
        if query.type is not None:
            wanted = wanted.where(columns.type == query.type)
        if query.start is not None:
            wanted = wanted.where(columns.at >= query.start)
        if query.end is not None:
            wanted = wanted.where(columns.at < query.end)
        place = tuple_(columns.at, columns.id)
        if query.after is not None:
            here = place < query.after if query.newest_first else place > query.after
            wanted = wanted.where(here)
        order = (
            (columns.at.desc(), columns.id.desc())
            if query.newest_first
            else (columns.at, columns.id)
        )
        with self._begin() as connection:
            rows = connection.execute(wanted.order_by(*order).limit(query.limit)).all()
        return [
            (
                row.id,
                AlarmKey(row.account, row.region, row.name),
                row.alarm_type,
                HistoryItem(row.at, row.type, row.summary, row.body),
            )
            for row in rows
        ]

    def close(self) -> None:
        """See `MetricStorage`."""
        self._engine.dispose()

    def _replace(self, connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Insert the rows, each in place of the one with its key."""
        self._merge(connection, table, rows, lambda _, new: new)

    def _add(self, connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Insert the rows, each added to the one with its key."""
        self._merge(connection, table, rows, lambda old, new: old + new)

    def _merge(
        self,
        connection: Connection,
        table: Any,
        rows: Sequence[dict[str, Any]],
        merged: Callable[[Any, Any], Any],
    ) -> None:
        """Insert the rows; of one whose key is there, each column becomes `merged(old, new)`."""
        if not rows:
            return
        statement = self._upsert(table)
        keys = [column.name for column in table.primary_key]
        new = statement.excluded
        changes = {c.name: merged(c, new[c.name]) for c in table.c if c.name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), rows)

    def _forget_old_deployments(self, connection: Connection) -> None:
        columns = tables.step_counts.c
        newest = select(columns.generation, func.max(columns.number)).group_by(columns.generation)
        for generation, number in connection.execute(newest).all():
            connection.execute(
                delete(tables.step_counts).where(
                    columns.generation == generation, columns.number <= number - DEPLOYMENTS_KEPT
                )
            )

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError) as error:
            _log.error("metrics.unavailable", error=str(error))
            raise ServiceUnavailable(
                "The metrics cannot be reached, are locked or are full."
            ) from error


def _dimensions(row: Any) -> tuple[tuple[str, str], ...]:
    return msgspec.json.decode(row.dimensions, type=tuple[tuple[str, str], ...])


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{path}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={
            "check_same_thread": False,
            "isolation_level": None,
            "timeout": BUSY_SECONDS,
        },
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
