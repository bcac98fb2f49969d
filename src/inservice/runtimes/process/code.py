"""Which code a process runs, so that a fork server of another version is known for one.

It outlives control, and what it starts is its own code: the model server that its zygotes have
imported, and modules by the names that they had when it was started. So after newer code was
installed and control was started from it, the fork server is replaced as well. Its instances are
adopted by the next one and serve on by the code that they were started with.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator

import inservice


@functools.cache
def identity() -> str:
    """A digest of the files that this process was started from: their names, sizes and times.

    To be asked at the start of a process, before anybody can have installed others.
    """
    lines = sorted(_lines(os.path.dirname(inservice.__file__)))  # noqa: PTH120
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _lines(directory: str) -> Iterator[str]:
    """One for each file of code. By `scandir`: pathlib takes seven times as long, and control and
    the fork server wait for it at each start.

    Not of compiled code, which follows from it, and which may be for the eyes of another user
    alone: of whoever imported a module first, with a umask that says so."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _lines(entry.path)
            elif entry.name.endswith((".py", ".so")):
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}\n"
