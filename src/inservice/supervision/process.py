"""A child process, by its pid: also one that was started before this process became newer code.

`subprocess.Popen` cannot be had again after an `exec`, but the children stay children: they are
waited for by their pids, which nobody else can be given until we have.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from inservice.supervision.programs import Program
from inservice.transport.heartbeat import ALIVE

LAST_LINES = 20
"""Of what a process wrote before it came up: more than a traceback's end, less than a page."""

TELLING_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Born blocked, so that none ends a process that is not ready to hear it: a SIGTERM that comes
while control still imports would end it without stopping the instances."""


class Process:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody waited for it; how it ended is not known
                self.returncode = -1
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send(self, number: int) -> None:
        """Signal it, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def end(self, seconds: float) -> None:
        """Wait for its end, for so long; then kill it."""
        if self.poll() is None:
            watched = os.pidfd_open(self.pid)
            if not select.select([watched], [], [], max(0.0, seconds))[0]:
                self.send(signal.SIGKILL)
                select.select([watched], [], [])
            os.close(watched)
        self.poll()


@dataclass
class Life:
    """One process of a program, from its start to its end."""

    process: Process
    heartbeat: int  # our end of the pipe that it writes to; -1 when it was closed
    words: int  # what it writes until it is up; -1 when that is done with
    started_at: float  # seconds of the monotonic clock, which an exec does not change
    beaten_at: float
    prepared: bool = False
    up: bool = False
    told: int = 0  # bytes of its words that are in the log

    def heard(self) -> bool:
        """Read what the heart says. False when the pipe was closed."""
        try:
            said = os.read(self.heartbeat, 4096)
        except BlockingIOError:
            return True
        if not said:
            return False
        self.prepared = True
        self.up = self.up or ALIVE in said
        self.beaten_at = time.monotonic()
        return True

    def tell(self) -> None:
        """Pass on to the server's log what was written since the last time."""
        if self.words < 0:
            return
        while text := os.pread(self.words, 65_536, self.told):
            self.told += len(text)
            with contextlib.suppress(OSError):
                os.write(2, text)

    def last_lines(self) -> str:
        """The end of what it wrote before it came up."""
        if self.words < 0:
            return ""
        begin = max(0, os.fstat(self.words).st_size - 16_384)
        text = os.pread(self.words, 16_384, begin).decode(errors="replace")
        return "\n".join(text.splitlines()[-LAST_LINES:])

    def forget(self) -> None:
        """Close what of it is open here, having told the rest of what it wrote."""
        self.tell()
        for descriptor in self.descriptors():
            os.close(descriptor)
        self.heartbeat = self.words = -1

    def descriptors(self) -> list[int]:
        """What of it is open here."""
        return [one for one in (self.heartbeat, self.words) if one >= 0]


def begin(program: Program, settings_file: Path) -> Life:
    """Start the program. Settings come from the file, not from the environment.

    Raises OSError when there is no room for another process.
    """
    ours, theirs = os.pipe()
    words = os.memfd_create("words", os.MFD_CLOEXEC)
    log = os.dup(2)
    os.set_blocking(ours, False)
    try:
        arguments = [
            sys.executable,
            *("-m", "inservice.starting"),
            program.module,
            f"--settings={settings_file}",
            f"--heartbeat-fd={theirs}",
            f"--log-fd={log}",
            *program.arguments,
        ]
        handed_down = (*program.handed_down, theirs, log)
        pid = os.posix_spawn(
            sys.executable,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, words, 2),
                # Onto itself: it stays open in the child, and in no other child.
                *((os.POSIX_SPAWN_DUP2, one, one) for one in handed_down),
            ],
            # Its own group: Ctrl-C in the terminal reaches the supervisor alone, which then stops
            # the others in order.
            setpgroup=0,
            setsigmask=TELLING_SIGNALS,
        )
    except OSError:
        os.close(ours)
        os.close(words)
        raise
    finally:
        os.close(theirs)
        os.close(log)
    now = time.monotonic()
    return Life(Process(pid), ours, words, now, now)
