"""Data on its way in: in memory while it is small, in a file of its own from then on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inservice.blobs.disk.files import Files, sync_file
from inservice.errors import InsufficientStorage
from inservice.reserve import is_full
from inservice.s3_errors import QuotaExceeded

IN_RECORD_BYTES = 64 * 1024
"""Up to this size data is kept in its record, which costs one sync of the disk where a file costs
three. Measured: a put of 64 KiB takes 0.4 ms of the processor so and 0.7 ms as a file; at 256 KiB
it is the other way round, since a record is written twice, into the log and out of it."""

SYNCED_BYTES = 64 * 1024 * 1024
"""A large file is synced as it comes, each time so much of it has: at its end there is no sync of
gigabytes, behind which everybody else's commit would wait."""


class Quota:
    """How many bytes a store may hold, with those on their way in."""

    def __init__(self, limit: int | None, held: Callable[[], int]) -> None:
        self._limit = limit
        self._held = held
        self._arriving = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Raises QuotaExceeded."""
        with self._lock:
            if self._limit is not None and self._held() + self._arriving + size > self._limit:
                raise QuotaExceeded
            self._arriving += size

    def give_back(self, size: int) -> None:
        """They are held by now, or never will be."""
        with self._lock:
            self._arriving -= size


@dataclass(frozen=True, slots=True)
class Arrived:
    """Data that is all there, and durable if it is in a file."""

    number: int
    size: int
    body: bytes | None  # None: in a file


class Arriving:
    """`blobs.base.Incoming`. For one thread at a time."""

    def __init__(self, files: Files, quota: Quota) -> None:
        self._files = files
        self._quota = quota
        self._small = bytearray()
        self._number = 0
        self._descriptor = -1
        self._size = 0
        self._unsynced = 0
        self._taken = 0  # of the quota
        self._ended = False

    @property
    def size(self) -> int:
        """See `Incoming`."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """See `Incoming`."""
        if self._ended:
            raise ValueError("this data was kept or discarded")
        try:
            self._quota.take(len(data))
            self._taken += len(data)
            with _told():
                self._add(data)
        except BaseException:
            self.discard()  # what lacks a piece is worth nothing, and a full disk needs the room
            raise
        self._size += len(data)

    def _add(self, data: bytes | memoryview) -> None:
        if self._descriptor < 0:
            if self._size + len(data) <= IN_RECORD_BYTES:
                self._small += data
                return
            self._number, self._descriptor = self._files.make()
            _write(self._descriptor, bytes(self._small))
            self._small.clear()
        _write(self._descriptor, data)
        self._unsynced += len(data)
        if self._unsynced >= SYNCED_BYTES:
            sync_file(self._descriptor)
            self._unsynced = 0

    def arrive(self) -> Arrived:
        """Have it all there. Raises InsufficientStorage."""
        if self._ended:
            raise ValueError("this data was kept or discarded")
        if self._descriptor < 0:
            return Arrived(self._files.number(), self._size, bytes(self._small))
        with _told():
            sync_file(self._descriptor)
        return Arrived(self._number, self._size, None)

    def discard(self) -> None:
        """See `Incoming`."""
        if not self._ended:
            self._end()
            if self._number:
                self._files.discard(self._number)

    def kept(self) -> None:
        """It has a record."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._quota.give_back(self._taken)
        self._small.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, data: bytes | memoryview) -> None:
    """All of it, though the disk takes it by pieces. Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise InsufficientStorage("The disk of the storage is full.") from error
        raise
