"""The mark: how far the records have got, kept outside of the database.

A database cannot tell that it is an old copy of itself, that its write-ahead log was taken away
with the newest commits in it, or that another one lies in its place. So the data directory keeps a
small file that says which database belongs to it and how many commits that has acknowledged. A
database that is another one, or behind, is refused: what is missing was promised to somebody.

The file is written after each commit, into two places by turns, so that one torn write leaves the
one before. It is in the operating system's hands then, where `kill -9` does not reach it; onto the
platter it goes when the store is opened and closed, and every `SYNC_COMMITS` in between. So the
mark is never ahead of the database, also after a power failure, and at worst a little behind.
A mark that is missing or unreadable is made anew from the database: it only ever accuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from inservice.store.base import StoreDamaged

NAME = "records.mark"

SYNC_COMMITS = 256
"""About as often as SQLite writes its log back into the database."""

_PLACE_BYTES = 256
_DIGEST_BYTES = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Which database it is, and how many commits it has seen since it was made."""

    store: str
    commits: int


class Mark:
    """The file, open for as long as the store is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._troubled = False

    def read(self) -> Progress | None:
        """The newest progress that was written and can be read; None if there is none."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        places = (content[:_PLACE_BYTES], content[_PLACE_BYTES : 2 * _PLACE_BYTES])
        found = [progress for place in places if (progress := _decode(place)) is not None]
        return max(found, key=lambda progress: progress.commits, default=None)

    def check(self, found: Progress | None) -> None:
        """Hold a database against the mark. Raises StoreDamaged for one that is another, or behind.

        `found` is None for a database of a version that did not count yet.
        """
        marked = self.read()
        if marked is None:
            return
        if found is None or (found.commits < marked.commits and found.store == marked.store):
            seen = found.commits if found is not None else 0
            raise StoreDamaged(
                f"The database has seen {seen} commits, and {marked.commits} were acknowledged "
                f"({self._path.name} beside it says so): it is an old copy, or its write-ahead "
                'log is missing or damaged. Nothing was changed. "inservice recover" says what '
                "can be done."
            )
        if found.store != marked.store:
            raise StoreDamaged(
                "The database is not the one that belongs to this data directory "
                f"({self._path.name} beside it says so). Nothing was changed. "
                '"inservice recover" says what can be done.'
            )

    def write(self, progress: Progress) -> None:
        """After a commit. Never raises: what was committed is committed, with a mark or without."""
        try:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
                os.ftruncate(self._descriptor, 0)  # of another database, or damaged
            place = progress.commits % 2 * _PLACE_BYTES
            os.pwrite(self._descriptor, _encode(progress), place)
            if progress.commits % SYNC_COMMITS == 0:
                os.fsync(self._descriptor)
            self._troubled = False
        except OSError as error:
            if not self._troubled:
                _log.warning("store.mark", why=str(error))
            self._troubled = True

    def sync(self) -> None:
        """Have it survive the loss of power."""
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Onto the platter, and let go."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1


def _encode(progress: Progress) -> bytes:
    content = msgspec.json.encode(progress)
    return (_digest(content) + content).ljust(_PLACE_BYTES)


def _decode(place: bytes) -> Progress | None:
    digest, content = place[: 2 * _DIGEST_BYTES], place[2 * _DIGEST_BYTES :].rstrip(b" ")
    if digest != _digest(content):
        return None
    return msgspec.json.decode(content, type=Progress)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest().encode()
