"""PostgreSQL: the same promises as on SQLite. An advisory lock of the writer's session is the lease
(see `store.lease`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import DBAPIError

from inservice.engines import postgresql_engine
from inservice.store.drivers import schema
from inservice.store.drivers.directory import DataDirectory
from inservice.store.errors import StoreInUse
from inservice.store.lease import holder_of

LOCK = 0x1A5E_4B1C_E000_0001
"""Any number will do that no other program locks in the same database."""

READERS = 16


class PostgresqlDatabase:
    """A database that is locked and migrated, and engines on it."""

    def __init__(self, url: URL, directory: DataDirectory) -> None:
        """Connect. Raises StoreInUse, StoreDamaged and StoreTooNew."""
        self.writer = _writer(url)
        try:
            with self.writer.begin() as connection:
                if schema.is_empty(connection):
                    directory.check_new()
                else:
                    schema.check(connection)
                    directory.check(connection)
                schema.migrate(connection)
        except StoreInUse:
            self.writer.dispose()
            raise StoreInUse(
                f"The database is open in another process{_holder(url)}. Stop that one first."
            ) from None
        except BaseException:
            self.writer.dispose()
            raise
        self.readers = postgresql_engine(url, connections=READERS).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def close(self) -> None:
        """Let go of all connections, and with the writer's of the lock."""
        self.readers.dispose()
        self.writer.dispose()


def _writer(url: URL) -> Engine:
    """The one connection that writes. It has the lock as long as it lives; if it breaks, the next
    one must win the lock again before it can be used, so two servers never write by turns."""
    engine = postgresql_engine(url)

    @event.listens_for(engine, "connect")
    def lock(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            (locked,) = cursor.fetchone()
        connection.commit()
        if not locked:
            connection.close()
            raise StoreInUse("The database is open in another process.")

    return engine


def _holder(url: URL) -> str:
    """Who has it open, in brackets, if that can be found out."""
    engine = postgresql_engine(url)
    try:
        with engine.connect() as connection:
            holder = holder_of(connection)
    except DBAPIError:  # of a version without leases, or being made just now
        return ""
    finally:
        engine.dispose()
    return f" ({holder})" if holder else ""
