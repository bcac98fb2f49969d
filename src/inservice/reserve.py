"""A reserve of disk space: what a server keeps back so that it can go on when its volume is full.

    volume │ taken by anybody │ free │ reserve │
                              └─ working bytes ─┘ are left free before anything is kept back

A full volume would otherwise keep a killed control from opening its records, which takes a commit,
and people from deleting what fills it, which takes one too. So a file holds some room that nobody
else can take. It is given up by the slice, only for as long as something is written that must be
written, and what that did not use is kept back again: whoever fills the volume, a log say that goes
on growing, finds room for milliseconds only. Room is *short* when what is free and what is kept
back are together less than the whole reserve and the working bytes: a sum that does not change when
the reserve is given up, so it says the same before and after.

A volume can also be out of inodes, with bytes to spare. So a directory beside the file holds some
empty files, and all that is said here is true of them as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

RESERVE = "reserve"
"""The file, in the data directory."""

SPARES = "reserve.files"
"""The directory of empty files beside it."""

WHOLE_BYTES = 8 * 1024 * 1024
"""A delete takes some tens of kilobytes of write-ahead log until that is written back."""

SHARE = 16
"""On a small volume the reserve is this part of it at most."""

SLICES = 4
"""How often the whole reserve can be given up when somebody else takes each slice at once. A slice
is also what is left free before anything is kept back: the working bytes."""

HALF = SLICES // 2
"""Slices that are not given up for what can do without: counts, which are sent again."""

TAKING_TRIES = 3
"""Of taking back what was given up, while somebody else takes some of it."""

OPENING_BYTES = 256 * 1024
"""What it takes to open records: the index of each write-ahead log, a commit or two, and small
files that are written anew."""

OPENING_FILES = 8
"""What it takes to open records that were closed: a write-ahead log and an index of each of two
databases, and what is written beside a file before it takes its place."""

SPARE_FILES = 32
"""All empty files: as many slices as of the bytes."""

INODES_MIN = 32
"""With fewer left than this beside the spare ones, new files are as impossible as on a full
volume."""

Room = Callable[[], contextlib.AbstractContextManager[object]]
"""Within it there is room on the disk for something small: `Reserve.giving`, or nothing at all."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_OF_SQLITE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
_FULL_OF_POSTGRESQL = "53100"


def is_full(error: BaseException | None) -> bool:
    """Whether an error of the system or of a database, of either kind, says that a disk is full."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    # An index of the write-ahead log that cannot grow has an error of its own.
    named = getattr(error, "sqlite_errorname", None) in _FULL_OF_SQLITE
    return named or getattr(error, "sqlstate", None) == _FULL_OF_POSTGRESQL


class Reserve:
    """The reserve of one data directory. Safe for threads, and for a second process that gives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / RESERVE
        self._lock = threading.Lock()
        self._in_vain = False  # this file system takes a file and keeps no room for it
        self._givers = 0  # who write just now
        self._lent = 0  # what was kept back before the first of them came
        self._lent_files = 0  # that they were given

    def short(self) -> str:
        """Why nothing should be added just now, in a sentence; empty while there is room."""
        try:
            volume = os.statvfs(self._directory)
        except OSError:  # not there any more: what writes will say so
            return ""
        whole = _whole(volume)
        room = _free(volume) + self._held() - whole
        if room < whole // SLICES:
            return (
                f"The volume of {self._directory} has {max(room, 0) // 1024} KiB left beside its "
                "reserve."
            )
        if volume.f_files and volume.f_favail < INODES_MIN + SPARE_FILES:
            inodes = volume.f_favail + len(self._spares()) - SPARE_FILES
            if inodes < INODES_MIN:
                return (
                    f"The volume of {self._directory} has {max(inodes, 0)} inodes left beside its "
                    "reserve."
                )
        return ""

    @contextlib.contextmanager
    def giving(self, *, slices_left: int = 0) -> Iterator[None]:
        """Have the working bytes free while something is written that must be, however full the
        volume is; then keep back again what is left of them. `slices_left` are not given up."""
        with self._lock:
            if not self._givers:
                self._lent = self._held()
            self._givers += 1
            self._give(slices_left)
        try:
            yield
        finally:
            with self._lock:
                self._givers -= 1
                if not self._givers:
                    self._take_back()

    def give(self) -> None:
        """Give up so much that the working bytes are free, for a process that is about to start, or
        to end."""
        with self._lock:
            self._give(0)

    def hold(self) -> None:
        """Keep back what there is beyond the working bytes, up to the whole reserve.

        Fails silently: it is tried again, and a server without a reserve is still one.
        """
        with self._lock, contextlib.suppress(OSError):
            volume = os.statvfs(self._directory)
            whole = _whole(volume)
            self._make_spares(min(volume.f_favail - OPENING_FILES, SPARE_FILES))
            self._grow(min(whole, self._held() + _free(volume) - whole // SLICES), volume)

    def _give(self, slices_left: int) -> None:
        with contextlib.suppress(OSError):  # no reserve, no directory: nothing to give
            volume = os.statvfs(self._directory)
            whole, held = _whole(volume), self._held()
            missing = whole // SLICES - _free(volume)
            left = max(0, held - missing, slices_left * (whole // SLICES))
            if missing > 0 and left < held:
                with self._opened(os.O_RDWR) as descriptor:
                    os.ftruncate(descriptor, left - left % volume.f_frsize)
            if volume.f_files and volume.f_favail < OPENING_FILES and not slices_left:
                for spare in self._spares()[: OPENING_FILES - volume.f_favail]:
                    spare.unlink()
                    self._lent_files += 1

    def _take_back(self) -> None:
        if self._lent_files:
            with contextlib.suppress(OSError):
                self._make_spares(self._lent_files)
            self._lent_files = 0
        for _ in range(TAKING_TRIES):
            if self._held() >= self._lent:
                return
            with contextlib.suppress(OSError):
                volume = os.statvfs(self._directory)
                self._grow(min(self._lent, self._held() + _free(volume)), volume)

    def _grow(self, wanted: int, volume: os.statvfs_result) -> None:
        """Raises OSError when somebody was faster."""
        held = self._held()
        wanted -= wanted % volume.f_frsize
        if wanted <= held or self._in_vain:
            return
        with self._opened(os.O_RDWR | os.O_CREAT) as descriptor:
            os.posix_fallocate(descriptor, 0, wanted)
        self._in_vain = self._held() <= held  # it compresses, say: not again every second

    def fits(self, size: int) -> bool:
        """Whether this process can write so much now, and make a few files. It is tried, for nobody
        can tell: root may write where others may not, and a quota is in no statistics."""
        with (
            self._lock,
            contextlib.suppress(OSError),
            self._opened(os.O_RDWR | os.O_CREAT) as descriptor,
        ):
            before = os.fstat(descriptor).st_size
            try:
                os.posix_fallocate(descriptor, before, size)
                self._try_files()
            finally:
                os.ftruncate(descriptor, before)
            return True
        return False

    def _make_spares(self, count: int) -> None:
        """So many more, up to all of them. Raises OSError when somebody was faster."""
        there = {path.name for path in self._spares()}
        missing = [str(n) for n in range(SPARE_FILES) if str(n) not in there][: max(0, count)]
        if missing:
            (self._directory / SPARES).mkdir(mode=0o700, exist_ok=True)
        for name in missing:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._directory / SPARES / name, flags, 0o600))

    def _spares(self) -> list[Path]:
        try:
            return list((self._directory / SPARES).iterdir())
        except OSError:
            return []

    def _try_files(self) -> None:
        """Raises OSError when there is no room for the files of records that are opened."""
        tries = [self._path.with_name(f"{RESERVE}.{number}") for number in range(OPENING_FILES)]
        try:
            for path in tries:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        finally:
            for path in tries:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _held(self) -> int:
        """What the file really takes: a copy of a data directory may have made a hole of it."""
        try:
            return self._path.lstat().st_blocks * 512
        except OSError:
            return 0


def _whole(volume: os.statvfs_result) -> int:
    whole = min(WHOLE_BYTES, volume.f_blocks * volume.f_frsize // SHARE)
    return whole - whole % volume.f_frsize


def _free(volume: os.statvfs_result) -> int:
    return volume.f_bavail * volume.f_frsize
