"""`inservice account create [NAME]`: an account, and the access key of its root."""

from __future__ import annotations

import argparse
import sys

from inservice.cli import ours
from inservice.cli.connection import client, parser_of
from inservice.cli.telling import add_telling_options, tell


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `account create`."""
    options = parser_of(
        prog,
        "Make an account, whose things nobody else's keys see or reach, and print its root's "
        "access key, which is told this once: eval it, or have it written to a profile.",
    )
    options.add_argument(
        "name",
        nargs="?",
        help="what it is called: small letters, digits, single hyphens (default: its id)",
    )
    options.add_argument(
        "--id", metavar="DIGITS", help="its twelve digits (default: some that nobody had here)"
    )
    add_telling_options(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Make it, and tell its key."""
    wanted = {"AccountName": options.name, "AccountId": options.id}
    # One try: a second would be told that the account of the first is there already.
    server = client(options, ours.SERVICE, tries_max=1)
    made = server.create_account(**{name: value for name, value in wanted.items() if value})
    account_id = made["AccountId"]
    # Not on stdout, where the key is what a shell evaluates.
    sys.stderr.write(f"Account {account_id}, called {made['AccountName']}.\n")
    try:
        tell(options, server, made)
    except BaseException:
        sys.stderr.write(
            f"The account is there, and nobody knows its key. Another one:\n"
            f"  inservice key rotate --account {account_id}\n"
        )
        raise
    return 0
