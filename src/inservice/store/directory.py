"""The data directory as a whole: a part of it that is missing is not a fresh start.

A new server on a new directory makes everything. Where some of it is there and the database is not,
something was lost; to begin anew then would make a new root key and write it over the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, select, update

from inservice.seals import broken_seals, sealed
from inservice.store import mark, tables
from inservice.store.base import StoreDamaged
from inservice.store.mark import Mark, Progress

_PARTS = (mark.NAME, "secrets.key", "credentials.json", "metrics.db")
"""What is only made once there is a database."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where a server keeps what is its own, whatever drives its store."""

    path: Path
    key_file: Path
    mark: Mark

    @classmethod
    def of(cls, key_file: Path) -> DataDirectory:
        """The directory that has this key file in it."""
        return cls(key_file.parent, key_file, Mark(key_file.with_name(mark.NAME)))

    def check_new(self) -> None:
        """Before a database is made. Raises StoreDamaged where there was one before."""
        parts = [name for name in _PARTS if (self.path / name).exists()]
        if self.key_file.exists() and self.key_file.name not in parts:
            parts.append(self.key_file.name)
        artifacts = self.path / "artifacts"
        if artifacts.is_dir() and any(artifacts.iterdir()):
            parts.append("artifacts")
        if parts:
            raise StoreDamaged(
                f"The database is missing or empty, but {', '.join(sorted(parts))} in {self.path} "
                "belong to one: nothing is made in its stead. Restore it from a backup, or see "
                '"inservice recover", which can also begin anew without losing what is there.'
            )

    def check(self, connection: Connection) -> None:
        """Before anything is written to a database. Raises StoreDamaged, see `mark`."""
        there = inspect(connection).has_table(tables.identity.name)
        self.mark.check(_progress(connection) if there else None)


def count_commit(connection: Connection) -> Progress:
    """Count the transaction that is under way, within it. What the mark must say after it."""
    before = _progress(connection)
    after = Progress(before.store, before.commits + 1)
    row = {"number": 1, "store": after.store, "commits": after.commits}
    table = tables.identity
    connection.execute(update(table).values(sealed(table, row)))
    return after


def _progress(connection: Connection) -> Progress:
    table = tables.identity
    row = connection.execute(select(table)).mappings().one_or_none()
    if row is None or broken_seals(table, row):
        raise StoreDamaged(
            "The database does not say any more which one it is: its row of identity is damaged. "
            'Nothing was changed. "inservice recover" says what can be done.'
        )
    return Progress(row["store"], row["commits"])
