"""What clients write to CloudWatch: log groups, streams and events, and dashboards.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _owner() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", TEXT, primary_key=True),
    )


def upgrade() -> None:
    """Make the tables of what clients write."""
    op.create_table(
        "log_groups",
        *_owner(),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "log_streams",
        *_owner(),
        sa.Column("group_name", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "log_batches",
        *_owner(),
        sa.Column("group_name", TEXT, primary_key=True),
        sa.Column("stream_name", TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "log_batches_by_time",
        "log_batches",
        ["account", "region", "group_name", "stream_name", "first_at", "number"],
    )
    op.create_table(
        "dashboards",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("partition", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("modified_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
