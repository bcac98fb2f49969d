"""The tables of metrics, in SQLAlchemy Core, for SQLite and PostgreSQL alike.

They are a schema of their own, with a version of their own: nothing refers to them from the tables
of endpoints, and a server whose metrics were deleted goes on with empty graphs.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from inservice.seals import seal_column

VERSION = 2
"""Of these tables. 1 had no seals and is brought up to date; one that is unknown is refused, not
guessed at."""

metadata = MetaData()

# An autoincrementing key in SQLite has to be a plain INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")

schema = Table(
    "metric_schema",
    metadata,
    Column("version", Integer, primary_key=True),
    # A digest of those of the tables: a bit that turns in one changes what every row means.
    Column("definitions", Text, nullable=False, server_default=""),
)

series = Table(
    "metric_series",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("dimensions", Text, nullable=False),  # JSON: [[name, value], …] in order
    Column("unit", Text, nullable=False),
    Column("high_resolution", Boolean, nullable=False),
    Column("last_at", Double, nullable=False),
    seal_column(
        "seal",
        "account",
        "region",
        "namespace",
        "name",
        "dimensions",
        "unit",
        "high_resolution",
        "last_at",
    ),
)

chunks = Table(
    "metric_chunks",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("seconds", Integer, primary_key=True, autoincrement=False),  # of one bucket
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    seal_column("seal", "body"),
    Index("metric_chunks_by_age", "seconds", "start"),
)

journal = Table(
    "metric_journal",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    seal_column("seal", "body", key=False),  # the database gives the id
    sqlite_autoincrement=True,  # an id is never used twice, also when the journal was emptied
)

marks = Table(
    "metric_marks",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    seal_column("seal", "seq", "at"),
)

step_counts = Table(
    "deployment_step_counts",
    metadata,
    Column("generation", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Text, primary_key=True),
    Column("fleet", Text, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("invocations", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("model_errors", BigInteger, nullable=False),
    Column("abandoned", BigInteger, nullable=False),
    Column("gateway_errors", BigInteger, nullable=False),
    Column("retried", BigInteger, nullable=False),
    seal_column(
        "seal",
        "invocations",
        "answered",
        "model_errors",
        "abandoned",
        "gateway_errors",
        "retried",
    ),
)

alarm_history = Table(
    "alarm_history",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("alarm_type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("type", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("body", Text, nullable=False),
    seal_column(
        "seal",
        "account",
        "region",
        "name",
        "alarm_type",
        "at",
        "type",
        "summary",
        "body",
        key=False,  # the database gives the id
    ),
    Index("alarm_history_by_age", "account", "region", "at", "id"),
    Index("alarm_history_of_one", "account", "region", "name", "at", "id"),
    sqlite_autoincrement=True,
)
