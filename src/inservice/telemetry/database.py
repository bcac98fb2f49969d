"""Metrics on SQLite or PostgreSQL: `telemetry.base.MetricStorage`, a driver; only `app` names it.

On SQLite they have a file of their own beside the store's. The two live differently: an endpoint's
record is written once in a while and must survive the loss of power, metrics are written every
second and must survive `kill -9`. So here `synchronous` is NORMAL: a commit is in the operating
system's hands, not yet on the platter, and costs no fsync; what a power failure takes is the last
seconds of a graph. And neither waits for the other's lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import structlog
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Table,
    delete,
    func,
    insert,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.sql.elements import ColumnElement, Tuple

from inservice.cloudwatch.alarms.history import (
    ALARM_TYPES,
    HISTORY_SECONDS,
    HISTORY_TYPES,
    HistoryItem,
)
from inservice.cloudwatch.metrics.metric import TIERS, Metric
from inservice.engines import WRITING, postgresql_engine, sqlite_engine
from inservice.errors import InsufficientStorage, ServiceUnavailable
from inservice.linux import boot_id
from inservice.reserve import Room, is_full
from inservice.seals import broken_seals, sealed
from inservice.telemetry import opening, tables
from inservice.telemetry.base import (
    HISTORY_WORK,
    AlarmKey,
    HistoryPage,
    HistoryQuery,
    MetricsDamaged,
    StepCount,
)
from inservice.telemetry.storage import (
    CHUNK_BUCKETS,
    DEPLOYMENTS_KEPT,
    SHEET_SECONDS,
    ChunkKey,
    Fold,
    SeriesRow,
)

ROWS_AT_ONCE = 500
"""Of a fold, for one statement. What the rows of hundreds of endpoints take on their way to the
database, all at once, is never given back to the system."""

KEYS_AT_ONCE = 256
"""Of a SELECT by key: three parameters each, and SQLite before 3.32 takes 999."""

MARK_SECONDS = 86_400
"""How long a worker's mark outlives its last word. It resends for as long as it lives."""

_log = structlog.get_logger(__name__)


def open_metrics(url: str, room: Room = contextlib.nullcontext) -> MetricsDatabase:
    """Open the metrics that belong to the store at a SQLAlchemy URL.

    SQLite: `metrics.db` in the directory of the store's file. PostgreSQL: the same database. What
    is written is written within `room`, which may give some of a full disk. Raises MetricsRefused,
    and on a full disk InsufficientStorage or OSError. The store must be open: its lock covers
    these tables too.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return MetricsDatabase(postgresql_engine(parsed), room)
    path = Path(parsed.database or "").with_name("metrics.db")
    if opening.is_suspect(path):
        opening.set_aside(path, "damage was found while it was in use")
    try:
        return _open_file(path, room)
    except MetricsDamaged as damaged:
        opening.set_aside(path, damaged.why)
        return _open_file(path, room)


def _open_file(path: Path, room: Room) -> MetricsDatabase:
    path.touch(mode=0o600)
    pragmas = "journal_mode = WAL", "synchronous = NORMAL"
    return MetricsDatabase(sqlite_engine(path, *pragmas, begin=WRITING), room, path)


class MetricsDatabase:
    """One connection; the recorder's lock sees to it that one thread at a time uses it."""

    def __init__(self, engine: Engine, room: Room, path: Path | None = None) -> None:
        """Raises MetricsDamaged and MetricsRefused. `path`: the file, if it is one."""
        self._engine = engine
        self._room = room
        self._path = path
        self._mark = opening.mark_of(path) if path is not None else None
        self._boot = boot_id()
        self._marked = 0
        # Of the two dialects the one that is there already: PostgreSQL's alone is 40 modules.
        self._upsert = import_module(f"sqlalchemy.dialects.{engine.dialect.name}").insert
        try:
            opening.make_ready(engine, path)
        except BaseException:
            engine.dispose()
            raise

    def series(self) -> Sequence[SeriesRow]:
        """See `MetricStorage`."""
        rows = self._read(select(tables.series), tables.series)
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
        return {row.worker: row.seq for row in self._read(select(tables.marks), tables.marks)}

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
            self._count(connection, step_counts)
            row = sealed(tables.journal, {"body": entry})
            result = connection.execute(insert(tables.journal).values(row))
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])

    def step_counts(self, generation: str, number: int) -> Sequence[StepCount]:
        """See `MetricStorage`."""
        table = tables.step_counts
        wanted = select(table).where(table.c.generation == generation, table.c.number == number)
        return [_step_count(row) for row in self._read(wanted, table)]

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
        table = tables.journal
        rows = self._read(select(table).order_by(table.c.id), table)
        return [(row.id, bytes(row.body)) for row in rows]

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
            for (id_, seconds, start), body in (*fold.chunks.items(), *fold.sheets.items())
        ]
        with self._begin() as connection:
            self._replace(connection, tables.series, series)
            self._replace(connection, tables.chunks, chunks)
            for some in _at_once(fold.sheets_over):
                connection.execute(delete(tables.chunks).where(_key().in_(some)))
            connection.execute(delete(tables.journal).where(tables.journal.c.id <= fold.through))

    def sheets(self) -> Mapping[ChunkKey, bytes]:
        """See `MetricStorage`."""
        table = tables.chunks
        rows = self._read(select(table).where(table.c.seconds == SHEET_SECONDS), table)
        return {(row.series, row.seconds, row.start): bytes(row.body) for row in rows}

    def chunks(self, keys: Iterable[ChunkKey]) -> Mapping[ChunkKey, bytes]:
        """See `MetricStorage`."""
        found = {}
        for some in _at_once(list(keys)):
            wanted = select(tables.chunks).where(_key().in_(some))
            for row in self._read(wanted, tables.chunks):
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
            is_chunk = chunks.seconds != SHEET_SECONDS
            left = select(chunks.series).where(chunks.series == series.id, is_chunk).exists()
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
            table = tables.alarm_history
            connection.execute(insert(table), [sealed(table, row) for row in rows])

    def history(self, query: HistoryQuery) -> HistoryPage:
        """See `MetricStorage`."""
        columns = tables.alarm_history.c
        frame = _history_frame(query)
        # A word that is none is damage, and must not pass for a row that was not asked for.
        kinds = columns.alarm_type.in_(query.alarm_types) | columns.alarm_type.not_in(ALARM_TYPES)
        wanted = select(tables.alarm_history).where(
            columns.id.in_(select(frame.limit(HISTORY_WORK).subquery().c.id)), kinds
        )
        if query.type is not None:
            is_it = columns.type == query.type
            wanted = wanted.where(is_it | columns.type.not_in(HISTORY_TYPES))
        page = wanted.order_by(*_history_order(query)).limit(query.limit + 1)
        rows = self._read(page, tables.alarm_history)
        items = [
            (
                row.id,
                AlarmKey(row.account, row.region, row.name),
                row.alarm_type,
                HistoryItem(row.at, row.type, row.summary, row.body),
            )
            for row in rows[: query.limit]
        ]
        if len(rows) > query.limit:
            return HistoryPage(items, (rows[query.limit - 1].at, rows[query.limit - 1].id))
        with self._begin() as connection:
            last = connection.execute(frame.offset(HISTORY_WORK - 1).limit(1)).first()
        return HistoryPage(items, None if last is None else (last.at, last.id))

    def close(self) -> None:
        """See `MetricStorage`."""
        if self._mark is None:
            self._engine.dispose()
            return
        try:
            with self._begin() as connection:
                closed = opening.progress(connection, opening.CLOSED)
        finally:
            self._engine.dispose()  # the last connection: the log is written back, and synced
        self._mark.write(closed)
        self._mark.close()

    def _read(self, wanted: Select[Any], table: Table) -> Sequence[Row[Any]]:
        """Whole rows of a table. Raises MetricsDamaged for one that is not what was written."""
        with self._begin() as connection:
            rows = connection.execute(wanted).all()
        for row in rows:
            if broken_seals(table, row._mapping):
                self._suspect()
                raise MetricsDamaged(f"a row of {table.name} is not what was written")
        return rows

    def _replace(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert the rows, each in place of the one with its key."""
        if not rows:
            return
        statement = self._upsert(table)
        keys = [column.name for column in table.primary_key]
        changes = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
        upsert = statement.on_conflict_do_update(index_elements=keys, set_=changes)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            several = rows[first : first + ROWS_AT_ONCE]
            connection.execute(upsert, [sealed(table, row) for row in several])

    def _count(self, connection: Connection, counts: Sequence[StepCount]) -> None:
        """Add each count to the one with its key. The sum is sealed, so it is made here."""
        table = tables.step_counts
        for count in counts:
            row = asdict(count)
            is_it = [column == row[column.name] for column in table.primary_key]
            before = connection.execute(select(table).where(*is_it)).first()
            if before is not None:
                if broken_seals(table, before._mapping):
                    self._suspect()
                    raise MetricsDamaged(f"a row of {table.name} is not what was written")
                old = asdict(_step_count(before))
                keys = [column.name for column in table.primary_key]
                row |= {name: old[name] + row[name] for name in row if name not in keys}
            self._replace(connection, table, [row])

    def _suspect(self) -> None:
        if self._path is not None:
            opening.suspect(self._path)

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
            with self._room(), self._engine.begin() as connection:
                yield connection
                seen = opening.progress(connection, self._boot) if self._mark else None
            if self._mark is not None and seen is not None and seen.commits > self._marked:
                self._mark.write(seen)
                self._marked = seen.commits
        except DatabaseError as error:
            if not isinstance(error, OperationalError | InterfaceError):
                self._suspect()
                raise MetricsDamaged(str(error.orig)) from error
            _log.error("metrics.unavailable", error=str(error))
            if is_full(error.orig):
                raise InsufficientStorage("The disk of the metrics is full.") from error
            raise ServiceUnavailable("The metrics cannot be reached or are locked.") from error


def _history_order(query: HistoryQuery) -> tuple[ColumnElement[Any], ...]:
    columns = tables.alarm_history.c
    if query.newest_first:
        return columns.at.desc(), columns.id.desc()
    return columns.at, columns.id


def _history_frame(query: HistoryQuery) -> Select[Any]:
    """Where all items stand that an index finds, of whatever kind, in the order asked for."""
    columns = tables.alarm_history.c
    frame = select(columns.at, columns.id).where(
        columns.account == query.account, columns.region == query.region
    )
    if query.name is not None:
        frame = frame.where(columns.name == query.name)
    if query.start is not None:
        frame = frame.where(columns.at >= query.start)
    if query.end is not None:
        frame = frame.where(columns.at < query.end)
    if query.after is not None:
        place = tuple_(columns.at, columns.id)
        frame = frame.where(place < query.after if query.newest_first else place > query.after)
    return frame.order_by(*_history_order(query))


def _key() -> Tuple:
    """Of a chunk."""
    columns = tables.chunks.c
    return tuple_(columns.series, columns.seconds, columns.start)


def _at_once(keys: Sequence[ChunkKey]) -> Iterator[Sequence[ChunkKey]]:
    """The last key is repeated up to a power of two: of each number there would be a statement of
    its own, and a hundred such are kept, some tens of kilobytes each."""
    for at in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[at : at + KEYS_AT_ONCE]
        whole = 1 << (len(some) - 1).bit_length()
        yield [*some, *[some[-1]] * (whole - len(some))]


def _step_count(row: Row[Any]) -> StepCount:
    return StepCount(**{name: getattr(row, name) for name in StepCount.__dataclass_fields__})


def _dimensions(row: Any) -> tuple[tuple[str, str], ...]:
    return msgspec.json.decode(row.dimensions, type=tuple[tuple[str, str], ...])
