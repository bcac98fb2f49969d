"""Opening the metrics: they are not worth the server.

A metrics database that is damaged is set aside under a name of its own and begun anew; graphs are
lost, no endpoint is. Damage is looked for where it is cheap: in the structure of a small file and
in the rows that are read at a start. What is found later, in the datapoints, is an error to whoever
asked, and the note that `suspect` leaves has the next start set the file aside.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine, insert, inspect, select, text, update
from sqlalchemy.exc import DatabaseError

from inservice.engines import definitions
from inservice.errors import InsufficientStorage
from inservice.linux import boot_id
from inservice.mark import Mark, MarkDamaged, Progress
from inservice.reserve import is_full
from inservice.seals import broken_seals, sealed, seals_of
from inservice.telemetry import tables
from inservice.telemetry.base import MetricsDamaged, MetricsRefused
from inservice.telemetry.storage import SHEET_SECONDS

CHECKED_BYTES_MAX = 64 * 1024 * 1024
"""A file of this size is read through in a tenth of a second; a start should not take longer."""

CLOSED = "closed"
"""In a mark: written when the metrics were closed, and all of them were on the platter."""

_SET_ASIDE = "damaged"
_READ_AT_A_START = (tables.series, tables.marks, tables.journal, tables.step_counts)

_log = structlog.get_logger(__name__)


def mark_of(path: Path) -> Mark:
    """How far the metrics in this file are."""
    return Mark(path.with_name("metrics.mark"))


def progress(connection: Connection, by: str) -> Progress:
    """How many entries were ever made: SQLite counts them for the tables that ask it to.

    A commit of metrics is not synced, so after a power failure the mark may be ahead of what was
    kept. It therefore says `by` whom it was written, and is believed when that is the kernel which
    still runs, or `CLOSED`, which is written when everything is on the platter.
    """
    count = connection.execute(text("SELECT coalesce(sum(seq), 0) FROM sqlite_sequence")).scalar()
    return Progress(by, int(count or 0))


def make_ready(engine: Engine, path: Path | None) -> None:
    """Make the tables, or bring them up to date. Raises MetricsDamaged, MetricsRefused and
    InsufficientStorage."""
    try:
        with engine.begin() as connection:
            if path is not None:
                _check_structure(connection, path)
                _check_progress(connection, path)
            _refuse_foreign(connection)
            tables.metadata.create_all(connection)
            version = connection.execute(select(tables.schema.c.version)).scalar()
            if version is None:
                connection.execute(insert(tables.schema).values(version=tables.VERSION))
            elif version == 1:
                _seal_everything(connection)
            elif version != tables.VERSION:
                raise MetricsRefused(
                    f"The metrics are of version {version}; this InService knows {tables.VERSION}."
                )
            found = connection.execute(select(tables.schema.c.definitions)).scalar()
            if found and found != definitions(connection):
                raise MetricsDamaged("the definitions of their tables are not those that were made")
            if not found:
                made = definitions(connection)
                connection.execute(update(tables.schema).values(definitions=made))
            sheets = select(tables.chunks).where(tables.chunks.c.seconds == SHEET_SECONDS)
            read = [(table, select(table)) for table in _READ_AT_A_START]
            for table, rows in (*read, (tables.chunks, sheets)):
                for row in connection.execute(rows).mappings():
                    if broken_seals(table, row):
                        raise MetricsDamaged(f"a row of {table.name} is not what was written")
    except DatabaseError as error:
        if is_full(error.orig):
            raise InsufficientStorage("The disk of the metrics is full.") from error
        if isinstance(error.orig, sqlite3.OperationalError) and "malformed" not in str(error.orig):
            raise MetricsRefused(f"The metrics cannot be opened: {error.orig}.") from error
        raise MetricsDamaged(str(error.orig)) from error
    except UnicodeDecodeError as error:  # from SQLite's own words about it
        raise MetricsDamaged("they hold what is no text") from error


def set_aside(path: Path, why: str) -> Path:
    """Move a database away, with its log. Gives its new place."""
    place = path.with_name(
        f"{path.name}.{_SET_ASIDE}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    )
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(place.with_name(place.name + end))
    _note(path).unlink(missing_ok=True)
    path.with_name("metrics.mark").unlink(missing_ok=True)
    _log.error("metrics.set_aside", why=why, kept_as=str(place))
    return place


def were_set_aside(path: Path) -> Sequence[Path]:
    """The databases that were, oldest first, as long as nobody removes them."""
    found = path.parent.glob(f"{path.name}.{_SET_ASIDE}-*")
    return sorted(each for each in found if not each.name.endswith(("-wal", "-shm")))


def suspect(path: Path) -> None:
    """Have the next start set this database aside."""
    _note(path).touch(mode=0o600)


def is_suspect(path: Path) -> bool:
    """Whether damage was found in it while it was in use."""
    return _note(path).exists()


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def _check_structure(connection: Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_BYTES_MAX:
        return
    found = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
    if found != "ok":
        raise MetricsDamaged(str(found))


def _check_progress(connection: Connection, path: Path) -> None:
    try:
        marked = mark_of(path).read()
    except MarkDamaged as damaged:
        raise MetricsDamaged(str(damaged)) from damaged
    if marked is None or marked.store not in (CLOSED, boot_id()):
        return
    there = inspect(connection).has_table("sqlite_sequence")
    seen = progress(connection, CLOSED).commits if there else 0
    if seen < marked.commits:
        raise MetricsDamaged(
            f"they have seen {seen} entries of {marked.commits}: they are an old copy, or their "
            "write-ahead log is missing or damaged"
        )


def _refuse_foreign(connection: Connection) -> None:
    """Another file in this place gets no tables of ours. On PostgreSQL the store's are beside."""
    there = set(inspect(connection).get_table_names())
    ours = {table.name for table in tables.metadata.sorted_tables}
    if connection.dialect.name == "sqlite" and there and not ours <= there:
        raise MetricsDamaged("it has other tables than those of metrics")


def _seal_everything(connection: Connection) -> None:
    """From version 1, which had no seals."""
    connection.execute(
        text("ALTER TABLE metric_schema ADD COLUMN definitions TEXT NOT NULL DEFAULT ''")
    )
    for table in tables.metadata.sorted_tables:
        for name in seals_of(table):
            connection.execute(
                text(f"ALTER TABLE {table.name} ADD COLUMN {name} VARCHAR(16) NOT NULL DEFAULT ''")
            )
        plain = [column for column in table.columns if column.name not in seals_of(table)]
        if len(plain) == len(table.columns):
            continue
        for row in connection.execute(select(*plain)).mappings().all():
            seals = {k: v for k, v in sealed(table, dict(row)).items() if k not in row}
            is_it = [column == row[column.name] for column in table.primary_key]
            connection.execute(update(table).where(*is_it).values(seals))
    connection.execute(update(tables.schema).values(version=tables.VERSION))
