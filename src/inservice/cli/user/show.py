"""`inservice user show NAME`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from inservice.cli.connection import client, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.printing import console
from inservice.cli.times import shown
from inservice.cli.user.holdings import Holdings, every, holdings_of


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `user show`."""
    options = parser_of(prog, "One user: groups, policies, and access keys with their last use.")
    options.add_argument("name")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the user."""
    iam = client(options, "iam")
    user = iam.get_user(UserName=options.name)["User"]
    holdings = holdings_of(iam, options.name)
    for key in holdings.keys:
        last = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
        key["LastUsed"] = last["AccessKeyLastUsed"]
    by_groups = {
        group: [
            policy["PolicyName"]
            for policy in every(
                iam, "list_attached_group_policies", "AttachedPolicies", GroupName=group
            )
        ]
        + every(iam, "list_group_policies", "PolicyNames", GroupName=group)
        for group in holdings.groups
    }
    if options.output == "json":
        told = {
            **user,
            "Groups": by_groups,
            "AttachedPolicies": holdings.attached,
            "InlinePolicies": holdings.inline,
            "AccessKeys": holdings.keys,
        }
        sys.stdout.write(json.dumps(told, indent=4, default=str) + "\n")
    else:
        _write(user, holdings, by_groups)
    return 0


def _write(user: Mapping[str, Any], holdings: Holdings, by_groups: Mapping[str, list[str]]) -> None:
    rows = [("arn", user["Arn"]), ("created", shown(user["CreateDate"]))]
    boundary = user.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    rows += [("boundary", boundary)] if boundary else []
    rows += [("tag", f"{tag['Key']}={tag['Value']}") for tag in user.get("Tags", ())]
    rows += [("policy", name) for name in holdings.attached]
    rows += [("policy", f"{name} (inline)") for name in holdings.inline]
    rows += [
        ("group", f"{group}: {', '.join(policies) or 'no policies'}")
        for group, policies in by_groups.items()
    ]
    rows += [("key", _of_key(key)) for key in holdings.keys]
    out = console()
    out.print(user["UserName"], style="bold", markup=False)
    for line in aligned(rows):
        out.print(f"  {line}", markup=False)


def _of_key(key: Mapping[str, Any]) -> str:
    used = key["LastUsed"]
    last = "never used"
    if "LastUsedDate" in used:
        last = f"last used {shown(used['LastUsedDate'])} for {used['ServiceName']}"
    return f"{key['AccessKeyId']} {key['Status']}, made {shown(key['CreateDate'])}, {last}"
