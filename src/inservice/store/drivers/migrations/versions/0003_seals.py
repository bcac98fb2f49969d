"""Seals for every row, who the database is, and what was set aside.

Revision: 0003
"""

import secrets
from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from inservice.seal import SEAL_CHARACTERS
from inservice.seals import sealed

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NAMED = ("account", "region", "name_key")
KEYS: Mapping[str, tuple[str, ...]] = {
    "models": NAMED,
    "endpoint_configs": NAMED,
    "endpoints": NAMED,
    "deployment_events": (*NAMED, "number"),
    "tags": ("arn", "key"),
    "access_keys": ("id",),
    "alarms": ("account", "region", "name"),
    "log_groups": ("account", "region", "name"),
    "log_streams": ("account", "region", "group_name", "name"),
    "log_batches": ("account", "region", "group_name", "stream_name", "number"),
    "dashboards": ("account", "partition", "name"),
}
SEALS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "models": {"line_seal": ("name", "arn", "created_at"), "body_seal": ("body",)},
    "endpoint_configs": {"line_seal": ("name", "arn", "created_at"), "body_seal": ("body",)},
    "endpoints": {
        "line_seal": ("name", "arn", "created_at", "modified_at", "status"),
        "body_seal": ("generation", "version", "body", "deployment"),
        "facts_seal": ("facts",),
    },
    "deployment_events": {"seal": ("body",)},
    "tags": {"seal": ("value",)},
    "access_keys": {"seal": ("account", "principal", "secret", "session_token", "expires_at")},
    "alarms": {"seal": ("state", "body")},
    "log_groups": {"seal": ("body",)},
    "log_streams": {"seal": ("body",)},
    "log_batches": {"place_seal": ("first_at", "last_at"), "body_seal": ("body",)},
    "dashboards": {"seal": ("modified_at", "body")},
    "identity": {"seal": ("store", "commits", "definitions")},
    "set_aside": {"seal": ("why", "at", "row")},
}
"""What was made before, sealed as this version seals it. A later one seals what it changes."""


def upgrade() -> None:
    """Seal what is there, and begin to count commits."""
    connection = op.get_bind()
    for name, seals in SEALS.items():
        if name not in KEYS:
            continue
        for column in seals:
            op.add_column(name, _seal(column))
        _seal_rows(connection, name)
    op.create_table(
        "identity",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("store", TEXT, nullable=False),
        sa.Column("commits", sa.BigInteger, nullable=False),
        sa.Column("definitions", TEXT, nullable=False),
        _seal("seal"),
    )
    op.create_table(
        "set_aside",
        sa.Column("table", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("row", sa.Text, nullable=False),
        _seal("seal"),
    )
    identity = _table(connection, "identity", ("number",))
    row = {"number": 1, "store": secrets.token_hex(16), "commits": 0, "definitions": ""}
    connection.execute(identity.insert().values(sealed(identity, row)))


def _seal(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(SEAL_CHARACTERS), nullable=False, server_default="")


def _table(connection: sa.Connection, name: str, keys: tuple[str, ...]) -> sa.Table:
    """The table as it is now, with what each of its seals covers."""
    table = sa.Table(name, sa.MetaData(), autoload_with=connection)
    assert tuple(column.name for column in table.primary_key) == keys
    for column, covers in SEALS[name].items():
        table.columns[column].info |= {"covers": covers, "key": True}
    return table


def _seal_rows(connection: sa.Connection, name: str) -> None:
    table = _table(connection, name, KEYS[name])
    plain = [column for column in table.columns if column.name not in SEALS[name]]
    for row in connection.execute(sa.select(*plain)).mappings().all():
        is_it = [table.columns[key] == row[key] for key in KEYS[name]]
        seals = {key: value for key, value in sealed(table, dict(row)).items() if key not in row}
        connection.execute(table.update().where(*is_it).values(seals))
