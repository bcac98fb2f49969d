"""`inservice down`: stop the server of a data directory, instances included."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

from inservice.cli import server
from inservice.config import Settings

STAGES = 3
"""Gateway workers drain, control stops the instances, a stand-in does it if control could not."""

STAGE_SECONDS = 10.0
"""Of each beyond the grace, which they share, until the supervisor kills what has not ended; more
means a bug."""

SILENT_SECONDS = 2.0
"""A server where nothing is under way has stopped by then."""


def run(argv: list[str]) -> int:
    """0 when nothing runs any more; 1 when it would not stop, or a purge was refused."""
    parser = server.arguments("down", "Stop the server; its records stay for the next `up`.")
    parser.add_argument(
        "--purge", action="store_true", help="then remove the data directory and all that is in it"
    )
    parser.add_argument("--yes", action="store_true", help="purge without asking")
    options = parser.parse_args(argv)
    if options.yes and not options.purge:
        parser.error("--yes is for --purge; nothing else is asked")
    settings = server.settings_of(options)
    if not options.purge:
        return _stop(settings)
    from inservice.cli import purge  # imported here: hardly anybody wants it

    if not purge.is_agreed(settings, asking=not options.yes):
        return 1
    return _stop(settings) or purge.remove(settings)


def _stop(settings: Settings) -> int:
    pid = server.supervisor_pid(settings.data_dir)
    if pid is None:
        return _stop_what_is_left(settings)
    # A pidfd names the process, not the number: a recycled pid can never be signalled by mistake.
    try:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        sys.stdout.write("It had just stopped by itself.\n")
        return 0
    grace = server.drain_seconds(settings)
    patience = grace + STAGES * STAGE_SECONDS
    began = time.monotonic()
    ended, _, _ = select.select([process], [], [], SILENT_SECONDS)
    if not ended:
        sys.stdout.write(f"What is under way has {grace:g} s to end (INSERVICE_DRAIN_SECONDS).\n")
        sys.stdout.flush()
        ended, _, _ = select.select([process], [], [], patience)
    os.close(process)
    if not ended:
        sys.stderr.write(
            f"inservice down: the server (pid {pid}) did not stop in {patience:.0f} s; "
            f"its log is {settings.log_dir / 'server.log'}\n"
        )
        return 1
    if time.monotonic() - began >= grace:
        sys.stdout.write(f"What had not ended after {grace:g} s was cut off.\n")
    sys.stdout.write(f"Stopped the server (pid {pid}).\n")
    return 0


def _stop_what_is_left(settings: Settings) -> int:
    """A server that was killed left its instances serving, for the next server to take over. Who
    says `down` wants none."""
    sys.stdout.write(f"No server runs on {settings.data_dir}.\n")
    if not (settings.run_dir / "forkserver.sock").exists():  # what runs instances, and keeps them
        return 0
    # Imported here: only after a kill is it needed.
    from inservice.supervision import files

    try:
        lock = files.hold(settings.data_dir)
    except files.AlreadyRunning as new:  # just now: it takes the instances over
        sys.stderr.write(f"inservice down: {new}\n")
        return 1
    try:
        command = [sys.executable, "-m", "inservice.starting", "inservice.app.__main__"]
        stopped = subprocess.run(  # noqa: S603 - our own module, no shell
            [*command, "--stop-instances", f"--settings={settings.settings_file}"], check=False
        )
    finally:
        os.close(lock)
    if stopped.returncode == 0:
        sys.stdout.write("Stopped the instances that it had left.\n")
    return stopped.returncode
