"""`inservice user detach NAME --policy POLICY`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import client
from inservice.cli.policy.naming import policy_arn
from inservice.cli.user.attach import attaching_parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user detach`."""
    return attaching_parser(prog, "Detach policies from a user, from this moment on.")


def run(options: argparse.Namespace) -> int:
    """Detach them."""
    iam = client(options, "iam")
    for arn in [policy_arn(iam, word) for word in options.policy]:
        iam.detach_user_policy(UserName=options.name, PolicyArn=arn)
    return 0
