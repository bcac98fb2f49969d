"""`inservice account list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.connection import own_client
from inservice.cli.listing import Listing
from inservice.cli.times import shown

_ACCOUNTS: Final = Listing(
    operation="list_accounts",
    key="Accounts",
    name="AccountId",
    columns=(
        ("ID", lambda account: account["AccountId"]),
        (
            "NAME",
            lambda account: (
                "(the server's own)"
                if account["IsManagementAccount"]
                else str(account["AccountName"])
            ),
        ),
        ("ENDPOINTS", lambda account: str(account["EndpointCount"])),
        ("ROOT'S KEY", lambda account: account.get("RootAccessKeyId", "-")),
        ("CREATED", lambda account: shown(account["CreatedAt"]) if "CreatedAt" in account else "-"),
    ),
    none="No accounts.",
    first="account create NAME",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `account list`."""
    return listing.listing_parser(prog, "What accounts there are on this server, by id.")


def run(options: argparse.Namespace) -> int:
    """Print the accounts."""
    return listing.show_items(_ACCOUNTS, own_client(options).list_accounts()["Accounts"], options)
