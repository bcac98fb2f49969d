"""The one way in which a file is replaced: whole and under its name, or not at all.

What is written goes into a draft beside the file, which is then renamed over it. So readers see the
old content or the new; a process that is killed at any point leaves the one or the other; and a
write that fails, on a full disk, leaves the old one and no draft. With `synced`, which is the rule,
the same holds of a host that loses its power: the draft is on the platter before it has the name,
and the name is on the platter when the call returns.

Not synced is what is worth nothing after a restart of the host: instances' records, routes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write(path: Path, content: bytes, *, mode: int = 0o600, synced: bool = True) -> None:
    """Make `content` what the file holds. Raises OSError, which names a file, and then the file is
    what it was."""
    try:
        with replacing(path, mode=mode, synced=synced) as file:
            file.write(content)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write that fails knows only a descriptor
        raise


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600, synced: bool = True) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends. If the block raises,
    the file is what it was.

    `mode` is the new file's, whatever that of the old one and whatever the umask; it has it before
    there is a byte in it.
    """
    draft = path.with_name(f"{path.name}.new")
    with _held(draft) as descriptor:
        try:
            os.fchmod(descriptor, mode)
            os.ftruncate(descriptor, 0)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                yield file
                file.flush()
            if synced:
                os.fsync(descriptor)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    if synced:
        sync_directory(path.parent)


@contextlib.contextmanager
def _held(draft: Path) -> Iterator[int]:
    """A draft that nobody else writes to meanwhile.

    It has one name and a lock, and not a name of its own for each writer: what a killed one leaves
    behind is taken by the next, so there is never more than one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        descriptor = os.open(draft, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(draft, descriptor):  # else the one who had it has given it its name meanwhile
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def sync_directory(path: Path) -> None:
    """Have what was made, renamed and removed in a directory survive the loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
