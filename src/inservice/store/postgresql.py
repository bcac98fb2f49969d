"""PostgreSQL: the same promises as on SQLite, with an advisory lock in place of the lock file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, QueuePool, create_engine, event

from inservice.store import schema
from inservice.store.base import StoreInUse
from inservice.store.directory import DataDirectory

LOCK = 0x1A5E_4B1C_E000_0001
"""Any number will do that no other program locks in the same database."""

READERS = 16


class PostgresqlDatabase:
    """A database that is locked and migrated, and engines on it."""

    def __init__(self, url: URL, directory: DataDirectory) -> None:
        """Connect. Raises StoreInUse, StoreDamaged and StoreTooNew."""
        driver = url.set(drivername="postgresql+psycopg")
        self.writer = _writer(driver)
        try:
            with self.writer.begin() as connection:
                if schema.is_empty(connection):
                    directory.check_new()
                else:
                    schema.check(connection)
                    directory.check(connection)
                schema.migrate(connection)
        except BaseException:
            self.writer.dispose()
            raise
        self.readers = _engine(driver, connections=READERS).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def close(self) -> None:
        """Let go of all connections, and with the writer's of the lock."""
        self.readers.dispose()
        self.writer.dispose()


def _writer(url: URL) -> Engine:
    """The one connection that writes. It has the lock as long as it lives; if it breaks, the next
    one must win the lock again before it can be used, so two servers never write by turns."""
    engine = _engine(url, connections=1)

    @event.listens_for(engine, "connect")
    def lock(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            (locked,) = cursor.fetchone()
        connection.commit()
        if not locked:
            connection.close()
            raise StoreInUse("The database is open in another process. Stop that one first.")

    return engine


def _engine(url: URL, *, connections: int) -> Engine:
    return create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,  # a connection that was cut while idle is replaced unnoticed
        hide_parameters=True,  # records hold what users put into Environment: never into a log
    )
