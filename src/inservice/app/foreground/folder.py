"""The files of a model that somebody works on: what they are, and that they have changed.

Changes are seen by looking: what stat says of every file, a few times a second. That is cheap for
a folder that a person edits, it needs no watches that may run out, and it sees what is changed over
a network or a mount as well, of which the kernel tells nobody.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inservice.artifacts.gunzip import Gunzip
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.tree import TreeWriter, remove_tree
from inservice.artifacts.unpack import unpack_archive

Seen = frozenset[tuple[str, int, int, int]]
"""Of every file its path, size, inode and time of change."""

_LEFT_OUT = {"__pycache__", ".git", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv"}
"""Folders that tools write to while nobody changes anything."""


def seen(place: Path) -> Seen:
    """What there is now. A file that goes while it is looked at was not there."""
    return frozenset(_each(str(place)))


def _each(place: str) -> Iterator[tuple[str, int, int, int]]:
    try:
        status = os.stat(place)  # noqa: PTH116 - a path as text
        if not stat.S_ISDIR(status.st_mode):
            yield place, status.st_size, status.st_ino, status.st_mtime_ns
            return
        yield place, 0, 0, 0  # when it was changed says no more than what is in it
        with os.scandir(place) as entries:
            inside = [entry.path for entry in entries if entry.name not in _LEFT_OUT]
    except OSError:  # gone, or not for us
        return
    for path in inside:
        yield from _each(path)


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """The directory that a model is in: the folder itself, or what is in the archive, as a server
    would unpack it. Raises ArtifactError, OSError."""
    if place.is_dir():
        yield place.resolve()
        return
    above = Path(tempfile.mkdtemp(prefix="inservice-model-"))
    try:
        above.chmod(0o755)
        limits, watch = Limits(), Watch()
        with place.open("rb") as packed, TreeWriter(above / "model", limits, watch) as tree:
            unpack_archive(Gunzip(packed, limits, watch), tree)
            tree.finish()
        yield above / "model"
    finally:
        remove_tree(above)
