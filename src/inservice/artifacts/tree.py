"""A directory that is written once and then only read.

Every path is walked part by part with `openat` from a directory that we made, never through a link
(`O_NOFOLLOW`) and never onto something that is there (`O_EXCL`). No path is ever handed to the
system as one string, so nothing outside the directory can be reached however a name is spelled.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from inservice import linux
from inservice.artifacts.errors import StoreFull
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.paths import Outline, Parts

# Setuid bits, owners and permissions of the archive mean nothing here: every model is read-only
# to everyone, as /opt/ml/model is on AWS.
FILE_MODE = 0o444
DIRECTORY_MODE = 0o555

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file or directory of a tree."""

    path: str  # relative; a directory's ends in "/"
    size_bytes: int
    sha256: str  # of the content; empty for a directory


class TreeWriter:
    """Fills one new directory. Use as a context manager: it holds open directories."""

    def __init__(self, root: Path, limits: Limits, watch: Watch) -> None:
        """`root` must not exist; its parent must."""
        self._root = root
        self._watch = watch
        self._outline = Outline(limits)
        self._made: set[Parts] = {()}
        self._entries: list[Entry] = []
        self._open: list[tuple[str, int]] = []  # (part, descriptor) from the root to where we are

    def __enter__(self) -> TreeWriter:
        with disk_errors():
            self._root.mkdir(mode=0o700)
            self._open = [("", os.open(self._root, _DIRECTORY_FLAGS))]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _, descriptor in reversed(self._open):
            os.close(descriptor)
        self._open = []

    def add_directory(self, parts: Parts) -> None:
        """Make a directory, and those above it. Raises UnsafeMember, LimitExceeded, StoreFull."""
        self._outline.add_directory(parts)
        with disk_errors():
            self._enter(parts)

    def add_file(self, parts: Parts, content: Iterable[bytes]) -> None:
        """Write one new file. Raises as `add_directory` does, and what `content` raises."""
        self._outline.add_file(parts)
        self._write(parts, content)

    def _write(self, parts: Parts, content: Iterable[bytes]) -> None:
        with disk_errors():
            directory = self._enter(parts[:-1])
            descriptor = os.open(parts[-1], _NEW_FILE_FLAGS, 0o600, dir_fd=directory)
        digest = hashlib.sha256()
        size = 0
        try:
            for piece in content:
                self._watch.check()
                digest.update(piece)
                size += len(piece)
                with disk_errors():
                    _write_all(descriptor, piece)
            os.fchmod(descriptor, FILE_MODE)
        finally:
            os.close(descriptor)
        self._entries.append(Entry("/".join(parts), size, digest.hexdigest()))

    def add_shared(
        self, parts: Parts, source: int, size_bytes: int, content: Iterable[bytes]
    ) -> None:
        """Make a file that is there, open as `source`, one of the tree without moving its bytes;
        where they cannot be shared, write `content`, which is what is in it. Raises as `add_file`
        does.

        A clone is another file. A link is the same one under another name, which is as safe: it has
        to be ours and is made read-only, and whoever a tree is given to either is another user than
        we are or sees it mounted read-only. Who is neither has all our rights, and reaches the
        original as well.
        """
        self._outline.add_file(parts)
        with disk_errors():
            whole = os.fstat(source).st_size == size_bytes
            shared = whole and _share(source, parts[-1], self._enter(parts[:-1]))
        if not shared:
            self._write(parts, content)
            return
        digest = hashlib.sha256()
        for piece in content:
            self._watch.check()
            digest.update(piece)
        self._entries.append(Entry("/".join(parts), size_bytes, digest.hexdigest()))

    def finish(self) -> tuple[Entry, ...]:
        """Take away every permission to write; the entries in the order of their paths."""
        for parts in sorted(self._made, key=len, reverse=True):
            os.fchmod(self._enter(parts), DIRECTORY_MODE)
        directories = (Entry("/".join(p) + "/", 0, "") for p in self._made if p)
        return tuple(sorted([*self._entries, *directories]))

    def _enter(self, parts: Parts) -> int:
        """A descriptor of the directory, made if need be; the way there stays open."""
        common = 0
        for (part, _), wanted in zip(self._open[1:], parts, strict=False):
            if part != wanted:
                break
            common += 1
        while len(self._open) > common + 1:
            os.close(self._open.pop()[1])
        for depth in range(common, len(parts)):
            part, above = parts[depth], self._open[-1][1]
            if parts[: depth + 1] not in self._made:
                os.mkdir(part, 0o700, dir_fd=above)
                self._made.add(parts[: depth + 1])
            self._open.append((part, os.open(part, _DIRECTORY_FLAGS, dir_fd=above)))
        return self._open[-1][1]


def digest_of(entries: Iterable[Entry]) -> str:
    """The name of a tree: SHA-256 over the path, size and SHA-256 of everything in it.

    It is of what the model will see, not of the archive, so the same files packed twice are one
    tree, and a tree on disk can be checked without its archive.
    """
    digest = hashlib.sha256(b"inservice tree 1\n")
    for entry in sorted(entries):
        digest.update(
            f"{entry.size_bytes} {entry.sha256} {len(entry.path)} {entry.path}\n".encode()
        )
    return digest.hexdigest()


Seal = frozenset[tuple[str, int, int, int, int, int]]
"""What the file system says of everything in a tree. Equal seals are an untouched tree: the time of
the last change of an inode is the kernel's to set, and no program's."""


def seal_of(root: Path) -> Seal:
    """One look at every file and directory, at no content. Raises OSError for a part that cannot be
    looked at."""
    seen: list[tuple[str, os.stat_result]] = [("", root.lstat())]
    directories = [("", root)]
    while directories:
        above, directory = directories.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                name = f"{above}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    name += "/"
                    directories.append((name, directory / entry.name))
                seen.append((name, entry.stat(follow_symlinks=False)))
    return frozenset(
        (name, s.st_mode, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in seen
    )


READINGS_MAX = 3
"""How often a tree is read before it counts as changed. Of a file that is linked the time of change
moves whenever another of its names comes or goes, which is no change of what is in it."""


def verified(root: Path, entries: Iterable[Entry]) -> Seal | None:
    """The seal of a tree that holds what is recorded, all of it byte for byte and nothing else, and
    that nobody may write to. None if it does not, or if it is changed whenever it is read."""
    files = {entry.path: entry for entry in entries if not entry.path.endswith("/")}
    recorded = {entry.path: stat.S_IFDIR | DIRECTORY_MODE for entry in entries}
    recorded |= dict.fromkeys(files, stat.S_IFREG | FILE_MODE)
    recorded[""] = stat.S_IFDIR | DIRECTORY_MODE
    try:
        for _ in range(READINGS_MAX):
            seal = seal_of(root)
            if {name: mode for name, mode, *_ in seal} != recorded:
                return None
            if any(_sha256(root / name) != entry.sha256 for name, entry in files.items()):
                return None
            if seal_of(root) == seal:
                return seal
    except OSError:
        pass
    return None


def _sha256(path: Path) -> str:
    with open(os.open(path, READ_FLAGS), "rb") as file:  # noqa: PTH123 - a descriptor
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_tree(root: Path) -> None:
    """Delete a directory of ours, read-only parts included. Missing is fine."""
    if not root.is_dir():
        return
    for directory, names, files in os.walk(root):
        Path(directory).chmod(0o700)  # else a user that is not root cannot unlink in it
        links = (name for name in names if (Path(directory) / name).is_symlink())
        for name in [*files, *links]:
            (Path(directory) / name).unlink(missing_ok=True)
    for directory, _, _ in os.walk(root, topdown=False):
        Path(directory).rmdir()


def _share(source: int, name: str, directory: int) -> bool:
    """Whether the open file could be cloned, or else linked, to a new name in a directory."""
    descriptor = os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=directory)
    try:
        linux.clone(source, descriptor)
        os.fchmod(descriptor, FILE_MODE)
    except OSError:
        os.unlink(name, dir_fd=directory)
    else:
        return True
    finally:
        os.close(descriptor)
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        if stat.S_IMODE(status.st_mode) != FILE_MODE:
            os.fchmod(source, FILE_MODE)
        linux.link_open(source, name, directory)
    except OSError:  # another file system, one without links, or too many; or its names are gone
        return False
    return True


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns a full volume into StoreFull; other errors of our own disk are bugs and pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise StoreFull(
            "The volume that holds artifacts on this host is full. Free space, or move the "
            "data directory to a larger volume."
        ) from error
