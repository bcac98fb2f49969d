"""`inservice version`: what `inservice --version` prints, and the server that runs, if one does."""

from __future__ import annotations

import sys

from inservice.cli.main import DONE, version_line


def run(argv: list[str]) -> int:
    """Print the version of this program and, below it, which server runs on the data directory."""
    from inservice.cli import server

    parser = server.arguments("version", "The version, and the server that runs, if one does.")
    settings = server.settings_of(parser.parse_args(argv))
    sys.stdout.write(version_line() + "\n")
    running = server.find(settings)
    if running is not None:
        sys.stdout.write(f"server at {running.url} (pid {running.pid})\n")
    return DONE
