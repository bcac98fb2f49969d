"""`inservice policy show POLICY`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from inservice.cli.connection import client, parser_of
from inservice.cli.policy.documents import managed, to_the_letter
from inservice.cli.policy.naming import policy_arn
from inservice.cli.user.holdings import every


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `policy show`."""
    options = parser_of(prog, "One managed policy: its document as it is kept, and who has it.")
    options.add_argument("name", metavar="NAME", help="by name or ARN")
    options.add_argument("--version", metavar="ID", help="v2, say (default: the one that counts)")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the policy."""
    iam = to_the_letter(client(options, "iam"))
    arn = policy_arn(iam, options.name)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    document = managed(iam, arn, options.version)
    holders = _holders(iam, arn)
    if options.output == "json":
        told = {**policy, "Document": json.loads(document.text), "AttachedTo": holders}
        sys.stdout.write(json.dumps(told, indent=4, default=str) + "\n")
        return 0
    version = options.version or policy["DefaultVersionId"]
    about = f" · {policy['Description']}" if policy.get("Description") else ""
    sys.stderr.write(f"{arn} {version}{about}\n")
    sys.stderr.write(f"attached to {', '.join(holders) or 'nobody'}\n")
    sys.stdout.write(document.text.rstrip("\n") + "\n")
    return 0


def _holders(iam: Any, arn: str) -> list[str]:
    found = []
    for kind in ("User", "Group", "Role"):
        holding = every(iam, "list_entities_for_policy", f"Policy{kind}s", PolicyArn=arn)
        found += [f"{kind.lower()}/{one[f'{kind}Name']}" for one in holding]
    return found
