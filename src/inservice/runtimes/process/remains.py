"""Everything that an instance started ends with it, whatever it did to get away.

A model may start processes, and those may double-fork, enter a session of their own, close every
descriptor, empty their environment, change their title and directory. What they cannot shed by any
of that is a *resource limit*: fork and exec hand it on, /proc shows it of every process, and only
root can raise one again. RLIMIT_LOCKS limits nothing since Linux 2.4.25, so the fork server writes
a number there that is made from the instance's cookie: the instance's mark.

What is left of a dead instance is therefore

    whoever bears its mark,
    whoever is in its leader's session, in case no mark could be set (a server that itself runs
        within somebody's instance may lower the limit no further), and
    an orphan that came to us, the subreaper, with a mark that no living instance has: it lowered
        its limit on the way.

All of it is killed, again and again until nobody is left. A process that keeps forking is no
problem for that: a pass looks at everybody who was there when it began and at every pid that was
given out since, and forking costs a process more than being looked at costs us.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from inservice import linux
from inservice.runtimes.process.records import Record

SECONDS_MAX = 2.0
"""How long the fork server does nothing else but this. Only a process that not even SIGKILL wakes,
in a read from a storage that is away, takes longer; it is killed again later."""

_PAUSE_SECONDS = 0.002
"""Between two passes: killed processes need a moment to go."""

_RLIMIT_LOCKS = 10
"""From <asm-generic/resource.h>; Python has no name for it."""

_LIMIT = b"Max file locks"
_DEAD = (b"Z", b"X")


def mark(pid: int, cookie: str) -> None:
    """Have a process, and all that will ever come of it, bear the mark of an instance."""
    limit = _mark(cookie)
    with contextlib.suppress(OSError, ValueError):  # see above: then its session has to do
        resource.prlimit(pid, _RLIMIT_LOCKS, (limit, limit))


def are_left(dead: Iterable[Record]) -> bool:
    """Whether anything runs that these instances started."""
    hunt = _Hunt.of(dead, living=())
    return any(hunt.is_after(pid) for pid in linux.pids())


def kill(dead: Iterable[Record], living: Iterable[Record]) -> bool:
    """Kill what these instances left running. False if something will not go just now.

    For the fork server alone: of its children it spares those of the `living`.
    """
    hunt = _Hunt.of(dead, living)
    deadline = time.monotonic() + SECONDS_MAX
    while hunt.kill_whoever_is_there(deadline):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


@dataclass(frozen=True, slots=True)
class _Hunt:
    """Whom to look for."""

    marks: Collection[bytes]
    sessions: Collection[int]
    spared: Collection[bytes]  # marks of children of ours that are none of a dead instance
    ours: int  # our own pid

    @classmethod
    def of(cls, dead: Iterable[Record], living: Iterable[Record]) -> _Hunt:
        dead = list(dead)
        return cls(
            marks={b"%d" % _mark(record.cookie) for record in dead},
            sessions={r.pid for r in dead if not _is_a_strangers(r.pid)},
            spared={b"%d" % _mark(record.cookie) for record in living} | {_mark_of(os.getpid())},
            ours=os.getpid(),
        )

    def kill_whoever_is_there(self, deadline: float) -> bool:
        """One pass. Whether there was anybody."""
        newest = _newest_pid()
        found = [self._kill(pid) for pid in linux.pids()]
        while (now := _newest_pid()) != newest and time.monotonic() < deadline:
            born = range(newest + 1, now + 1) if now > newest else linux.pids()
            found += [self._kill(pid) for pid in born]
            newest = now
        return any(found)

    def _kill(self, pid: int) -> bool:
        if not self.is_after(pid):
            return False
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if not self.is_after(pid):  # its number may have become another's just now
                return False
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except OSError:
            return False
        finally:
            os.close(pidfd)
        return True

    def is_after(self, pid: int) -> bool:
        """Whether a process runs and is of a dead instance."""
        seen = linux.process_stat(pid)
        if seen is None or pid == self.ours:
            return False
        if seen[linux.STATE] in _DEAD and int(seen[linux.THREADS]) <= 1:
            return False  # a main thread may end and leave others running
        if int(seen[linux.SESSION]) in self.sessions:
            return True
        found, parent = _mark_of(pid), int(seen[linux.PARENT])
        return found in self.marks or (parent == self.ours and found not in self.spared)


def _mark(cookie: str) -> int:
    return int(cookie, 16) >> 1  # a limit is a signed number to Python


def _mark_of(pid: int) -> bytes:
    """What /proc says of the limit: a number, or that there is none."""
    try:
        text = Path(f"/proc/{pid}/limits").read_bytes()
    except OSError:
        return b"unlimited"
    at = text.find(_LIMIT)
    hard = text[at + len(_LIMIT) :].split(None, 2)[1:2] if at >= 0 else []
    return hard[0] if hard else b"unlimited"


def _is_a_strangers(leader: int) -> bool:
    """Whether a session of this number is not that of our dead instance.

    A number is not given to a new process while a session bears it. So if a process has it and is
    no zombie, nothing of ours is left in any session of that number.
    """
    seen = linux.process_stat(leader)
    return seen is not None and seen[linux.STATE] not in _DEAD


def _newest_pid() -> int:
    """The pid that was given out last."""
    return int(Path("/proc/loadavg").read_bytes().split()[4])
