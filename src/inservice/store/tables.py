"""The tables, in SQLAlchemy Core, for SQLite and PostgreSQL alike.

Columns are what a query filters, sorts or guards by; everything else of a record is in `body`, the
JSON of its dataclass. A name is kept as it was given and, as `name_key`, in the form that is
unique. A migration under `migrations/` makes these tables; a test compares the two. Every column
is covered by a seal, which is checked when it is read (see `seals`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from inservice.seals import seal_column

REVISION = "0003"
"""The migration that this code expects. A test holds it against the newest file."""

metadata = MetaData()

# SQLite compares text by its bytes; PostgreSQL is told to, else a page of names would depend on the
# locale that the database was made with.
_Text = Text().with_variant(Text(collation="C"), "postgresql")
_Account = String(12)


def _named_key() -> tuple[Column[str], Column[str], Column[str]]:
    """(account, region, name_key), the primary key of whatever has a name."""
    return (
        Column("account", _Account, primary_key=True),
        Column("region", _Text, primary_key=True),
        Column("name_key", _Text, primary_key=True),
    )


models = Table(
    "models",
    metadata,
    *_named_key(),
    Column("name", _Text, nullable=False),
    Column("arn", _Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    seal_column("line_seal", "name", "arn", "created_at"),
    seal_column("body_seal", "body"),
    Index("models_by_age", "account", "region", "created_at", "name_key"),
)

endpoint_configs = Table(
    "endpoint_configs",
    metadata,
    *_named_key(),
    Column("name", _Text, nullable=False),
    Column("arn", _Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    seal_column("line_seal", "name", "arn", "created_at"),
    seal_column("body_seal", "body"),
    Index("endpoint_configs_by_age", "account", "region", "created_at", "name_key"),
)

endpoints = Table(
    "endpoints",
    metadata,
    *_named_key(),
    Column("name", _Text, nullable=False),
    Column("arn", _Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("modified_at", Double, nullable=False),
    Column("status", _Text, nullable=False),
    Column("generation", _Text, nullable=False),  # another one for each endpoint ever made
    Column("version", BigInteger, nullable=False),  # one more for each save: the fence
    Column("body", Text, nullable=False),
    # One to one with the endpoint and saved in the same breath, so they share its row.
    Column("deployment", Text, nullable=False),
    Column("facts", Text, nullable=False),  # as last seen
    seal_column("line_seal", "name", "arn", "created_at", "modified_at", "status"),
    seal_column("body_seal", "generation", "version", "body", "deployment"),
    seal_column("facts_seal", "facts"),
    Index("endpoints_by_age", "account", "region", "created_at", "name_key"),
)

deployment_events = Table(
    "deployment_events",
    metadata,
    *_named_key(),
    Column(
        "number", BigInteger, primary_key=True, autoincrement=False
    ),  # 1, 2, 3 … within the endpoint
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
    ForeignKeyConstraint(
        ["account", "region", "name_key"],
        ["endpoints.account", "endpoints.region", "endpoints.name_key"],
        name="deployment_events_of_endpoint",
        ondelete="CASCADE",
    ),
)

tags = Table(
    "tags",
    metadata,
    Column("arn", _Text, primary_key=True),
    Column("key", _Text, primary_key=True),
    Column("value", Text, nullable=False),
    seal_column("seal", "value"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", _Text, primary_key=True),
    Column("account", _Account, nullable=False),
    Column("principal", Text, nullable=False),  # ARN
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("session_token", LargeBinary, nullable=True),  # sealed
    Column("expires_at", Double, nullable=True),
    seal_column("seal", "account", "principal", "secret", "session_token", "expires_at"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("account", _Account, primary_key=True),
    Column("region", _Text, primary_key=True),
    Column("name", _Text, primary_key=True),  # CloudWatch tells names apart by case
    Column("state", _Text, nullable=False),  # StateValue
    Column("body", Text, nullable=False),
    seal_column("seal", "state", "body"),
)

identity = Table(
    "identity",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("store", _Text, nullable=False),  # no two databases have the same
    Column("commits", BigInteger, nullable=False),  # since it was made: see `mark`
    Column("definitions", _Text, nullable=False),  # a digest of those of the tables
    seal_column("seal", "store", "commits", "definitions"),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("table", _Text, primary_key=True),
    Column("key", _Text, primary_key=True),  # the primary key of the row, as JSON
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("row", Text, nullable=False),  # as it was found, as JSON
    seal_column("seal", "why", "at", "row"),
)

log_groups = Table(
    "log_groups",
    metadata,
    Column("account", _Account, primary_key=True),
    Column("region", _Text, primary_key=True),
    Column("name", _Text, primary_key=True),
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
)

log_streams = Table(
    "log_streams",
    metadata,
    Column("account", _Account, primary_key=True),
    Column("region", _Text, primary_key=True),
    Column("group_name", _Text, primary_key=True),
    Column("name", _Text, primary_key=True),
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
)

log_batches = Table(
    "log_batches",
    metadata,
    Column("account", _Account, primary_key=True),
    Column("region", _Text, primary_key=True),
    Column("group_name", _Text, primary_key=True),
    Column("stream_name", _Text, primary_key=True),
    Column(
        "number", BigInteger, primary_key=True, autoincrement=False
    ),  # 1, 2, 3 … within the stream
    Column("first_at", BigInteger, nullable=False),  # epoch milliseconds
    Column("last_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    seal_column("place_seal", "first_at", "last_at"),
    seal_column("body_seal", "body"),
    Index(
        "log_batches_by_time",
        "account",
        "region",
        "group_name",
        "stream_name",
        "first_at",
        "number",
    ),
)

dashboards = Table(
    "dashboards",
    metadata,
    Column("account", _Account, primary_key=True),
    Column("partition", _Text, primary_key=True),  # they are the same in all regions of one
    Column("name", _Text, primary_key=True),
    Column("modified_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    seal_column("seal", "modified_at", "body"),
)
