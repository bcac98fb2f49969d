"""An object that is being read: it stays what it was, since its files are pinned until then."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from inservice.blobs.base import StoredObject
from inservice.blobs.disk.content import cut
from inservice.blobs.disk.files import Files
from inservice.blobs.disk.manifests import Manifest


class DiskReading:
    """`blobs.base.Reading`. For one thread at a time."""

    def __init__(
        self,
        stored: StoredObject,
        made: Manifest,
        bodies: Mapping[int, bytes],
        files: Files,
        whole: Path | None,
    ) -> None:
        """`bodies` of the data that is in records. The files of all other data are pinned by now,
        and this lets them go. `whole` is the file that is the object, if there is one."""
        self._stored = stored
        self._made = made
        self._bodies = bodies
        self._files = files
        self._whole = whole
        self._open: tuple[int, int] | None = None  # which data, and a descriptor of its file
        self._closed = False

    @property
    def stored(self) -> StoredObject:
        """See `Reading`."""
        return self._stored

    @property
    def made(self) -> Manifest:
        """What it consists of."""
        return self._made

    def open_first(self) -> None:
        """Open the file that is read first. Raises FileNotFoundError."""
        for each in self._made.slices[:1]:
            if each.data in self._made.in_files:
                self._descriptor(each.data)

    def chunks(self, start: int, length: int, size: int = 256 * 1024) -> Iterator[bytes]:
        """See `Reading`."""
        for data, begin, whole in cut(self._made.slices, start, length):
            for place in range(begin, begin + whole, size):
                wanted = min(size, begin + whole - place)
                if data in self._bodies:
                    yield self._bodies[data][place : place + wanted]
                else:
                    yield from self._read(data, place, wanted)

    def path(self) -> Path | None:
        """See `Reading`."""
        return self._whole

    def close(self) -> None:
        """See `Reading`."""
        if self._closed:
            return
        self._closed = True
        if self._open is not None:
            os.close(self._open[1])
            self._open = None
        self._files.let_go(self._made.in_files)

    def _read(self, data: int, place: int, wanted: int) -> Iterator[bytes]:
        while wanted:
            chunk = os.pread(self._descriptor(data), wanted, place)
            if not chunk:
                raise OSError(errno.EIO, "It is shorter than it was", str(self._files.path(data)))
            yield chunk
            place, wanted = place + len(chunk), wanted - len(chunk)

    def _descriptor(self, data: int) -> int:
        if self._closed:
            raise ValueError("this reading was closed")
        if self._open is None or self._open[0] != data:
            descriptor = os.open(self._files.path(data), os.O_RDONLY | os.O_CLOEXEC)
            if self._open is not None:
                os.close(self._open[1])
            self._open = (data, descriptor)
        return self._open[1]
