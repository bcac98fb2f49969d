"""A store of objects in a directory: who may open it, what is looked at first, what is swept.

    objects.db, -wal, -shm     the records
    objects.db.lock            held by the process that has it open
    objects.mark               how many commits it has acknowledged (see `mark`)
    data/                      files of data (see `files`)

Records that are behind their mark, or that are missing where there are files, are refused before
anything is swept: to a store that has lost records every file that they told of is an orphan.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from inservice.blobs.base import Incoming, Usage
from inservice.blobs.disk import schema
from inservice.blobs.disk.arriving import Arriving, Quota
from inservice.blobs.disk.database import Database, connect
from inservice.blobs.disk.files import Files
from inservice.blobs.disk.kit import Kit
from inservice.blobs.disk.objects import DiskObjects
from inservice.blobs.disk.remembered import RememberedBuckets
from inservice.blobs.disk.uploads import DiskUploads
from inservice.blobs.errors import BlobsDamaged, BlobsInUse, BlobsRefused
from inservice.disk import sync_directory
from inservice.errors import InsufficientStorage
from inservice.mark import Mark, MarkDamaged
from inservice.reserve import Room, is_full

RECORDS = "objects.db"
MARK = "objects.mark"
DATA = "data"

CHECKED_BYTES_MAX = 64 * 1024 * 1024
"""Records of this size are read through at the start, in a tenth of a second."""

_log = logging.getLogger(__name__)


def open_blobs(
    directory: Path,
    *,
    quota: int | None = None,
    room: Room = contextlib.nullcontext,
    now: Callable[[], float] = time.time,
) -> DiskBlobs:
    """Open the store in a directory, or make one in an empty one. It holds `quota` bytes at most.
    Deletes are made within `room` where the disk is full. Raises BlobsRefused, with nothing
    changed, and InsufficientStorage."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(directory / f"{RECORDS}.lock")
        try:
            return DiskBlobs(directory, lock, quota, room, now)
        except BaseException:
            os.close(lock)
            raise
    except sqlite3.DatabaseError as error:
        if is_full(error):
            raise InsufficientStorage("The disk of the storage is full.") from error
        kind = BlobsRefused if isinstance(error, sqlite3.OperationalError) else BlobsDamaged
        raise kind(f"The records of objects in {directory} cannot be opened: {error}.") from error
    except OSError as error:
        if is_full(error):
            raise InsufficientStorage("The disk of the storage is full.") from error
        raise BlobsRefused(f"{directory} cannot be opened: {error}.") from error


class DiskBlobs(RememberedBuckets, DiskObjects, DiskUploads):
    """`blobs.base.Blobs`, in a directory of this host."""

    def __init__(
        self,
        directory: Path,
        lock: int,
        quota: int | None,
        room: Room,
        now: Callable[[], float],
    ) -> None:
        """Of a directory whose lock this process has. Use `open_blobs`."""
        self._lock = lock
        mark = Mark(directory / MARK)
        _make_ready(directory, mark)
        files = Files(directory / DATA)
        database = Database(directory / RECORDS, files, mark, room)
        limited = Quota(quota, lambda: database.counters.bytes)
        try:
            super().__init__(Kit(database, files, limited, now))
            _sweep(database, files)
        except BaseException:
            database.close()
            raise

    def incoming(self, bucket: str) -> Incoming:
        """See `Objects`."""
        self.bucket(bucket)
        return Arriving(self._kit.files, self._kit.quota)

    def usage(self) -> Usage:
        """See `Blobs`."""
        held = self._kit.database.counters
        return Usage(held.buckets, held.objects, held.bytes, held.uploads)

    def close(self) -> None:
        """See `Blobs`."""
        self._kit.database.close()
        super().close()
        with contextlib.suppress(OSError):  # it was closed before
            os.close(self._lock)


def _make_ready(directory: Path, mark: Mark) -> None:
    """Look at what is there, and make what is not. Raises BlobsRefused."""
    path, data = directory / RECORDS, directory / DATA
    is_there = path.exists() and path.stat().st_size > 0
    is_used = data.is_dir() and not Files(data).is_empty()
    if not is_there and (is_used or path.with_name(f"{RECORDS}-wal").exists()):
        raise BlobsDamaged(
            f"{path} is missing, but what belongs to it is in {directory}. Restore it from a "
            "backup, or move the directory away to begin anew."
        )
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with contextlib.closing(connect(path)) as connection:
        version = schema.version(connection)
        if version:
            _check(connection, path, mark)
        elif is_used:
            raise BlobsDamaged(f"{path} is empty, but {data} is not. Nothing was changed.")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # First: records without it, left by a kill in between, would be those of a lost store.
            data.mkdir(mode=0o755, exist_ok=True)
            sync_directory(directory)
            schema.make(connection)


def _check(connection: sqlite3.Connection, path: Path, mark: Mark) -> None:
    """Before anything is written to the records. Raises BlobsDamaged."""
    if path.stat().st_size <= CHECKED_BYTES_MAX:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise BlobsDamaged(f"{path} is damaged: {found}. It is left as it is.")
    schema.check(connection)
    store, commits = connection.execute("SELECT store, commits FROM counters").fetchone()
    try:
        marked = mark.read()
    except MarkDamaged as damaged:
        raise BlobsDamaged(f"{damaged} It tells whether the records are whole.") from damaged
    if marked is None:
        return
    if marked.store != store:
        raise BlobsDamaged(f"{path} is of another store than {MARK} beside it.")
    if commits < marked.commits:
        raise BlobsDamaged(
            f"{path} has seen {commits} commits of {marked.commits}: it is an old copy, or its "
            f"write-ahead log is missing. To go on with what it has, remove {MARK}; data that only "
            "newer records know is removed then."
        )


def _sweep(database: Database, files: Files) -> None:
    """Remove files that no record needs: see `files` for which there can be."""
    held = database.counters
    with database.reading() as connection:
        found = list(files.found(held.settled))
        files.begin(max(held.following, *(number + 1 for number in (0, *found))))
        known = {
            number
            for (number,) in connection.execute(
                "SELECT number FROM data WHERE number >= ? AND body IS NULL", (held.settled,)
            )
        }
        garbage = [number for (number,) in connection.execute("SELECT number FROM garbage")]
    orphans = [number for number in found if number not in known]
    files.remove({*orphans, *garbage})
    if orphans or garbage:
        _log.info("swept %d orphans and %d files of garbage", len(orphans), len(garbage))
    database.forget()


def _lock(path: Path) -> int:
    """An open descriptor that has the lock; the lock ends with the process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BlobsInUse(f"{path.with_suffix('')} is open in another process.") from error
    return descriptor
