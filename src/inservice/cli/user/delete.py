"""`inservice user delete NAME`."""

from __future__ import annotations

import argparse
import sys

from inservice.cli.connection import REFUSED, client, parser_of
from inservice.cli.user.holdings import holdings_of, take_down


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user delete`."""
    options = parser_of(
        prog,
        "Delete a user, their access keys first, their memberships and inline policies; managed "
        "policies and groups stay.",
    )
    options.add_argument("name")
    options.add_argument("--yes", action="store_true", help="without asking")
    return options


def run(options: argparse.Namespace) -> int:
    """Say what hangs on the user, ask, and delete it all."""
    iam = client(options, "iam")
    arn = iam.get_user(UserName=options.name)["User"]["Arn"]
    holdings = holdings_of(iam, options.name)
    sys.stderr.write(f"{arn}\n")
    sys.stderr.writelines(f"  {line}\n" for line in holdings.said())
    if not options.yes and not _agreed():
        return REFUSED
    take_down(iam, options.name, holdings)
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write("Nobody can be asked here, and nothing was deleted; --yes does it.\n")
        return False
    sys.stderr.write("Delete all of it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
