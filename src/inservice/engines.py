"""Engines: how every connection to a database of ours is set up, on SQLite and on PostgreSQL.

The records and the metrics live differently and are opened by different drivers; what is the same
about a connection is here, once. Transactions begin where these engines say and nowhere else.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, text

BUSY_SECONDS = 5
"""How long a foreign lock (a backup, a curious shell) is waited for before the caller hears 503."""

CACHE_KIB = 256
"""Pages that a connection keeps. SQLite would keep two megabytes for each, of one database and
apart from the others; what is asked for again and again is in the cache of records, and the pages
are in the system's, once."""

WRITING = "BEGIN IMMEDIATE"
"""With a plain BEGIN, a foreign write between our reading and our writing would fail the write at
once, without waiting; what takes the lock at the start waits for it."""


def sqlite_engine(
    path: Path, *pragmas: str, connections: int = 1, begin: str = "BEGIN", flags: str = ""
) -> Engine:
    """An engine on a file. Each new connection runs `pragmas` ("synchronous = FULL"), each
    transaction starts with `begin`; `flags` are SQLite's of a URI: mode=ro, immutable=1."""
    place = f"file:{quote(str(path))}?{flags}" if flags else str(path)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_use_lifo=True,  # those that are never needed at once are never opened, or stay cold
        hide_parameters=True,  # records hold what users put into Environment: never into a log
        creator=lambda: sqlite3.connect(
            place,
            uri=bool(flags),
            timeout=BUSY_SECONDS,
            check_same_thread=False,  # a connection serves one thread at a time, not only one
            isolation_level=None,  # else the driver would begin transactions on its own
        ),
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        for pragma in (f"cache_size = -{CACHE_KIB}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def postgresql_engine(url: URL, *, connections: int = 1) -> Engine:
    """An engine on a database of a PostgreSQL server."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,  # a connection that was cut while idle is replaced unnoticed
        hide_parameters=True,
    )


def definitions(connection: Connection) -> str:
    """A digest of how the tables are defined: a bit that turns in a definition changes what every
    row of a table means. Empty on PostgreSQL, which keeps its own from harm."""
    if connection.dialect.name != "sqlite":
        return ""
    found = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master"))
    content = repr(sorted(tuple(map(str, row)) for row in found))
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()
