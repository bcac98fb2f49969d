"""Bringing the tables of a database to the version that this code expects."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, inspect, select, text, update

from inservice.engines import definitions
from inservice.seals import sealed
from inservice.store.errors import StoreDamaged, StoreTooNew
from inservice.store.lease import identity

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0008"
"""The migration that this code expects. A test holds it against the newest file."""

TABLES = Path(__file__).with_name("tables.sql")
"""What all migrations together make of an empty SQLite file: `make golden` writes it. To run them
costs a new server more than anything else that it does until it answers."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def check(connection: Connection) -> None:
    """Refuse a database that `migrate` could not bring up to date, before anything is written.

    Raises StoreDamaged for one that is not ours, StoreTooNew for one of a later version.
    """
    revision = _revision(connection)
    if revision is None:
        raise StoreDamaged("The database holds no tables of InService. It is left as it is.")
    if revision != REVISION and revision not in _known():
        raise StoreTooNew(
            f"The database is of version {revision}, made by a newer InService; this one knows "
            f"{REVISION}. Upgrade InService, or use another data directory."
        )


def make(connection: Connection) -> None:
    """Make all tables in an empty SQLite file, as the migrations would."""
    for statement in TABLES.read_text().split(";\n"):
        connection.exec_driver_sql(statement)
    row = {"number": 1, "store": secrets.token_hex(16), "commits": 0, "epoch": 0, "holder": ""}
    connection.execute(
        insert(identity).values(sealed(identity, {**row, "definitions": definitions(connection)}))
    )


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, all of them for an empty database.

    All within the transaction of `connection`: killed half-way, the database is what it was before.
    """
    if _revision(connection) == REVISION:
        return

    # Imported only now: Alembic costs a quarter of a second that no other start should pay.
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    row = connection.execute(select(identity)).mappings().one()
    made = {**row, "definitions": definitions(connection)}
    del made["seal"]
    connection.execute(update(identity).values(sealed(identity, made)))


def is_as_made(connection: Connection) -> bool:
    """Whether the tables are still defined as they were made."""
    made = connection.execute(select(identity.c.definitions)).scalar()
    return made == definitions(connection)


def is_empty(connection: Connection) -> bool:
    """Whether there are no tables at all."""
    return not inspect(connection).get_table_names()


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision
