"""The files of a data directory that say who holds it, and that only its owner may read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path

from inservice import disk
from inservice.config import Settings
from inservice.reserve import is_full


class AlreadyRunning(Exception):
    """Another server holds this data directory."""


def private_directory(path: Path) -> None:
    """Make `path` with mode 0700. Raises PermissionError if somebody else owns it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.lstat().st_uid != os.getuid():  # in /tmp another user may have made it, or a link
        raise PermissionError(f"{path} belongs to another user")
    path.chmod(0o700)


def write_private(path: Path, document: object) -> None:
    """Replace `path` with JSON, mode 0600, in one step: readers see the old or the new."""
    disk.write(path, encoded(document))


def encoded(document: object) -> bytes:
    """As `write_private` writes it. By the library that the command line has imported anyway."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def hold(data_dir: Path) -> int:
    """Take the data directory for this process. Raises AlreadyRunning.

    The kernel drops the lock when the process ends, however it ends.
    """
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise AlreadyRunning(
            f"a server with pid {pid} already runs on {data_dir}: "
            "see `inservice status`, stop it with `inservice down`, "
            "or choose another --data-dir"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def why(settings: Settings, refused: Exception) -> str:
    """A refusal in words that say what to do."""
    if not isinstance(refused, OSError) or refused.strerror is None:
        return str(refused)
    if refused.filename is None:
        return (
            f"cannot listen on {settings.host}:{settings.port}: {refused.strerror}; "
            "choose another --port, or --port 0 for a free one"
        )
    if is_full(refused):
        return (
            f"cannot write {refused.filename}: {refused.strerror}; make room on its volume, or "
            "choose another --data-dir"
        )
    return (
        f"cannot use {refused.filename}: {refused.strerror}; "
        "choose another --data-dir, one that this user may write to"
    )


def say(text: str) -> None:
    """One line of the server's log; lost when there is no room for it.

    Not through `sys.stderr`: what its buffer could not write fails the end of the process as well.
    """
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(2, f"{stamp} supervisor {text}\n".encode(errors="backslashreplace"))
