"""`inservice policy list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.listing import Listing

_SCOPES: Final = {"all": "All", "aws": "AWS", "own": "Local"}

_POLICIES: Final = Listing(
    service="iam",
    operation="list_policies",
    key="Policies",
    name="PolicyName",
    columns=(
        ("NAME", lambda policy: policy["PolicyName"]),
        ("ATTACHED", lambda policy: str(policy["AttachmentCount"])),
        ("ARN", lambda policy: policy["Arn"]),
    ),
    none="No policies.",
    first="iam create-policy --policy-name NAME --policy-document file://policy.json",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `policy list`."""
    options = listing.listing_parser(prog, "What managed policies there are: AWS's and one's own.")
    options.add_argument("--scope", choices=[*_SCOPES], default="all")
    options.add_argument("--attached", action="store_true", help="only those that somebody has")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the policies."""
    scope = _SCOPES[options.scope]
    return listing.show(_POLICIES, options, Scope=scope, OnlyAttached=options.attached)
