"""Runs a command, and stays the ancestor of all that comes of it.

    python keeper.py COMMAND [ARGUMENT]…

A server that puts its processes into the background, or lets its children outlive their parent,
would lose them to init: their CPU time would not be counted, nor would anybody end them. Here
orphans are given to the keeper. It ends when the command does, or on SIGTERM, or when the benchmark
is gone; nothing of what was started is left then.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TERM_SECONDS = 5.0


def main() -> int:
    """Run the command to its end."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, _leave)
    status = 1
    with contextlib.suppress(SystemExit):
        status = subprocess.Popen(sys.argv[1:]).wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_all()
    return status


def _leave(*_: object) -> None:
    raise SystemExit


def _end_all() -> None:
    """Ask everybody to end, then kill until nobody is left, whoever was started meanwhile."""
    keeper = psutil.Process()
    below = keeper.children(recursive=True)
    for one in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
    psutil.wait_procs(below, timeout=TERM_SECONDS)
    while below := keeper.children(recursive=True):
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(below, timeout=1)


if __name__ == "__main__":
    sys.exit(main())
