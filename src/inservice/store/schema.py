"""Bringing the tables of a database to the version that this code expects."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from inservice.store import tables
from inservice.store.base import StoreDamaged, StoreTooNew

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(connection: Connection, *, new: bool) -> None:
    """Run the migrations that are missing, within the transaction of `connection`.

    Killed half-way, the database is what it was before. Raises StoreDamaged for a database that is
    not ours, unless it is `new` and empty; StoreTooNew for one of a later version.
    """
    revision = _revision(connection)
    if revision == tables.REVISION:
        return
    if revision is None and not new:
        raise StoreDamaged("The database holds no tables of InService. It is left as it is.")

    # Imported only now: Alembic costs a quarter of a second that no other start should pay.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreTooNew(
            f"The database is of version {revision}, made by a newer InService; this one knows "
            f"{tables.REVISION}. Upgrade InService, or use another data directory."
        )
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision
