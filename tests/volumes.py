"""Small file systems of their own, filled to the last byte or the last inode."""

from __future__ import annotations

import contextlib
import errno
import itertools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

from inservice.reserve import RESERVE, SHARE, SPARE_FILES, SPARES


@dataclass(frozen=True)
class Volume:
    """A small file system, and a file, or files, that fill it. A server's data directory is `data`
    in it."""

    path: Path
    mib: int

    @property
    def reserve(self) -> Path:
        return self.path / "data" / RESERVE

    def fill(self) -> None:
        """To the last byte. What others free meanwhile is taken too."""
        with (self.path / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                while _has_room(file, size):
                    pass

    def fill_inodes(self) -> None:
        """Until no file can be made any more."""
        (self.path / "files").mkdir(exist_ok=True)
        for number in itertools.count():
            try:
                (self.path / "files" / str(number)).touch()
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise
                return

    def fill_for_good(self) -> None:
        """Take the reserve as well, as somebody would who writes faster than all others."""
        while True:
            self.reserve.unlink(missing_ok=True)
            self.fill()
            if not self.reserve.exists():  # the server makes it anew as long as there is room
                return

    @contextlib.contextmanager
    def kept_full(self, *, a_second: int | None = None) -> Iterator[None]:
        """By somebody who takes at once whatever the server gives up; with `a_second`, no more than
        so many bytes a second, as a log that goes on growing."""
        done = threading.Event()

        def take() -> None:
            while not done.wait(0.005):
                self.fill()

        def grow() -> None:
            with (self.path / "filler").open("ab", buffering=0) as file:
                while not done.wait(0.01):
                    _has_room(file, (a_second or 0) // 100)

        self.fill()
        taker = threading.Thread(target=take if a_second is None else grow)
        taker.start()
        try:
            yield
        finally:
            done.set()
            taker.join()
            self.free()

    def free(self) -> None:
        """Make room again."""
        (self.path / "filler").unlink(missing_ok=True)
        shutil.rmtree(self.path / "files", ignore_errors=True)

    def is_reserved(self) -> bool:
        """Whether the reserve of the server is whole."""
        spares = self.reserve.with_name(SPARES)
        return (
            self.reserve.exists()
            and self.reserve.stat().st_size == (self.mib << 20) // SHARE
            and spares.exists()
            and len(list(spares.iterdir())) == SPARE_FILES
        )


@contextlib.contextmanager
def mounted(mib: int, *, inodes: int = 0) -> Iterator[Volume]:
    """A tmpfs; of so many inodes, if that is said. Skips the test where none may be mounted."""
    # A short path, so that a run directory is on it too.
    path = Path(tempfile.mkdtemp(prefix="is-"))
    options = f"size={mib}m,mode=755" + (f",nr_inodes={inodes}" if inodes else "")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if (done := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        path.rmdir()
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    try:
        yield Volume(path, mib)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()


def _has_room(file: FileIO, size: int) -> bool:
    try:
        return file.write(bytes(size)) > 0
    except OSError as full:
        if full.errno != errno.ENOSPC:
            raise
        return False
