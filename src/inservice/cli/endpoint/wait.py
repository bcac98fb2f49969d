"""`inservice endpoint wait NAME`: until its deployment is over, with a code for how it ended."""

from __future__ import annotations

import argparse

from inservice.cli.connection import following_client, parser_of
from inservice.cli.endpoint.following import follow
from inservice.cli.endpoint.progress import add_waiting


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint wait`."""
    options = parser_of(prog, "Wait until an endpoint's deployment is over.")
    options.add_argument("name")
    add_waiting(options, always=True)
    return options


def run(options: argparse.Namespace) -> int:
    """One line per change; the code says how it ended, also when it had ended before."""
    return follow(following_client(options), options.name, options.timeout)
