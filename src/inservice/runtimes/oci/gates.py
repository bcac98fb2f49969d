"""Control's end of a container's doors: that they are open as long as the container lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from inservice import linux
from inservice.runtimes.oci.doors import Doors
from inservice.runtimes.oci.records import Record
from inservice.threads import Threads

_COMMAND = (sys.executable, "-I", "-m", "inservice.starting", "inservice.runtimes.oci.doors")
"""Named, not imported: it is another process."""

_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH")
"""What of control's environment the process may see: nothing of it is a secret."""

OPEN_SECONDS = 20.0
"""It takes a tenth of one; this is for a host that is busy or cold."""


class DoorsClosed(Exception):
    """This process may not enter the network of that container; the message says why not."""


class Gates:
    """Opens doors, and sees to it that they stay open."""

    def __init__(self) -> None:
        self._threads = Threads("doors", 2)

    async def open(self, record: Record, kept_at: Path, entry: Path, way_out: int) -> None:
        """Open those that a container is to have, unless they are open: `entry`, a UNIX socket, if
        it has no network, and the way out to a port of this host, unless that is 0. Raises
        DoorsClosed, OSError."""
        if not record.pid or not (record.isolated or way_out):
            return
        doors = Doors(
            pid=record.pid,
            start_ticks=record.start_ticks,
            kept_at=str(kept_at),
            socket=str(entry) if record.isolated else "",
            port=record.port if record.isolated else 0,
            out=way_out,
        )
        await self._threads.run(_open, doors)

    @staticmethod
    def keeper(kept_at: Path) -> int | None:
        """A pidfd of the process that keeps them open; None if there is none."""
        try:
            pid, ticks = map(int, kept_at.read_text().split())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return None
        if linux.start_ticks(pid) == ticks:
            return pidfd
        os.close(pidfd)
        return None

    def close(self, kept_at: Path) -> None:
        """End the process, whose container has ended or is to be reached no more."""
        pidfd = self.keeper(kept_at)
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            os.close(pidfd)


def _open(doors: Doors) -> None:
    pidfd = Gates.keeper(Path(doors.kept_at))
    if pidfd is not None:
        os.close(pidfd)
        return
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            [*_COMMAND, doors.as_argument()],
            env={name: value for name, value in os.environ.items() if name in _KEPT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=OPEN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise DoorsClosed(f"it did not open within {OPEN_SECONDS:g} seconds") from late
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise DoorsClosed(words or f"it ended with {done.returncode}")
