"""`inservice reload`: replace the gateway workers one by one, without a failed request."""

from __future__ import annotations

import sys

from inservice.cli import server

SAYING_SECONDS = 180.0
"""Beyond the drain: the longest that a supervisor has nothing to say while it replaces one process.
It gives a new one up within that time."""


def run(argv: list[str]) -> int:
    """0 when every worker is a new one and the old ones are gone; 1 when no server runs, or a new
    worker did not come up: then the old ones that were not replaced yet serve on."""
    return ask("reload", "Replace the gateway workers one after the other.", argv)


def ask(command: str, summary: str, argv: list[str]) -> int:
    """Have the supervisor do it, show what it says, and return its exit code."""
    parser = server.arguments(command, summary)
    settings = server.settings_of(parser.parse_args(argv))
    if server.supervisor_pid(settings.data_dir) is None:
        sys.stderr.write(f"No server runs on {settings.data_dir}; start one: inservice up\n")
        return 1
    from inservice.supervision import orders

    said: list[str] = []
    patience = server.drain_seconds(settings) + SAYING_SECONDS
    try:
        code = orders.ask(settings.run_dir / "supervisor.sock", command, said.append, patience)
    except (orders.SupervisorLost, OSError) as lost:
        log = settings.log_dir / "server.log"
        sys.stderr.write(f"inservice {command}: {lost}; its log is {log}\n")
        return 1
    *steps, last = said or [""]
    sys.stdout.write("".join(f"{step}\n" for step in steps))
    if code:
        sys.stderr.write(f"inservice {command}: {last}\n")
    else:
        sys.stdout.write(f"{last}\n")
    return code
