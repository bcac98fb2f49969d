"""Whether it was for want of memory that a process was killed, as far as that can be known.

The kernel kills with SIGKILL and tells the parent nothing more. What it tells elsewhere, from the
most certain to the least:

    its log      names the victim by pid; for root only on most hosts, and a container's pids are
                 not the kernel's
    the cgroup   counts the kills among its own processes: of ours, whoever they were
    the host     counts all of them; within a container those of the neighbours, too

A count says how many and not whom, so each increase is held against one death only, and one that
is older than a look or two against none: it was of a process that a model had started.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

VMSTAT = Path("/proc/vmstat")

_LOG_RECORDS_MAX = 100_000
"""The kernel's log is a ring of some thousands of records; this only says that reading ends."""

_V2 = re.compile(r"^0::(/.*)$", re.MULTILINE)
_V1 = re.compile(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(/.*)$", re.MULTILINE)
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class OomKills:
    """Remembers how many kills were seen, and holds the new ones against deaths."""

    def __init__(self) -> None:
        self._counter = counter()
        self._before = self._last = self._count()

    def look(self) -> None:
        """Now and then: what was counted before the last look can be of no death to come."""
        self._before, self._last = self._last, self._count()

    def claim(self, pid: int, start_ticks: int) -> bool:
        """Whether a process that ended just now, by a SIGKILL that was none of ours, was killed for
        its memory. It is known as in its record."""
        if is_in_kernel_log(pid, start_ticks):
            self._before = min(self._before + 1, self._count())
            return True
        if self._count() <= self._before:
            return False
        self._before += 1
        return True

    def _count(self) -> int:
        return kills(self._counter)


def counter() -> Path:
    """The file that counts the kills nearest to us: our cgroup's, else the host's."""
    with contextlib.suppress(OSError):
        groups = Path("/proc/self/cgroup").read_text()
        for pattern, root, name in (
            (_V2, "/sys/fs/cgroup", "memory.events"),
            (_V2, "/sys/fs/cgroup/unified", "memory.events"),
            (_V1, "/sys/fs/cgroup/memory", "memory.oom_control"),
        ):
            if found := pattern.search(groups):
                # Within a container the path may be the host's and the mount begin with ours.
                for place in (Path(root + found[1]), Path(root)):
                    if _said(place / name) is not None:
                        return place / name
    return VMSTAT


def kills(counted_in: Path) -> int:
    """How many processes the kernel killed for want of memory, by one of the files above."""
    return _said(counted_in) or 0


def _said(path: Path) -> int | None:
    try:
        found = _KILLS.search(path.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def is_in_kernel_log(pid: int, start_ticks: int) -> bool:
    """Whether the kernel's log says that this process was killed for want of memory."""
    # The log's clock stands still while the host is suspended, that of the ticks does not.
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    since = start_ticks / os.sysconf("SC_CLK_TCK") - suspended
    killed = re.compile(rb"[^;]*,[^;,]*,(\d+),[^;]*;.*\bKilled process %d\b" % pid)
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for _ in range(_LOG_RECORDS_MAX):
            try:
                said = killed.match(os.read(log, 8192))
            except BrokenPipeError:  # overwritten while we read: the next read goes on after it
                continue
            if said and int(said[1]) / 1e6 >= since:
                return True
    except OSError:  # there is no more, or nothing for us
        return False
    finally:
        os.close(log)
    return False
