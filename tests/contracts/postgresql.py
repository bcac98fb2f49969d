"""A PostgreSQL server of one's own, on a UNIX socket in a temporary directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

START_SECONDS = 30


def binaries() -> Path | None:
    """Where PostgreSQL's programs are, if they are installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextlib.contextmanager
def running(programs: Path) -> Iterator[str]:
    """A server with an empty database; gives its SQLAlchemy URL. Nothing is left of it.

    PostgreSQL refuses to run as root, so root runs it as the user that its package makes.
    """
    user = "postgres" if os.getuid() == 0 else None
    # Not pytest's tmp_path: that is closed to other users, and too long for a UNIX socket.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        directory = Path(name)
        if user is not None:
            shutil.chown(directory, user)
        records = directory / "records"
        subprocess.run(
            [programs / "initdb", "-D", records, "-U", "inservice", "--auth=trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user,
        )
        server = subprocess.Popen(
            [
                *(programs / "postgres", "-D", records, "-k", directory),
                *("-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=user,
        )
        try:
            _wait_for(f"host={directory} user=inservice dbname=postgres", server)
            yield f"postgresql://inservice@/postgres?host={directory}"
        finally:
            server.send_signal(signal.SIGINT)  # "fast": disconnects whoever is still there
            server.wait(START_SECONDS)


def _wait_for(conninfo: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline, "PostgreSQL did not answer"
            time.sleep(0.05)
        else:
            return
