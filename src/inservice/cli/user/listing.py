"""`inservice user list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.listing import Listing
from inservice.cli.times import shown

_USERS: Final = Listing(
    service="iam",
    operation="list_users",
    key="Users",
    name="UserName",
    columns=(
        ("NAME", lambda user: user["UserName"]),
        ("PATH", lambda user: user["Path"]),
        ("CREATED", lambda user: shown(user["CreateDate"])),
    ),
    none="No users: only root, whose key `inservice env` tells.",
    first="user create NAME --policy AmazonSageMakerFullAccess",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user list`."""
    options = listing.listing_parser(prog, "What users there are, by name.")
    options.add_argument("--path", default="/", metavar="PREFIX", help="only those below it")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the users."""
    return listing.show(_USERS, options, PathPrefix=options.path)
