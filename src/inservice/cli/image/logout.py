"""`inservice image logout REGISTRY`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli import server
from inservice.cli.image.login import add_data_dir
from inservice.cli.spelling import OwnParser
from inservice.runtimes.logins import Logins, LoginsUnreadable, normal


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image logout`."""
    options = OwnParser(prog=prog, description="Forget what `inservice image login` has kept.")
    options.add_argument("registry", help="its host, and port if it has one")
    add_data_dir(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Forget it."""
    registry = normal(options.registry)
    try:
        was_there = Logins(server.settings_of(options).containers_dir).remove(registry)
    except (LoginsUnreadable, OSError) as error:
        sys.stderr.write(f"inservice image logout: {error}\n")
        return 1
    if not was_there:
        sys.stderr.write(f"inservice image logout: nobody is kept for {registry}\n")
        return 1
    sys.stdout.write(f"Forgotten: {registry}.\n")
    return 0
