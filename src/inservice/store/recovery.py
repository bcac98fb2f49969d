"""When a data directory is refused: what is there, what can be done, and doing it.

Nothing here overwrites or deletes. What makes place for something else is moved into a directory
`lost-<time>` beside it, so that every choice can be taken back by hand.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from inservice.mark import Mark
from inservice.store.backup import DATABASE, KEY, METRICS
from inservice.store.drivers.database import open_store
from inservice.store.drivers.directory import MARK
from inservice.store.errors import StoreRefused

_MOVED = (DATABASE, KEY, MARK, METRICS, "credentials.json", "artifacts")
_SECRET = ("access_keys", "sts_sessions")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a data directory."""

    trouble: str | None  # why a server would not start on it; None: it would
    database: bool  # whether there is one
    readable: int  # rows that can be read out of it
    lost: int  # commits that the mark knows of and the database does not


def diagnose(data_dir: Path) -> Diagnosis:
    """Look, and change nothing. The directory must not be in use."""
    path = data_dir / DATABASE
    there = path.is_file()
    marked = Mark(data_dir / MARK).read()
    seen = _commits(path) if there else 0
    lost = max(marked.commits - seen, 0) if marked is not None else 0
    rows = sum(1 for _ in readable(path)) if there else 0
    return Diagnosis(_trouble(data_dir), there, rows, lost)


def readable(path: Path) -> Iterator[dict[str, object]]:
    """Every row that can be read, as {"table": …, "row": {…}}; secrets stay where they are."""
    with closing(_reading(path)) as connection:
        connection.text_factory = lambda text: text.decode(errors="replace")
        connection.row_factory = sqlite3.Row
        try:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            names = [row["name"] for row in found]
        except sqlite3.DatabaseError:
            return
        for name in names:
            if name not in (*_SECRET, "alembic_version") and not name.startswith("sqlite_"):
                yield from _rows(connection, name)


def accept_loss(data_dir: Path, now: float) -> Path:
    """Let a server start again with what there is. Gives the directory in which the rest is kept.

    A database that is sound but behind is believed from now on. One that is not sound, or gone,
    makes place for a new one: then there will be a new root key, and no records.
    """
    kept = data_dir / f"lost-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    kept.mkdir(mode=0o700)
    _move(data_dir, kept, (MARK,))
    if _trouble(data_dir) is not None:
        names = [each.name for each in data_dir.iterdir() if each.name.startswith(_MOVED)]
        _move(data_dir, kept, tuple(names))
    return kept


def _trouble(data_dir: Path) -> str | None:
    """Why the store would be refused. A copy is opened, for opening writes."""
    scratch = data_dir / f".recover-{os.getpid()}"
    scratch.mkdir(mode=0o700)
    try:
        for each in data_dir.iterdir():
            if each.is_file() and each.name.startswith((DATABASE, KEY, MARK)):
                (scratch / each.name).write_bytes(each.read_bytes())
            elif each.name in ("credentials.json", METRICS):
                (scratch / each.name).touch()  # only that they are there is looked at
            elif each.name == "artifacts" and any(each.iterdir()):
                (scratch / each.name / "some").mkdir(parents=True)
        open_store(f"sqlite:///{scratch / DATABASE}", key_file=scratch / KEY).close()
    except StoreRefused as refused:
        return str(refused).replace(str(scratch), str(data_dir))
    finally:
        shutil.rmtree(scratch)
    return None


def _commits(path: Path) -> int:
    try:
        with closing(_reading(path)) as connection:
            found = connection.execute("SELECT commits FROM identity").fetchone()
    except sqlite3.DatabaseError:
        return 0
    return int(found[0]) if found else 0


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, object]]:
    """Up to where the table cannot be read any further."""
    try:
        for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - its own name
            names = row.keys()
            yield {"table": table, "row": {name: _plain(row[name]) for name in names}}
    except sqlite3.DatabaseError:
        return


def _plain(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _move(data_dir: Path, kept: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (data_dir / name).exists():
            (data_dir / name).rename(kept / name)


def _reading(path: Path) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    there = log.exists() and log.stat().st_size > 0
    flags = "mode=ro" if there else "immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{flags}", uri=True)


def as_line(row: dict[str, object]) -> str:
    """One line of an export."""
    return json.dumps(row, ensure_ascii=False)
