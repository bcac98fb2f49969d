"""The few things of Linux that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that we learn how they end."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def set_no_new_privileges() -> None:
    """Neither we nor any descendant can gain privileges by executing a setuid file."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def _prctl(option: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def oom_kills() -> int:
    """How many processes of this host the kernel has killed for want of memory since it booted."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except OSError:
        return 0
    return 0


def kill_session(leader: int) -> None:
    """Kill what a session's leader left running when it ended.

    Called while the leader is a zombie, or after it was reaped by another. A number cannot be given
    to a new process while a session still bears it, so if a process has the leader's number and is
    no zombie, nothing of ours is left and the session is a stranger's.
    """
    if (seen := _stat(leader)) is not None and seen[0] not in ("Z", "X"):
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == leader:
            continue
        try:
            pidfd = os.pidfd_open(int(entry.name))
        except OSError:
            continue
        try:
            if (seen := _stat(int(entry.name))) is not None and seen[1] == leader:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except OSError:
            continue
        finally:
            os.close(pidfd)


def _stat(pid: int) -> tuple[str, int] | None:
    """The state and the session of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The command is in parentheses and may hold any byte, so count from the last closing one.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[3])
