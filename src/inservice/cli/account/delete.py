"""`inservice account delete ACCOUNT`."""

from __future__ import annotations

import argparse

from inservice.cli.account.naming import account_of
from inservice.cli.connection import own_client, parser_of


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `account delete`."""
    options = parser_of(
        prog,
        "Close an account in which nothing is left; what is left is named. Its keys are refused "
        "from then on, and its id is never given again.",
    )
    options.add_argument("account", help="its id or its name")
    return options


def run(options: argparse.Namespace) -> int:
    """Close it."""
    client = own_client(options)
    client.delete_account(AccountId=account_of(client, options.account)["AccountId"])
    return 0
