"""The few things of Linux that Python has no function for, and what /proc says of a process."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

UNIX_PATH_BYTES_MAX = 107
"""Of a UNIX socket's path: `sun_path` less its terminating NUL."""

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that we learn how they end."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def set_no_new_privileges() -> None:
    """Neither we nor any descendant can gain privileges by executing a setuid file."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def born_at(pid: int) -> float:
    """When a process was started, in epoch seconds; 0 if it is not there (any more).

    To the digit as psutil has it, for it is a part of names that are on disk.
    """
    stat = process_stat(pid)
    if stat is None:
        return 0.0
    ticks = float(stat[START_TICKS])
    booted = re.search(rb"^btime (\d+)$", Path("/proc/stat").read_bytes(), re.MULTILINE)
    assert booted is not None
    return float(booted[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _prctl(option: int) -> None:
    import ctypes  # here, since few who import this module need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pids() -> Iterator[int]:
    """Every process of this host."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each process is most of the cost
        if name.isdecimal():
            yield int(name)


STATE, PARENT, SESSION, MINOR_FAULTS, MAJOR_FAULTS, USER_TICKS, SYSTEM_TICKS = 0, 1, 3, 7, 9, 11, 12
THREADS, START_TICKS, PAGES = 17, 19, 21
"""Where in `process_stat` is what; proc(5) counts from the pid, which is two before."""


def process_stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the state on; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command is in parentheses and may hold any byte, so count from the last closing one.
    return stat[stat.rindex(b")") + 2 :].split()
