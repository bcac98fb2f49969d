"""Leases: who decides over the records, under which number.

Revision: 0004
"""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from inservice.seals import sealed

revision = "0004"
down_revision = "0003"

SEAL = ("store", "commits", "definitions", "epoch", "holder")
"""What the seal of the one row of `identity` covers from now on."""


def upgrade() -> None:
    """Nobody has had a lease yet."""
    connection = op.get_bind()
    op.add_column("identity", sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("identity", sa.Column("holder", sa.Text, nullable=False, server_default=""))
    identity = sa.Table("identity", sa.MetaData(), autoload_with=connection)
    identity.columns["seal"].info |= {"covers": SEAL, "key": True}
    for row in connection.execute(sa.select(identity)).mappings().all():
        plain: Mapping[str, object] = {k: v for k, v in row.items() if k != "seal"}
        connection.execute(identity.update().values(sealed(identity, plain)))
