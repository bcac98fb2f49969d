"""What is in an audit trail, oldest first, also while it is written to."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inservice.audit.entry import Entry, entry_in
from inservice.audit.files import numbered

SERIES: Final = ("changes", "denials")

STORAGE: Final = "storage"
"""The directory, in that of a trail, of what the storage process tells."""


class Reader:
    """Reads a trail from its beginning, and then what was added."""

    def __init__(self, directory: Path, since: float = 0.0) -> None:
        """`since`, in epoch seconds: files to which nothing was added later are passed over."""
        places = (directory, directory / STORAGE)
        self._series = [_Series(place, name, since) for place in places for name in SERIES]

    @property
    def unreadable(self) -> int:
        """Lines that were passed over: damaged, since a torn last line is not one yet."""
        return sum(one.unreadable for one in self._series)

    def new(self) -> Iterator[Entry]:
        """What was added since it was asked last, by time as far as it is written by time."""
        return heapq.merge(*(one.entries() for one in self._series), key=lambda each: each.time)


class _Series:
    """The files of one kind, and how far they were read."""

    def __init__(self, directory: Path, name: str, since: float) -> None:
        self._directory = directory
        self._name = name
        self._since = since
        self._number = 0
        self._offset = 0
        self.unreadable = 0

    def entries(self) -> Iterator[Entry]:
        """See `Reader.new`."""
        for number, path in numbered(self._directory, self._name):
            if number < self._number:
                continue
            if number > self._number:
                self._number, self._offset = number, 0
            with contextlib.suppress(FileNotFoundError):  # it has become too old meanwhile
                if path.stat().st_mtime >= self._since:
                    yield from self._entries_in(path)

    def _entries_in(self, path: Path) -> Iterator[Entry]:
        with path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is being written, or what is left of a killed writer
                self._offset += len(line)
                entry = entry_in(line)
                if entry is None:
                    self.unreadable += 1
                else:
                    yield entry
