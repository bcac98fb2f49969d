"""Sessions: temporary access keys, with the terms on which each was given.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

from inservice.seal import SEAL_CHARACTERS

revision = "0006"
down_revision = "0005"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "sts_sessions",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("seal", sa.String(SEAL_CHARACTERS), nullable=False, server_default=""),
    )
    columns = ["account", "owner", "expires_at"]
    op.create_index("sts_sessions_by_owner", "sts_sessions", columns)
