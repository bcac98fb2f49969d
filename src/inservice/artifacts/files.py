"""Artifacts on this host: file:// below directories that the operator allowed.

A file URI makes this server read with its own permissions on a caller's behalf, so only allowed
directories are read, and none is allowed unless the operator says so. The path is resolved once,
then walked from the allowed directory without following links, so swapping a part of it for a link
in between gains nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactForbidden,
    ArtifactMissing,
    LimitExceeded,
    StorageFailed,
    UnsafeMember,
    shown,
)
from inservice.artifacts.gunzip import ByteReader
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.sources import FileLocation, Item, Listing, Request
from inservice.artifacts.tree import READ_FLAGS

# O_NONBLOCK: opening a named pipe must not wait for its writer.
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Allowed:
    """Where file:// may read."""

    roots: tuple[Path, ...]
    private: tuple[Path, ...]  # never read, and nothing that contains them is copied as a whole

    def resolve(self, path: str) -> tuple[Path, Path]:
        """The allowed directory that a path is in, and the path, both without links.

        Raises ArtifactForbidden.
        """
        resolved = Path(os.path.realpath(path))
        for root in map(Path, map(os.path.realpath, self.roots)):
            if resolved.is_relative_to(root) and resolved != root:
                break
        else:
            places = ", ".join(str(root) for root in self.roots) or "none are allowed"
            raise ArtifactForbidden(
                "file:// artifacts are read only from directories that the operator of this server "
                f"allowed ({places}). Move the file there, or allow its directory."
            )
        for directory in map(os.path.realpath, self.private):
            if resolved.is_relative_to(directory) or Path(directory).is_relative_to(resolved):
                raise ArtifactForbidden("It is in this server's own data directory.")
        return root, resolved


class FileSource:
    """One file, or the files of one directory."""

    def __init__(self, request: Request, allowed: Allowed, limits: Limits, watch: Watch) -> None:
        """Raises ArtifactForbidden for a path that is not allowed."""
        assert isinstance(request.location, FileLocation)
        self._prefix = request.prefix
        self._limits = limits
        self._watch = watch
        self._root, self._path = allowed.resolve(request.location.path)

    def look(self) -> Listing:
        """The file, or every file below the directory."""
        if not self._prefix:
            name = self._path.name
            with self._opened(self._path) as descriptor:
                status = _regular(descriptor, self._path)
            item = Item(str(self._path), name, status.st_size, _version(status))
            return Listing((item,), item.version)
        items = tuple(sorted(self._walk(), key=lambda item: item.relative))
        if not items:
            raise ArtifactMissing("The directory holds no file.")
        digest = hashlib.sha256()
        for item in items:
            digest.update(f"{item.relative}\0{item.version}\0".encode())
        return Listing(items, digest.hexdigest())

    @contextmanager
    def open(self, item: Item) -> Iterator[ByteReader]:
        """Read one file. Raises ArtifactChanged if it is not the one that was looked up."""
        path = Path(item.name)
        with self._opened(path) as descriptor:
            _refuse_other(_regular(descriptor, path), item)
            yield _Reader(descriptor, path, self._watch)
            _refuse_other(os.fstat(descriptor), item)

    def _walk(self) -> Iterator[Item]:
        count = 0
        with _reading(self._path):
            for directory, names, files in os.walk(self._path, onerror=_raise):
                self._watch.check()
                for name in [*files, *(n for n in names if (Path(directory) / n).is_symlink())]:
                    path = Path(directory) / name
                    status = path.lstat()
                    if not stat.S_ISREG(status.st_mode):
                        raise UnsafeMember(
                            f'"{shown(str(path))}" is not a plain file. Links are not followed: '
                            "copy the file there."
                        )
                    count += 1
                    if count > self._limits.entries_max:
                        raise LimitExceeded(
                            f"The directory holds more than {self._limits.entries_max:,} files."
                        )
                    relative = str(path.relative_to(self._path))
                    yield Item(str(path), relative, status.st_size, _version(status))

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        with _reading(path):
            descriptor = _open_below(self._root, path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class _Reader:
    def __init__(self, descriptor: int, path: Path, watch: Watch) -> None:
        self._descriptor = descriptor
        self._path = path
        self._watch = watch

    def read(self, size: int, /) -> bytes:
        self._watch.check()
        with _reading(self._path):
            return os.read(self._descriptor, size)


def _open_below(root: Path, path: Path) -> int:
    """A descriptor reached from `root`, part by part, without following a link."""
    *above, name = path.relative_to(root).parts
    descriptor = os.open(root, _DIRECTORY_FLAGS)
    try:
        for part in above:
            inner = os.open(part, _DIRECTORY_FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return os.open(name, READ_FLAGS, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _regular(descriptor: int, path: Path) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactMissing(f'"{shown(str(path))}" is not a plain file.')
    return status


def _version(status: os.stat_result) -> str:
    return (
        f"{status.st_dev}:{status.st_ino}:{status.st_size}:"
        f"{status.st_mtime_ns}:{status.st_ctime_ns}"
    )


def _refuse_other(status: os.stat_result, item: Item) -> None:
    if _version(status) != item.version:
        raise ArtifactChanged(
            f'"{shown(item.name)}" was changed while it was being read. Write a new file and '
            "rename it into place instead of writing over the old one."
        )


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors of the file system, as what they mean for an artifact."""
    name = shown(str(path))
    try:
        yield
    except FileNotFoundError:
        raise ArtifactMissing(f'"{name}" does not exist on this host.') from None
    except PermissionError:
        raise ArtifactForbidden(f'The user of this server may not read "{name}".') from None
    except (NotADirectoryError, IsADirectoryError):
        raise ArtifactMissing(f'"{name}" is not a plain file.') from None
    except OSError as error:
        if error.errno == errno.ELOOP:  # O_NOFOLLOW met a link
            raise ArtifactMissing(f'"{name}" was replaced by a link.') from None
        raise StorageFailed(f'Reading "{name}" failed: {error.strerror}.') from error
