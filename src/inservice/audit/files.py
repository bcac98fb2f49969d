"""Lines at the end of the newest of some numbered files: whole or not there, and durable when told.

    changes-000007.jsonl  changes-000008.jsonl        ← lines are added here

A line is written with one call and is on the platter when `append` returns. Threads that wait at
the same time share one sync: who comes first syncs all that is written by then, and the others find
that done. What a kill or a full disk left of a line is taken away, by the writer itself or by the
next one when it opens the files. A file that is full is followed by one with the next number, and
the oldest are removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import Final

from inservice import disk
from inservice.reserve import Room, is_full

FILE_BYTES: Final = 16 * 1024 * 1024
"""Some thirty thousand lines: a file that is grepped at once, and opened in an editor."""

TAIL_BYTES: Final = 4 * 1024 * 1024
"""Of the newest lines, in which it is looked for one that may have been written."""

_NUMBERED: Final = re.compile(r"([a-z]+)-(\d{6,})\.jsonl")


def numbered(directory: Path, name: str) -> list[tuple[int, Path]]:
    """The files of a series, oldest first."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in directory.iterdir():
            match = _NUMBERED.fullmatch(path.name)
            if match and match[1] == name:
                found.append((int(match[2]), path))
    return sorted(found)


class Lines:
    """A series of files, to write. Safe for threads; one process at a time writes to a series."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        kept: int,
        room: Room = contextlib.nullcontext,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        """Raises OSError. What finds no room is tried again within `room`."""
        self._directory = directory
        self._name = name
        self._kept = kept
        self._room = room
        self._file_bytes = file_bytes
        self._writing = threading.Lock()
        self._syncing = threading.Lock()
        self._written = 0  # lines, ever
        self._synced = 0
        there = numbered(directory, name)
        self._number = there[-1][0] if there else 1
        self._descriptor = -1
        self._size = 0
        with room():
            self._open()
            self._mend()
        self._forget_older()

    @property
    def path(self) -> Path:
        """The file that lines are added to."""
        return self._directory / f"{self._name}-{self._number:06}.jsonl"

    def append(self, line: bytes) -> None:
        """Add a line; it is durable when this returns. Raises OSError, and then it is not there,
        or may not be there after the host has lost its power."""
        try:
            self._append(line)
        except OSError as error:
            if not is_full(error):
                raise
            with self._room():
                self._append(line)

    def tail(self) -> bytes:
        """The newest lines."""
        newest = b""
        for _, path in reversed(numbered(self._directory, self._name)):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                missing = TAIL_BYTES - len(newest)
                file.seek(-min(missing, os.fstat(file.fileno()).st_size), os.SEEK_END)
                newest = file.read() + newest
            if len(newest) >= TAIL_BYTES:
                break
        return newest

    def close(self) -> None:
        """Let go of the file."""
        with self._writing:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, line: bytes) -> None:
        with self._writing:
            self._write(line)
            self._written += 1
            mine = self._written
        with self._syncing:
            if self._synced >= mine:
                return
            with self._writing:
                written, descriptor = self._written, os.dup(self._descriptor)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = written

    def _write(self, line: bytes) -> None:
        if not self._is_there():
            os.close(self._descriptor)
            self._open()
        if self._size and self._size + len(line) > self._file_bytes:
            self._go_on_in_the_next()
        try:
            done = os.write(self._descriptor, line)
            if done < len(line):  # the rest did not fit, and this says why
                os.write(self._descriptor, line[done:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(line)

    def _is_there(self) -> bool:
        """Whether the file still has its name: somebody may have taken it away."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        disk.sync_directory(self._directory)

    def _mend(self) -> None:
        """Take away what a killed writer, or the loss of power, has left of a line."""
        position, end = self._size, self._size
        while position:
            start = max(0, position - 64 * 1024)
            found = os.pread(self._descriptor, position - start, start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position != end:
            os.ftruncate(self._descriptor, position)
            self._size = position

    def _go_on_in_the_next(self) -> None:
        """What is in the file is durable before nobody syncs it any more."""
        os.fdatasync(self._descriptor)
        before, self._number = self._descriptor, self._number + 1
        try:
            self._open()
        except OSError:
            self._descriptor, self._number = before, self._number - 1
            raise
        os.close(before)
        self._forget_older()

    def _forget_older(self) -> None:
        for _, path in numbered(self._directory, self._name)[: -self._kept]:
            with contextlib.suppress(OSError):  # at the next change of files, then
                path.unlink()
