"""Processes of a build whose builder is gone: whatever a setup.py has left behind.

Each process of a build has its directory's name in its environment, which its children inherit
wherever they go, and by which they are found.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from inservice import linux

MARK = "INSERVICE_BUILD"
"""The variable."""


_PATIENCE_SECONDS = 5.0
"""With one that is killed and does not end, since it waits for a disk."""


def end(build: str) -> None:
    """Kill all processes of a build, again until there are none: one may be starting another."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while (found := list(of(build))) and time.monotonic() < until:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def of(build: str) -> Iterator[int]:
    """The processes of a build that run, but this one."""
    line = f"{MARK}={build}".encode()
    for pid in linux.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                stat = linux.process_stat(pid)
                if stat is not None and stat[linux.STATE] not in (b"Z", b"X"):
                    yield pid


def users(root: Path, names: Iterator[str]) -> set[str]:
    """Which environments under a directory some process runs in: it has files of it in its memory
    (the compiled modules of our model server, if nothing else), or, forked from another Python and
    with that as a layer above, has it mounted into its own view of the file system."""
    wanted = set(names)
    mark, found = os.fsencode(root) + b"/", set[str]()
    marks = {"maps": mark, "mountinfo": mark.replace(b" ", rb"\040")}  # as proc(5) has them
    for pid in linux.pids() if wanted else ():
        for told, mark in marks.items():
            with contextlib.suppress(OSError):
                for part in Path(f"/proc/{pid}/{told}").read_bytes().split(mark)[1:]:
                    name = re.split(rb"[/\s]", part, maxsplit=1)[0]
                    found.add(name.decode(errors="replace"))
    return found & wanted
