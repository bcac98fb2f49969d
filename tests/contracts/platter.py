"""What a disk still has when the power is cut, at its worst: only what was synced.

A file has the content of its last sync, under a name only if its directory was synced since it got
it; a name that was removed is back unless its directory was synced since. So it is told what is
synced, by `os.fsync` and `os.fdatasync`, and keeps the rest of what was written from its copy.
SQLite syncs for itself and is believed: its files are as they are.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BELIEVED = ("objects.db", "objects.db-wal")


@dataclass
class Platter:
    """The files below a directory, as far as they were synced."""

    directory: Path
    contents: dict[int, bytes] = field(default_factory=dict)  # by inode
    names: dict[Path, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    """Of each directory that was synced: the inode of each name, and whether that is one."""
    moments: list[Callable[[], None]] = field(default_factory=list)  # called before each sync

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """From now on."""
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            for moment in self.moments:
                moment()
            sync(descriptor)
            self._synced(Path(f"/proc/self/fd/{descriptor}").readlink())

        return synced

    def _synced(self, path: Path) -> None:
        if self.directory not in (path, *path.parents):
            return
        there = path.stat()
        if stat.S_ISDIR(there.st_mode):
            self.names[path] = {
                each.name: (each.stat().st_ino, each.is_dir()) for each in path.iterdir()
            }
        else:
            self.contents[there.st_ino] = path.read_bytes()

    def left(self, place: Path, believed: Sequence[str] = BELIEVED) -> None:
        """Write into an empty directory what there is after a cut now."""
        place.mkdir(parents=True)
        for name in believed:
            if (self.directory / name).exists():
                shutil.copy(self.directory / name, place / name)
        self._lay(self.directory, place)

    def _lay(self, directory: Path, place: Path) -> None:
        for name, (inode, is_directory) in self.names.get(directory, {}).items():
            if is_directory:
                (place / name).mkdir()
                self._lay(directory / name, place / name)
            elif directory != self.directory:
                (place / name).write_bytes(self.contents.get(inode, b""))
