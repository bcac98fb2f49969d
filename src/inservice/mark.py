"""A mark: how far a database has got, kept outside of it.

A database cannot tell that it is an old copy of itself, that its write-ahead log was taken away
with the newest commits in it, or that another one lies in its place. So the data directory keeps a
small file that says which database belongs to it and how many commits that has acknowledged. What
follows from one that is another, or behind, is for whoever opens it.

The file is written after each commit, into two places by turns, so that one torn write leaves the
one before. It is in the operating system's hands then, where `kill -9` does not reach it; onto the
platter it goes when the database is opened and closed, and every `SYNC_COMMITS` in between. So the
mark of a database that syncs each commit is never ahead of it, also after a power failure, and at
worst a little behind. A mark that is missing is made anew from the database: it only ever accuses.
One that is there and cannot be read may have been exchanged with something else, which is no sign
that all is well.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

SYNC_COMMITS = 256
"""About as often as SQLite writes its log back into the database."""

_PLACE_BYTES = 256
_DIGEST_BYTES = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a database is."""

    store: str  # which it is
    commits: int  # that it has seen since it was made


class MarkDamaged(Exception):
    """The file is there and says nothing. The message says which."""


class Mark:
    """The file, open for as long as the database is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._troubled = False

    def read(self) -> Progress | None:
        """The newest progress that was written; None if none was. Raises MarkDamaged when there is
        something in the file, and none of it can be read."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MarkDamaged(f"{self._path} cannot be read: {error.strerror}.") from error
        places = (content[:_PLACE_BYTES], content[_PLACE_BYTES : 2 * _PLACE_BYTES])
        found = [progress for place in places if (progress := _decode(place)) is not None]
        if content and not found:
            raise MarkDamaged(f"{self._path} is damaged: nothing in it can be read.")
        return max(found, key=lambda progress: progress.commits, default=None)

    def write(self, progress: Progress) -> None:
        """After a commit. Never raises: what was committed is committed, with a mark or without."""
        try:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
                # Of another database, or damaged: both places are written over. Were it emptied, a
                # full disk might leave it so.
                os.pwrite(self._descriptor, _encode(progress) * 2, 0)
                os.ftruncate(self._descriptor, 2 * _PLACE_BYTES)
            place = progress.commits % 2 * _PLACE_BYTES
            os.pwrite(self._descriptor, _encode(progress), place)
            if progress.commits % SYNC_COMMITS == 0:
                os.fsync(self._descriptor)
            self._troubled = False
        except OSError as error:
            if not self._troubled:
                _log.warning("a mark cannot be written: %s", error)
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
