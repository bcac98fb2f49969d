"""The store on SQLite or PostgreSQL.

SQLite, the default, is used in the one way that is safe with every version of it: WAL, one
connection that writes and checkpoints, and readers that can do neither. Before 3.51.3 two
connections that checkpoint at once can corrupt the file. `synchronous=FULL` makes a commit survive
the loss of power, not only `kill -9`; it still leaves thousands of commits a second.

Only one process has the store open: a lock file says so for SQLite, an advisory lock held by the
writer's connection for PostgreSQL. That makes the cache exact. It holds decoded records by key, and
the only writer there is drops what it touched as soon as it has committed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, event, make_url, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from inservice.errors import ServiceUnavailable
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Model
from inservice.ids import EndpointKey
from inservice.store import tables
from inservice.store.base import Commit, EndpointRecord, Reading, StoreInUse, Transaction
from inservice.store.cache import Cache
from inservice.store.directory import DataDirectory, count_commit
from inservice.store.inspection import inspect_rows
from inservice.store.postgresql import PostgresqlDatabase
from inservice.store.rows import RecordKey, Rows, WritableRows, record_key
from inservice.store.secrets import SecretBox
from inservice.store.sqlite import SqliteFile

WRITER_WAIT_SECONDS = 30
"""A transaction takes a millisecond; if the writer is not free after this, something is stuck."""

_log = structlog.get_logger(__name__)

_Record = TypeVar("_Record")


def open_store(url: str, *, key_file: Path) -> Database:
    """Open the database at a SQLAlchemy URL, migrated to the version of this code.

    `key_file` opens the secrets of the access keys; it is made when there are none yet. Raises
    StoreRefused, saying why, without having changed anything.
    """
    parsed = make_url(url)
    directory = DataDirectory.of(key_file)
    if parsed.get_backend_name() == "sqlite":
        return Database(SqliteFile(Path(parsed.database or ""), directory), directory)
    return Database(PostgresqlDatabase(parsed, directory), directory)


class Database:
    """`store.base.Store`, over either driver."""

    def __init__(self, driver: SqliteFile | PostgresqlDatabase, directory: DataDirectory) -> None:
        self._driver = driver
        self._mark = directory.mark
        self._writer_lock = threading.Lock()
        self._cache = Cache()
        self._listeners: list[Callable[[Commit], None]] = []
        # A writer that had to connect anew had no lock for a while, in which another server may
        # have written.
        event.listen(driver.writer, "connect", lambda *_: self._cache.clear())
        try:
            with driver.readers.connect() as connection:
                sealed = connection.execute(select(tables.access_keys.c.id).limit(1)).first()
            self._secrets = SecretBox(directory.key_file, create=sealed is None)
            with driver.writer.begin() as connection:
                for record in inspect_rows(connection, time.time()):
                    _log.error("store.set_aside", record=record)
                progress = count_commit(connection)
            self._mark.write(progress)
            self._mark.sync()
        except BaseException:
            driver.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """See `store.base.Store`."""
        with contextlib.ExitStack() as cleanup, _translated():
            yield _CachedRows(self._driver.readers, cleanup, self._secrets, self._cache)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `store.base.Store`."""
        if not self._writer_lock.acquire(timeout=WRITER_WAIT_SECONDS):
            raise ServiceUnavailable("The store is busy.")
        try:
            with _translated(), self._driver.writer.begin() as connection:
                rows = WritableRows(lambda: connection, self._secrets)
                yield rows
                progress = count_commit(connection)
            self._mark.write(progress)
            if rows.forgotten:
                self._cache.drop(rows.forgotten)
        finally:
            self._writer_lock.release()
        if rows.commit.endpoints or rows.commit.access_keys or rows.commit.alarms:
            for listener in self._listeners:
                listener(rows.commit)

    def on_commit(self, listener: Callable[[Commit], None]) -> None:
        """See `store.base.Store`."""
        self._listeners.append(listener)

    def close(self) -> None:
        """See `store.base.Store`."""
        self._driver.close()
        self._mark.close()


class _CachedRows(Rows):
    """Rows that asks the cache first, and opens a connection only if that did not do."""

    def __init__(
        self,
        readers: Engine,
        cleanup: contextlib.ExitStack,
        secrets: SecretBox,
        cache: Cache,
    ) -> None:
        super().__init__(self._connect, secrets)
        self._readers = readers
        self._cleanup = cleanup
        self._connection: Connection | None = None
        self._cache = cache
        self._stamp = cache.stamp

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._cleanup.enter_context(self._readers.connect())
        return self._connection

    def model(self, account: str, region: str, name: str) -> Model:
        key = record_key(tables.models.name, (account, region, name))
        return self._cached(key, lambda: Rows.model(self, account, region, name))

    def endpoint_config(self, account: str, region: str, name: str) -> EndpointConfig:
        key = record_key(tables.endpoint_configs.name, (account, region, name))
        return self._cached(key, lambda: Rows.endpoint_config(self, account, region, name))

    def find_endpoint(self, key: EndpointKey) -> EndpointRecord | None:
        known_as = record_key(tables.endpoints.name, key)
        return self._cached(known_as, lambda: Rows.find_endpoint(self, key))

    def _cached(self, key: RecordKey, ask: Callable[[], _Record]) -> _Record:
        record: _Record | None = self._cache.get(key)
        if record is None:
            record = ask()
            self._cache.keep(key, record, self._stamp)
        return record


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What a caller can only wait out, as AWS's 503. Anything else is a bug and stays one."""
    try:
        yield
    except (OperationalError, InterfaceError, NoConnectionFree, StoreInUse) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        _log.error("store.unavailable", error=str(cause))
        raise ServiceUnavailable("The store cannot be reached, is locked or is full.") from error
