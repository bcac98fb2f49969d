"""Podman's API service, where nobody has it running: started by us, on a socket of ours.

It is nobody's daemon. Containers do not need it to run, so it may end at any time: it does by
itself once nobody has asked it anything for a while, which is also what ends it after a control
that was killed. The next control finds it listening, or starts another one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from inservice import disk, linux

IDLE_SECONDS = 120
"""Podman's own default is 5, in which it would start anew for every launch, at 0.3 s of CPU."""

START_SECONDS = 20.0
"""A new one listens within half a second; this is for a host that is busy or cold."""

END_SECONDS = 5.0

_LOG_FILE = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class PodmanService:
    """The service of a run directory."""

    def __init__(self, run_dir: Path) -> None:
        self.socket = run_dir / "podman.sock"
        self._pid_file = run_dir / "podman.pid"
        self._log = run_dir / "podman.log"

    def start(self, podman: str, environment: Mapping[str, str]) -> Path:
        """Its socket, once somebody listens there. Raises OSError, with its last words."""
        self._reap()
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        pid = os.posix_spawn(
            podman,
            [podman, "system", "service", "--time", str(IDLE_SECONDS), f"unix://{self.socket}"],
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), _LOG_FILE, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setpgroup=0,  # what is meant for us on a terminal is not meant for it
        )
        ticks = linux.start_ticks(pid)
        disk.write(self._pid_file, f"{pid} {ticks}".encode(), synced=False)
        deadline = time.monotonic() + START_SECONDS
        while not self.socket.exists():
            if os.waitpid(pid, os.WNOHANG)[0]:
                raise OSError(self._last_words() or "it ended at once")
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not listen within {START_SECONDS:g} seconds")
            time.sleep(0.01)
        return self.socket

    def end(self) -> None:
        """End it, if it runs."""
        pid, ticks = self._started()
        if pid and linux.start_ticks(pid) == ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + END_SECONDS
            while linux.start_ticks(pid) == ticks and time.monotonic() < deadline:
                time.sleep(0.01)
        self._reap()
        self.socket.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)

    def _started(self) -> tuple[int, int | None]:
        """Which process was started last, and when. It may be another control's child."""
        try:
            pid, ticks = self._pid_file.read_text().split()
            return int(pid), int(ticks)
        except (OSError, ValueError):
            return 0, None

    def _reap(self) -> None:
        """The one that ended by itself, if it was a child of this process."""
        pid, _ = self._started()
        with contextlib.suppress(ChildProcessError):
            if pid:
                os.waitpid(pid, os.WNOHANG)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").strip().rpartition("\n")[2]
        return ""
