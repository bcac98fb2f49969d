"""What the migrations make of an empty SQLite file, written down for new databases to be made of:
`python -m tests.contracts.store_tables`."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from inservice.store.drivers import schema, sqlite


def dumped(path: Path) -> list[str]:
    """The statements that would make the database at `path` again, but for the row that says which
    one it is."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM identity")
        _begin, *statements, _commit = connection.iterdump()
    return statements


def migrated(directory: Path) -> Path:
    """A database that the migrations have made."""
    path = directory / "migrated.db"
    engine = sqlite.make_writer(path)
    with engine.begin() as connection:
        schema.migrate(connection)
    engine.dispose()
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        schema.TABLES.write_text("\n".join(dumped(migrated(Path(scratch)))) + "\n")
    sys.stdout.write(f"wrote {schema.TABLES}\n")
