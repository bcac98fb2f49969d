"""`inservice user attach NAME --policy POLICY`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import client, parser_of
from inservice.cli.policy.naming import policy_arn


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user attach`."""
    return attaching_parser(prog, "Attach policies to a user, from this moment on.")


def attaching_parser(prog: str, summary: str) -> argparse.ArgumentParser:
    """The options of `attach` and `detach`."""
    options = parser_of(prog, summary)
    options.add_argument("name")
    options.add_argument(
        "--policy",
        action="append",
        required=True,
        metavar="NAME",
        help="by name or ARN; may be given several times",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Attach them."""
    iam = client(options, "iam")
    for arn in [policy_arn(iam, word) for word in options.policy]:
        iam.attach_user_policy(UserName=options.name, PolicyArn=arn)
    return 0
