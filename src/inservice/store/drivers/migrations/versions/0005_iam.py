"""IAM: users, groups, roles and policies, and whose the access keys are.

Revision: 0005
"""

import time

import sqlalchemy as sa
from alembic import op

from inservice.seal import SEAL_CHARACTERS
from inservice.seals import sealed

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ENTITIES = ("iam_users", "iam_groups", "iam_roles", "iam_policies")
STATE = ("owner", "created_at", "status")
USED = ("used_at", "used_service", "used_region")


def upgrade() -> None:
    """Make their tables, and say of every key there is that it is active and no user's."""
    for name in ENTITIES:
        op.create_table(
            name,
            sa.Column("account", sa.String(12), primary_key=True),
            sa.Column("name_key", TEXT, primary_key=True),
            sa.Column("id", TEXT, nullable=False),
            sa.Column("path", TEXT, nullable=False),
            sa.Column("body", sa.Text, nullable=False),
            _seal("seal"),
        )
        op.create_index(f"{name}_by_id", name, ["account", "id"], unique=True)
    for column in (
        sa.Column("owner", TEXT, nullable=False, server_default=""),
        sa.Column("created_at", sa.Double, nullable=False, server_default="0"),
        sa.Column("status", TEXT, nullable=False, server_default="Active"),
        sa.Column("used_at", sa.Double, nullable=True),
        sa.Column("used_service", sa.Text, nullable=True),
        sa.Column("used_region", sa.Text, nullable=True),
        _seal("state_seal"),
        _seal("used_seal"),
    ):
        op.add_column("access_keys", column)
    _seal_keys(op.get_bind())


def _seal(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(SEAL_CHARACTERS), nullable=False, server_default="")


def _seal_keys(connection: sa.Connection) -> None:
    """What is new of each key is sealed; the seal that it has already stays as it is. When a key
    was made nobody wrote down: they are told to be as old as this version of the records."""
    keys = sa.Table("access_keys", sa.MetaData(), autoload_with=connection)
    keys.columns["state_seal"].info |= {"covers": STATE, "key": True}
    keys.columns["used_seal"].info |= {"covers": USED, "key": True}
    now = float(int(time.time()))
    for (key_id,) in connection.execute(sa.select(keys.c.id)).all():
        row = {"id": key_id, "owner": "", "created_at": now, "status": "Active"}
        new = sealed(keys, {**row, **dict.fromkeys(USED)})
        connection.execute(keys.update().where(keys.c.id == key_id).values(new))
