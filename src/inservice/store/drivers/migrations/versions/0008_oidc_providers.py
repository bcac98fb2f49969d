"""OIDC providers, whose tokens are taken for roles.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

from inservice.seal import SEAL_CHARACTERS

revision = "0008"
down_revision = "0007"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NAME = "iam_oidc_providers"


def upgrade() -> None:
    """There are none yet."""
    op.create_table(
        NAME,
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("name_key", TEXT, primary_key=True),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("seal", sa.String(SEAL_CHARACTERS), nullable=False, server_default=""),
    )
    op.create_index(f"{NAME}_by_id", NAME, ["account", "id"], unique=True)
