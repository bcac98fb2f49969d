"""The objects of a store that another process has open: read where they are, and never changed.

SQLite's log lets any process read while one writes, and a file of data is never written to again,
so nothing has to be asked of the other process, nor does it have to be there. What the other
process cannot know is that somebody reads: its pins are its own. So

- a connection lives as long as one look, and holds back no checkpoint;
- what is read is open before it is given out, and outlives its name; a file that is gone between
  its record and its opening was removed with the record, which is then looked at again;
- of an object in parts the files are opened as they are come to: one that was deleted meanwhile is
  missing in the middle, which its reader finds (`FileNotFoundError`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from inservice.blobs.base import Bucket, Incoming, Reading, Usage
from inservice.blobs.disk import schema
from inservice.blobs.disk.arriving import Quota
from inservice.blobs.disk.buckets import DiskBuckets
from inservice.blobs.disk.database import BUSY_SECONDS, Change, Database, counters_in, told
from inservice.blobs.disk.files import Files
from inservice.blobs.disk.kit import Kit
from inservice.blobs.disk.objects import DiskObjects
from inservice.blobs.disk.store import DATA, RECORDS
from inservice.blobs.disk.uploads import DiskUploads
from inservice.blobs.errors import BlobsRefused, ObjectDamaged
from inservice.errors import ServiceUnavailable
from inservice.s3_errors import NoSuchBucket

LOOKS_MAX: Final = 5
"""How often an object is looked at again whose file was gone. One that is deleted and put without
a pause is gone each time; a store that has lost the file has lost it each time as well."""

_NOT_HERE: Final = "Objects are changed by the process of the storage alone."

Result = TypeVar("Result")


class BlobsBeside(DiskBuckets, DiskObjects, DiskUploads):
    """`blobs.base.Blobs` of a directory, without what changes them."""

    def __init__(self, directory: Path) -> None:
        """Nothing is opened, and nothing has to be there, until somebody asks."""
        self._records = _Records(directory / RECORDS)
        files, quota = Files(directory / DATA), Quota(None, lambda: 0)
        super().__init__(Kit(self._records, files, quota, time.time))

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`. Where nothing was ever kept there is no bucket."""
        if not self._records.are_there:
            raise NoSuchBucket(BucketName=name)
        return super().bucket(name)

    def buckets(self, account: str, prefix: str = "", after: str = "") -> Sequence[Bucket]:
        """See `Buckets`. Where nothing was ever kept there are none."""
        return super().buckets(account, prefix, after) if self._records.are_there else ()

    def incoming(self, bucket: str) -> Incoming:  # noqa: ARG002 - of `Objects`
        """Raises ServiceUnavailable."""
        raise ServiceUnavailable(_NOT_HERE)

    def read(self, bucket: str, key: str) -> Reading:
        """See `Objects`."""
        for left in reversed(range(LOOKS_MAX)):
            try:
                return super().read(bucket, key)
            except ObjectDamaged as damaged:
                if not left or not isinstance(damaged.__cause__, FileNotFoundError):
                    raise
        raise AssertionError("unreachable: the last look raises")

    def usage(self) -> Usage:
        """See `Blobs`."""
        with self._kit.database.reading() as connection:
            held = counters_in(connection)
        return Usage(held.buckets, held.objects, held.bytes, held.uploads)

    def close(self) -> None:
        """Nothing is open."""


class _Records(Database):
    """The records, to be read alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See `Database`. Raises ServiceUnavailable for records that cannot be read."""
        place = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with told(), contextlib.closing(_connected(place)) as connection:
                if not schema.version(connection):
                    raise ServiceUnavailable("The records of the storage are not made yet.")
                yield connection
        except (BlobsRefused, sqlite3.Error) as error:
            raise ServiceUnavailable(
                f"The records of the storage cannot be read: {error}."
            ) from error

    @property
    def are_there(self) -> bool:
        """Whether anybody ever made them."""
        return self._path.exists()

    def change(self, make: Callable[[Change], Result], *, frees: bool = False) -> Result:
        """Raises ServiceUnavailable."""
        del make, frees
        raise ServiceUnavailable(_NOT_HERE)


def _connected(place: str) -> sqlite3.Connection:
    return sqlite3.connect(
        place, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
