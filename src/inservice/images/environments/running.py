"""Commands of a build, each watched until it has ended, by a process with one thread.

What is watched beside the command is the clock, and a pipe whose other end control holds: when it
does not want the build any more, or is killed, the pipe closes, and everything that was
started is killed before this process goes too. What a command leaves behind, also in sessions of
its own, comes to this process as the subreaper, and is killed with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inservice import linux

_LINES_KEPT = 400
_LINE_BYTES_MAX = 2000
_OOM_SCORE = 500
"""Out of 1,000: when memory ends the kernel should take a build, never control or a gateway."""


class Unwanted(BaseException):
    """Nobody waits for the build any more. No Exception: nothing is to go on after it."""


class TookTooLong(Exception):
    """The time that a build may take is over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    status: int  # 0: it did what it should; below: the signal that ended it
    lines: tuple[str, ...]  # its last ones, of both outputs


class Runner:
    """Runs commands one after the other."""

    def __init__(self, lifeline: int, seconds: float) -> None:
        """`lifeline` is the descriptor of a pipe that is read from when it has closed."""
        self._lifeline = lifeline
        self._until = time.monotonic() + seconds
        linux.become_subreaper()

    def run(
        self,
        command: Sequence[str],
        *,
        variables: Mapping[str, str],
        directory: Path,
        hear: Callable[[str], None] = lambda _: None,
    ) -> Outcome:
        """Run a command to its end; `hear` is given each line as it comes. Raises OSError where it
        cannot be started, TookTooLong, and Unwanted."""
        with subprocess.Popen(  # noqa: S603 - of ours, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(variables),
            cwd=directory,
            start_new_session=True,
            preexec_fn=_be_meek,
        ) as process:
            lines: list[str] = []
            try:
                for line in self._lines(process):
                    hear(line)
                    lines.append(line)
                    del lines[:-_LINES_KEPT]
            finally:
                # Also after a good end: what is left behind would hold the files it has open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
                _end_orphans()
        return Outcome(status, tuple(lines))

    def pause(self, seconds: float = 0.0) -> None:
        """Do nothing for a while. Raises TookTooLong or Unwanted if it is time to stop."""
        self._ready([], seconds)

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[str]:
        """What a command says, until it ends; not until its output closes, which something that it
        has left behind may hold open."""
        assert process.stdout is not None
        output = process.stdout.fileno()
        os.set_blocking(output, False)
        ended = os.pidfd_open(process.pid)
        rest = b""
        try:
            while True:
                ready = self._ready([output, ended], 60.0)
                chunk = _read(output) if output in ready else None
                if chunk:
                    *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                    yield from filter(None, map(_text, whole))
                    rest = rest[-_LINE_BYTES_MAX:]
                elif ended in ready or chunk == b"":
                    break
        finally:
            os.close(ended)
        if rest:
            yield _text(rest)

    def _ready(self, descriptors: list[int], seconds: float) -> set[int]:
        """Which of these can be read, after so many seconds at the latest. Raises TookTooLong and
        Unwanted."""
        left = self._until - time.monotonic()
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._lifeline, *descriptors):
                selector.register(descriptor, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(max(0.0, min(left, seconds)))}
        if self._lifeline in ready and not os.read(self._lifeline, 4096):
            raise Unwanted
        if self._until <= time.monotonic():
            raise TookTooLong
        return ready - {self._lifeline}


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _text(line: bytes) -> str:
    return line[:_LINE_BYTES_MAX].decode(errors="replace").rstrip()


def _be_meek() -> None:
    """In a new process, before it is the command: it ends with its builder, and when memory runs
    out it is the one to go."""
    linux.die_with_parent(signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def _end_orphans() -> None:
    """Kill what has become our child since whoever started it is gone, and theirs."""
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    own = str(os.getpid()).encode()
    return [
        pid
        for pid in linux.pids()
        if (stat := linux.process_stat(pid)) is not None and stat[linux.PARENT] == own
    ]
