"""`inservice reload`: replace the gateway workers one by one, without a failed request."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from inservice.cli import server

WORKER_SECONDS = 30.0
"""For each worker, beyond the drain in which it finishes what it has in flight: the next one has to
start, and one that would not go is killed."""


def run(argv: list[str]) -> int:
    """0 when every worker is a new one; 1 when no server runs or a worker would not go."""
    parser = server.arguments("reload", "Replace the gateway workers one after the other.")
    settings = server.settings_of(parser.parse_args(argv))
    pid = server.supervisor_pid(settings.data_dir)
    if pid is None:
        sys.stderr.write(f"No server runs on {settings.data_dir}; start one: inservice up\n")
        return 1
    processes = settings.run_dir / "processes.json"
    before = _workers(processes)
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + (server.drain_seconds(settings) + WORKER_SECONDS) * len(before)
    while before & _workers(processes):
        if time.monotonic() > deadline:
            stayed = ", ".join(map(str, sorted(before & _workers(processes))))
            sys.stderr.write(f"inservice reload: still there: {stayed}\n")
            return 1
        time.sleep(server.POLL_SECONDS)
    sys.stdout.write(f"Replaced {len(before)} gateway workers.\n")
    return 0


def _workers(processes: Path) -> set[int]:
    children = json.loads(processes.read_bytes())["children"]
    return {child["pid"] for child in children if child["name"].startswith("gateway-")}
