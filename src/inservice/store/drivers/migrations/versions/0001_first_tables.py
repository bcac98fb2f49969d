"""The first tables.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ACCOUNT = sa.String(12)


def _named_key() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("account", ACCOUNT, primary_key=True),
        sa.Column("region", TEXT, primary_key=True),
        sa.Column("name_key", TEXT, primary_key=True),
    )


def upgrade() -> None:
    """Make every table of the first version."""
    _make_definitions("models")
    _make_definitions("endpoint_configs")
    _make_endpoints()
    op.create_table(
        "tags",
        sa.Column("arn", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "access_keys",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("account", ACCOUNT, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("session_token", sa.LargeBinary, nullable=True),
        sa.Column("expires_at", sa.Double, nullable=True),
    )
    op.create_table(
        "alarms",
        sa.Column("account", ACCOUNT, primary_key=True),
        sa.Column("region", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def _make_definitions(table: str) -> None:
    op.create_table(
        table,
        *_named_key(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("arn", TEXT, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index(f"{table}_by_age", table, ["account", "region", "created_at", "name_key"])


def _make_endpoints() -> None:
    op.create_table(
        "endpoints",
        *_named_key(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("arn", TEXT, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("modified_at", sa.Double, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("generation", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_index(
        "endpoints_by_age", "endpoints", ["account", "region", "created_at", "name_key"]
    )
    op.create_table(
        "deployment_events",
        *_named_key(),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["account", "region", "name_key"],
            ["endpoints.account", "endpoints.region", "endpoints.name_key"],
            name="deployment_events_of_endpoint",
            ondelete="CASCADE",
        ),
    )
