"""The store on SQLite or PostgreSQL.

SQLite, the default, is used in the one way that is safe with every version of it: WAL, one
connection that writes and checkpoints, and readers that can do neither. Before 3.51.3 two
connections that checkpoint at once can corrupt the file. `synchronous=FULL` makes a commit survive
the loss of power, not only `kill -9`; it still leaves thousands of commits a second.

One process has the store open: whoever holds the lease (see `store.lease`). That makes the cache
exact. It holds decoded records by key, and the only writer there is drops what it touched as soon
as it has committed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import structlog
from sqlalchemy import Connection, Engine, event, make_url, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from inservice.errors import InsufficientStorage, ServiceUnavailable
from inservice.reserve import Room, is_full
from inservice.store.base import Reading, Transaction
from inservice.store.collections.access_keys import access_keys
from inservice.store.collections.endpoints import ENDPOINT_PACKING, endpoints
from inservice.store.drivers.collections import reading_over, transaction_over
from inservice.store.drivers.directory import DataDirectory
from inservice.store.drivers.inspection import inspect_rows
from inservice.store.drivers.postgresql import PostgresqlDatabase
from inservice.store.drivers.sqlite import SqliteFile
from inservice.store.errors import NotRemembered, StaleLease, StoreInUse
from inservice.store.feed import CALLER, Commit, Feed
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.cache import Cache
from inservice.store.kit.secrets import SecretBox
from inservice.store.lease import Holding, check_lease, count_commit, take_lease

WRITER_WAIT_SECONDS = 30
"""A transaction takes a millisecond; if the writer is not free after this, something is stuck."""

_log = structlog.get_logger(__name__)


def open_store(url: str, *, key_file: Path, room: Room = contextlib.nullcontext) -> Database:
    """Open the database at a SQLAlchemy URL, migrated to the version of this code, and take its
    lease.

    `key_file` opens the secrets of the access keys; it is made when there are none yet. Each
    transaction is made within `room`: it must be written however full the disk is. Raises
    StoreRefused, saying why, without having changed anything, and InsufficientStorage.
    """
    parsed = make_url(url)
    directory = DataDirectory.of(key_file)
    driver: SqliteFile | PostgresqlDatabase
    with _full_told():
        if parsed.get_backend_name() == "sqlite":
            driver = SqliteFile(Path(parsed.database or ""), directory)
        else:
            driver = PostgresqlDatabase(parsed, directory)
        return Database(driver, directory, room)


class Database:
    """`store.base.Store`, over either driver."""

    def __init__(
        self,
        driver: SqliteFile | PostgresqlDatabase,
        directory: DataDirectory,
        room: Room,
    ) -> None:
        self._room = room
        self._driver = driver
        self._mark = directory.mark
        self._writer_lock = threading.Lock()
        self._cache = Cache({endpoints.name: ENDPOINT_PACKING})
        self._closed = False
        self.feed = Feed()
        # A writer that had to connect anew had no lock for a while, in which another server may
        # have written.
        event.listen(driver.writer, "connect", lambda *_: self._cache.clear())
        try:
            with driver.readers.connect() as connection:
                sealed = connection.execute(select(access_keys.c.id).limit(1)).first()
            self._secrets = SecretBox(directory.key_file, create=sealed is None)
            self._remembered = reading_over(Access(_refuse_to_connect, self._secrets, self._cache))
            with driver.writer.begin() as connection:
                lease = take_lease(connection)  # first: from now on nobody else's save is kept
                for record in inspect_rows(connection, time.time()):
                    _log.error("store.set_aside", record=record)
                progress = count_commit(connection, lease)
            self.holding = Holding(lease)
            self._mark.write(progress)
            self._mark.sync()
        except BaseException:
            driver.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """See `store.base.Store`."""
        self.holding.check()
        with contextlib.ExitStack() as cleanup, self._translated():
            connect = _Connect(self._driver.readers, cleanup)
            yield reading_over(Access(connect, self._secrets, self._cache))

    def remembered(self) -> Reading:
        """See `store.base.Store`."""
        self.holding.check()
        return self._remembered

    @contextlib.contextmanager
    def transaction(self, by: str = CALLER) -> Iterator[Transaction]:
        """See `store.base.Store`."""
        self.holding.check()
        if not self._writer_lock.acquire(timeout=WRITER_WAIT_SECONDS):
            raise ServiceUnavailable("The store is busy.")
        try:
            self._refuse_if_closed()
            with self._room():
                with self._translated(), self._driver.writer.begin() as connection:
                    access = WritableAccess(lambda: connection, self._secrets)
                    yield transaction_over(access)
                    progress = count_commit(connection, self.holding.lease)
                self._mark.write(progress)
            if access.settled:
                self._cache.settle(access.settled)
            # Before the next one can commit, so that they are told in their order.
            self.feed.publish(Commit(progress.commits, by, access.changes))
        finally:
            self._writer_lock.release()

    def confirm(self) -> None:
        """See `store.base.Store`."""
        self.holding.check()
        if not self._writer_lock.acquire(blocking=False):
            return  # a transaction is under way, and finds out itself
        try:
            self._refuse_if_closed()
            with self._translated(), self._driver.writer.connect() as connection:
                check_lease(connection, self.holding.lease)
        finally:
            self._writer_lock.release()

    def close(self) -> None:
        """See `store.base.Store`."""
        with self._writer_lock:
            self._closed = True
        self._driver.close()
        self._mark.close()

    def _refuse_if_closed(self) -> None:
        """An engine that was let go connects anew when it is asked, and would lock again."""
        if self._closed:
            raise ServiceUnavailable("The store is closed.")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What a caller can only wait out, as AWS's 503. Anything else is a bug and stays one."""
        try:
            with _full_told():
                yield
        except StaleLease:
            self._lose()
            raise
        except StoreInUse as error:
            # The writer had to connect anew, and somebody has the lock: another holder, or our own
            # session, of which the server does not know yet that it is cut.
            self._check_through_a_reader()
            self._unavailable(error, error)
        except (OperationalError, InterfaceError, NoConnectionFree) as error:
            self._unavailable(error, error.orig if isinstance(error, DBAPIError) else error)

    def _check_through_a_reader(self) -> None:
        try:
            with self._driver.readers.connect() as connection:
                check_lease(connection, self.holding.lease)
        except StaleLease:
            self._lose()
            raise
        except (OperationalError, InterfaceError, NoConnectionFree) as error:
            self._unavailable(error, error)

    def _lose(self) -> None:
        _log.error("store.lease_lost", epoch=self.holding.lease.epoch)
        self.holding.lose()

    def _unavailable(self, error: Exception, cause: object) -> NoReturn:
        _log.error("store.unavailable", error=str(cause))
        raise ServiceUnavailable("The store cannot be reached or is locked.") from error


@contextlib.contextmanager
def _full_told() -> Iterator[None]:
    """A disk that is full, as what it is."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:  # SQLAlchemy does not wrap a pragma's
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not is_full(cause):
            raise
        _log.error("store.full", error=str(cause))
        raise InsufficientStorage("The disk of the records is full.") from error


class _Connect:
    """Opens a connection when it is first needed, and gives the same one from then on."""

    def __init__(self, readers: Engine, cleanup: contextlib.ExitStack) -> None:
        self._readers = readers
        self._cleanup = cleanup
        self._connection: Connection | None = None

    def __call__(self) -> Connection:
        if self._connection is None:
            self._connection = self._cleanup.enter_context(self._readers.connect())
        return self._connection


def _refuse_to_connect() -> Connection:
    raise NotRemembered
