"""The files of data: one for each number, made once, never written to again, removed when no record
needs it.

    data/<number // 1000>/<number>

A file has its name from the first byte on, for a name without a record means nothing to anybody; so
nothing is ever renamed. What tells a file that is needed from one that was left is a record alone:

    made, written, synced · its directory synced · its record committed · told         it is kept
    not needed, committed with a row of `garbage` · removed · directory synced · row removed

Killed anywhere, what is left is a file with a row of garbage, or one whose number is not settled.
*Settled* are all numbers below one that each commit writes down: the lowest number whose file has
neither a record yet nor is durably gone. So whoever opens the store looks at the few files above
it and not at all files.

Files that somebody reads are pinned: they are removed when the last reader lets go.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from inservice.disk import sync_directory

FILES_IN_A_DIRECTORY = 1000
"""A million files are a thousand directories of a thousand: no file system minds either."""

FORGOTTEN_AT_ONCE = 256
"""Files are removed at once, and their directories synced when there are so many: until then their
rows of garbage stay."""

MODE = 0o444
"""Others may read it, where it is linked to: the directory above is the owner's alone."""


class Files:
    """The files of a store that is open. Safe for threads."""

    def __init__(self, directory: Path) -> None:
        """Of a directory that is there. `begin` comes before all else."""
        self._directory = directory
        self._lock = threading.Lock()
        self._next = 1
        self._unsettled: dict[int, None] = {}  # in the order of their numbers
        self._pins: Counter[int] = Counter()
        self._unwanted: set[int] = set()  # that wait for their last reader
        self._removed: list[int] = []  # whose directories are not synced yet
        self._left_alone = False

    def begin(self, first: int) -> None:
        """Number what is made from here on."""
        self._next = first

    def leave_alone(self) -> None:
        """Remove nothing any more: nobody knows what was committed. The next opening finds out."""
        self._left_alone = True

    def path(self, number: int) -> Path:
        """Where the data of this number is, if it is in a file."""
        return self._directory / str(number // FILES_IN_A_DIRECTORY) / str(number)

    def number(self) -> int:
        """A number for what is in no file."""
        with self._lock:
            number = self._next
            self._next += 1
            return number

    def make(self) -> tuple[int, int]:
        """A new file, by its number, and its descriptor. Raises OSError."""
        with self._lock:
            number = self._next
            self._next += 1
            self._unsettled[number] = None
        path = self.path(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(path, flags, MODE)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o755, exist_ok=True)
                sync_directory(self._directory)
                descriptor = os.open(path, flags, MODE)
            os.fchmod(descriptor, MODE)  # whatever the umask
        except BaseException:
            self.discard(number)
            raise
        return number, descriptor

    def settled(self) -> tuple[int, int]:
        """Below the first number every file has a record or is durably gone; the second is that of
        what is made next."""
        with self._lock:
            return next(iter(self._unsettled), self._next), self._next

    def settle(self, numbers: Iterable[int]) -> None:
        """These have records that were committed."""
        with self._lock:
            for number in numbers:
                self._unsettled.pop(number, None)

    def sync_directories(self, numbers: Iterable[int]) -> None:
        """Have the names of these files be there, or be gone, for good. Raises OSError."""
        for directory in {self.path(number).parent for number in numbers}:
            with contextlib.suppress(FileNotFoundError):  # emptied and removed meanwhile
                sync_directory(directory)

    def discard(self, number: int) -> None:
        """Remove a file that never got a record."""
        if self._left_alone:
            return
        self.path(number).unlink(missing_ok=True)
        with self._lock:
            self._removed.append(number)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove files that have no record any more, each as soon as nobody reads it."""
        if self._left_alone:
            return
        with self._lock:
            wanted = {number for number in numbers if self._pins[number]}
            self._unwanted |= wanted
        for number in numbers:
            if number not in wanted:
                self._remove(number)

    def _remove(self, number: int) -> None:
        self.path(number).unlink(missing_ok=True)
        with self._lock:
            self._removed.append(number)

    @contextlib.contextmanager
    def forgetting(self, *, all_of_them: bool = False) -> Iterator[Set[int]]:
        """The numbers of files that are durably gone, so that their rows of garbage can go; none
        until there are many. If the block raises they are given again."""
        with self._lock:
            many = self._removed if all_of_them or len(self._removed) >= FORGOTTEN_AT_ONCE else []
            numbers, self._removed = many[:], self._removed[len(many) :]
        try:
            self.sync_directories(numbers)
            yield set(numbers)
        except BaseException:
            with self._lock:
                self._removed += numbers
            raise
        with self._lock:
            for number in numbers:
                self._unsettled.pop(number, None)
            # Nothing is made any more in a directory whose numbers are all settled.
            behind = next(iter(self._unsettled), self._next) // FILES_IN_A_DIRECTORY
        for index in {number // FILES_IN_A_DIRECTORY for number in numbers}:
            if index < behind:
                with contextlib.suppress(OSError):  # most are not empty
                    (self._directory / str(index)).rmdir()

    def pin(self, numbers: Iterable[int]) -> None:
        """Keep these, if they are there, until they are let go."""
        with self._lock:
            self._pins.update(numbers)

    def let_go(self, numbers: Iterable[int]) -> None:
        """End a pin."""
        with self._lock:
            self._pins.subtract(numbers)
            loose = [number for number in numbers if self._pins[number] <= 0]
            for number in loose:
                del self._pins[number]
            unwanted = [number for number in loose if number in self._unwanted]
            self._unwanted.difference_update(unwanted)
        if not self._left_alone:
            for number in unwanted:
                self._remove(number)

    def found(self, first: int) -> Iterator[int]:
        """The numbers of the files there are, from this one on, whatever the records say."""
        for directory in self._directory.iterdir():
            if not _is_number(directory.name):
                continue
            if int(directory.name) >= first // FILES_IN_A_DIRECTORY:
                for path in directory.iterdir():
                    if _is_number(path.name) and int(path.name) >= first:
                        yield int(path.name)

    def is_empty(self) -> bool:
        """Whether there is no file at all. Looks no further than to the first."""
        return not any(any(each.iterdir()) for each in self._directory.iterdir() if each.is_dir())


def sync_file(descriptor: int) -> None:
    """Have what was written to a file survive the loss of power. Raises OSError."""
    os.fdatasync(descriptor)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
