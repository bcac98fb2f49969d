"""Stores that are made once in each process of the suite, and then copied.

To make a store is to migrate it, which costs more than most of what is tested with one. What
migrates is tested by itself (`contracts/test_store_sqlite.py`); every other test begins with the
bytes that it left, as a server begins on the directory of one that was closed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from inservice.store.drivers.database import open_store

MEMORY = Path("/dev/shm")
"""Where a data directory costs no disk; what would be lost with the power is not asked here."""


def lay_out(files: Mapping[str, bytes], place: Path) -> None:
    """Write the files of a store, which nobody else may read, into a directory."""
    for name, content in files.items():
        path = place / name
        path.touch(0o600)
        path.write_bytes(content)


@cache
def new_store(database: str, key: str) -> Mapping[str, bytes]:
    """The files of a store without records that has been closed: of its database, of its key, and
    its mark."""
    return left_by(lambda place: open_store(f"sqlite:///{place / database}", key_file=place / key))


@cache
def left_by(make: Callable[[Path], object]) -> Mapping[str, bytes]:
    """The files that a function leaves in an empty directory; what it answers is closed."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        place = Path(name)
        made = make(place)
        if made is not None:
            made.close()  # type: ignore[attr-defined]
        return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
