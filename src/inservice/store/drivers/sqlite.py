"""SQLite: who may open the file. The lock of a file beside it is the lease (see `store.lease`)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from inservice.disk import sync_directory
from inservice.engines import WRITING, sqlite_engine
from inservice.reserve import is_full
from inservice.store.drivers import schema
from inservice.store.drivers.directory import DataDirectory
from inservice.store.errors import StoreDamaged, StoreInUse, StoreRefused

READERS = 16
"""Connections for reading: as many as threads that control answers requests in, and then some."""

_SAFE_CHECKPOINTS = (3, 51, 3)

_log = structlog.get_logger(__name__)


class SqliteFile:
    """A database file that is locked, checked and migrated, and engines on it."""

    def __init__(self, path: Path, directory: DataDirectory) -> None:
        """Open the file, or make it if there is none and the directory is a new one.

        Raises StoreInUse, StoreDamaged and StoreTooNew; a full disk is whatever found it says.
        """
        if sqlite3.sqlite_version_info < _SAFE_CHECKPOINTS:
            _log.info("sqlite.old", version=sqlite3.sqlite_version, safe_with="one writer")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._lock = _lock(path.with_name(f"{path.name}.lock"))
        try:
            if path.exists():
                self._check(directory)
            else:
                _refuse_lone_log(path)
                directory.check_new()
                _make(path)
            self.writer = make_writer(path)
            try:
                _keep_log(self.writer)
                with self.writer.begin() as connection:
                    schema.migrate(connection)
            except BaseException as error:
                self.writer.dispose()
                cause = error.orig if isinstance(error, DBAPIError) else error
                if getattr(cause, "sqlite_errorname", "") == "SQLITE_CANTOPEN":  # no file to be had
                    raise StoreRefused(f"{path} cannot be opened: {cause}.") from error
                raise
        except BaseException:
            os.close(self._lock)
            raise
        self.readers = _readers(path)

    def close(self) -> None:
        """Readers first: the last connection to go checkpoints, and that must be the writer's."""
        self.readers.dispose()
        self.writer.dispose()
        os.close(self._lock)

    def _check(self, directory: DataDirectory) -> None:
        """Look at the file before anything is written to it.

        What looks can only read, for the last connection of another kind that is closed writes the
        log back and removes it: of a log that is damaged, that would be the end.
        """
        path = self._path
        log = path.with_name(f"{path.name}-wal")
        there = log.exists() and log.stat().st_size > 0
        engine = sqlite_engine(path, flags="mode=ro" if there else "immutable=1")
        try:
            with engine.connect() as connection:
                found = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
                if found == "ok":
                    schema.check(connection)
                    directory.check(connection)
        except OperationalError as error:
            if is_full(error.orig):
                raise
            raise StoreRefused(f"{path} cannot be opened: {error.orig}.") from error
        except DatabaseError as error:
            found = str(error.orig)
        except UnicodeDecodeError:  # from SQLite's own words about it
            found = "it holds what is no text"
        finally:
            engine.dispose()
        if found != "ok":
            raise StoreDamaged(
                f'{path} is damaged: {found}. It is left as it is. "inservice recover" says what '
                "can be done."
            )


def _refuse_lone_log(path: Path) -> None:
    """A log without its database has lost it: nothing is made in its stead."""
    if path.with_name(f"{path.name}-wal").exists():
        raise StoreDamaged(
            f"{path} is missing, but {path.name}-wal, a part of it, is there. "
            '"inservice recover" says what can be done.'
        )


def _lock(path: Path) -> int:
    """An open descriptor that has the lock; the lock ends with the process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise StoreInUse(
            f"{path.with_suffix('')} is open in another process"
            f"{f' ({holder})' if holder else ''}. Stop that one, or use another data directory."
        ) from error
    # Only for people: on a full disk it says nothing, and the lock holds without.
    with contextlib.suppress(OSError):
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _make(path: Path) -> None:
    """Make a database beside its place and move it there when it is whole.

    So a file in that place was always once a database with our tables in it, and one that is empty
    has been damaged.
    """
    draft = path.with_name(f"{path.name}.new")
    for name in (draft.name, f"{draft.name}-wal", f"{draft.name}-shm", f"{draft.name}-journal"):
        draft.with_name(name).unlink(missing_ok=True)
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    engine = make_writer(draft)
    _keep_log(engine)
    with engine.begin() as connection:
        schema.make(connection)
    engine.dispose()  # the last connection: its log is written back and removed
    draft.rename(path)
    sync_directory(path.parent)


def _keep_log(engine: Engine) -> None:
    """Switch to WAL, outside of any transaction. It stays switched, but a backup that was restored
    may come without it."""
    connection = engine.raw_connection()
    connection.cursor().execute("PRAGMA journal_mode = WAL")
    connection.close()


def make_writer(path: Path) -> Engine:
    """The one connection that writes and checkpoints."""
    return sqlite_engine(path, "synchronous = FULL", "foreign_keys = ON", begin=WRITING)


def _readers(path: Path) -> Engine:
    """Connections that can neither write nor checkpoint."""
    pragmas = "query_only = ON", "wal_autocheckpoint = 0"
    return sqlite_engine(path, *pragmas, connections=READERS)
