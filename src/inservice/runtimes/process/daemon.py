"""How the fork server's process comes to be: detached, alone in its run directory, unprivileged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import sys
from pathlib import Path

import setproctitle

from inservice import linux
from inservice.runtimes.process.forkserver import ForkServer
from inservice.runtimes.process.protocol import ALREADY_RUNNING
from inservice.runtimes.process.records import Places

_FILES = 65_536
"""Descriptors: the fork server needs three for each instance, and an instance inherits the limit.
Not a million: some libraries close every possible number before they execute something."""

_LOG_BYTES_MAX = 1024 * 1024


def main() -> None:
    """`python -m inservice.starting inservice.runtimes.process.daemon <run dir>`.

    Returns when it listens. The one that was started ends at once and the one that serves is an
    orphan in a session of its own: no terminal, no parent that would have to wait for it, no
    Ctrl-C.
    """
    places = Places(Path(sys.argv[1]))
    done, doing = os.pipe()
    if os.fork() != 0:
        os.close(doing)
        sys.exit(int(os.read(done, 16) or b"1"))
    os.close(done)
    os.setsid()
    # Whoever started us may have held signals back, as the supervisor does for control; every
    # instance would inherit that, never hear SIGTERM, and be killed at the end of its grace.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir("/")
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file is a copy of a model's memory
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(files_max, _FILES) if files_max != resource.RLIM_INFINITY else _FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files_max))
    linux.set_no_new_privileges()
    linux.become_subreaper()
    for directory in (places.run_dir, places.instances):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    lock = os.open(places.fork_server_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(doing, b"%d" % ALREADY_RUNNING)
        return
    with contextlib.suppress(OSError):  # a full disk: who it is, its socket says too
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
    _speak_to(places.fork_server_log)
    setproctitle.setproctitle(f"inservice: fork server {places.run_dir}")
    server = ForkServer(places)
    os.write(doing, b"0")
    os.close(doing)
    server.run()


def _speak_to(log: Path) -> None:
    """Standard input from nowhere, output to a log that begins anew when it has grown large: what
    an earlier fork server died of should still be in it."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:  # no room for one
        file = os.dup(null)
    if os.fstat(file).st_size > _LOG_BYTES_MAX:
        os.ftruncate(file, 0)
    for source, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(file)


if __name__ == "__main__":
    main()
