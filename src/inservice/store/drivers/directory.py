"""The data directory as a whole: a part of it that is missing is not a fresh start.

A new server on a new directory makes everything. Where some of it is there and the database is not,
something was lost; to begin anew then would make a new root key and write it over the old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import OperationalError

from inservice.mark import Mark, MarkDamaged, Progress
from inservice.seals import broken_seals
from inservice.store.collections.access_keys import access_keys
from inservice.store.drivers import schema
from inservice.store.errors import StoreDamaged
from inservice.store.kit.secrets import SecretBox
from inservice.store.lease import identity, progress

MARK = "records.mark"

_PARTS = (MARK, "secrets.key", "credentials.json", "metrics.db")
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
        return cls(key_file.parent, key_file, Mark(key_file.with_name(MARK)))

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
        there = inspect(connection).has_table(identity.name)
        if there and not schema.is_as_made(connection):
            raise StoreDamaged(
                "The definitions of the database's tables are not those that were made. Nothing "
                'was changed. "inservice recover" says what can be done.'
            )
        try:
            marked = self.mark.read()
        except MarkDamaged as damaged:
            raise StoreDamaged(
                f"{damaged} It tells whether the database is whole. Nothing was changed. "
                '"inservice recover" says what can be done.'
            ) from damaged
        found = None
        if there:
            columns = {column["name"] for column in inspect(connection).get_columns(identity.name)}
            found = progress(connection, has_leases="epoch" in columns)
        if marked is not None:
            _hold_against(marked, found)
        if there:
            self._check_key(connection)

    def _check_key(self, connection: Connection) -> None:
        """The key that is there is the one that sealed the secrets. With no secrets any will do."""
        rows: Sequence[Mapping[Any, Any]] = ()
        with contextlib.suppress(OperationalError):  # text that is none: `inspection` sees to it
            rows = connection.execute(select(access_keys)).mappings().all()
        sound = [row for row in rows if not broken_seals(access_keys, row)]
        if rows:
            box = SecretBox(self.key_file, create=False)
            for row in sound:
                box.open(row["secret"], row["id"])


def _hold_against(marked: Progress, found: Progress | None) -> None:
    """`found` is None for a database of a version that did not count yet."""
    if found is not None and found.store != marked.store:
        raise StoreDamaged(
            "The database is not the one that belongs to this data directory "
            f'({MARK} beside it says so). Nothing was changed. "inservice recover" says what can '
            "be done."
        )
    seen = found.commits if found is not None else 0
    if found is None or seen < marked.commits:
        raise StoreDamaged(
            f"The database has seen {seen} commits, and {marked.commits} were acknowledged "
            f"({MARK} beside it says so): it is an old copy, or its write-ahead log is missing or "
            'damaged. Nothing was changed. "inservice recover" says what can be done.'
        )
