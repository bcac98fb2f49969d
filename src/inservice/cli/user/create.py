"""`inservice user create NAME`: a user with policies, groups and an access key, or nothing."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from inservice.cli.connection import client, parser_of
from inservice.cli.policy.naming import policy_arn
from inservice.cli.telling import add_telling_options, refuse_elsewhere, tell
from inservice.cli.user.holdings import holdings_of, take_down


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user create`."""
    options = parser_of(
        prog,
        "Make a user, and print an access key for them, which is told this once: eval it, or have "
        "it written to a profile. A user without policies, of groups too, may do nothing.",
    )
    options.add_argument("name")
    options.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help="attach this policy, by name or ARN; may be given several times",
    )
    options.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="put them in this group"
    )
    options.add_argument("--path", help="of the user's ARN: /team/ (default: /)")
    add_telling_options(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Make all of it. What is asked for and not there is found out before anything is made; where
    the rest fails, what was made is taken down again."""
    iam = client(options, "iam")
    refuse_elsewhere(iam)
    arns = [policy_arn(iam, word) for word in options.policy]
    for group in options.group:
        iam.get_group(GroupName=group, MaxItems=1)
    path = {} if options.path is None else {"Path": options.path}
    user = iam.create_user(UserName=options.name, **path)["User"]
    try:
        _equip(options, iam, arns)
    except BaseException:
        take_down(iam, options.name, holdings_of(iam, options.name))
        raise
    # Not on stdout, where the key is what a shell evaluates.
    sys.stderr.write(f"{user['Arn']}\n")
    if not (arns or options.group):
        sys.stderr.write("No policy allows them anything yet: inservice user attach\n")
    return 0


def _equip(options: argparse.Namespace, iam: Any, arns: list[str]) -> None:
    for arn in arns:
        iam.attach_user_policy(UserName=options.name, PolicyArn=arn)
    for group in options.group:
        iam.add_user_to_group(UserName=options.name, GroupName=group)
    tell(options, iam, iam.create_access_key(UserName=options.name)["AccessKey"])
