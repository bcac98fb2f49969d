"""Accounts beside the server's own.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

from inservice.seal import SEAL_CHARACTERS

revision = "0007"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """There are none yet."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("closed_at", sa.Double, nullable=True),
        sa.Column("seal", sa.String(SEAL_CHARACTERS), nullable=False, server_default=""),
    )
