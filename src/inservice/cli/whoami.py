"""`inservice whoami`: whose key is used here, where it is from, and what its owner holds."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Final

from botocore.exceptions import ClientError

from inservice.cli.connection import client, explained, parser_of
from inservice.cli.endpoint.drawing import aligned
from inservice.cli.target import data_directory, find_target
from inservice.cli.user.holdings import every

_SOURCES: Final = {
    "env": "AWS_ACCESS_KEY_ID of this shell",
    "shared-credentials-file": "the credentials file of the AWS configuration",
    "config-file": "the config file of the AWS configuration",
}
"""What botocore calls them."""


def run(argv: list[str]) -> int:
    """Answer `inservice whoami`."""
    options = parser_of(
        "inservice whoami",
        "Whose key a command signs with here, where it comes from, and which groups and policies "
        "its owner has, if they may see that.",
    )
    options.add_argument("--output", choices=("text", "json"), default="text")
    return explained(_tell, options.parse_args(argv))


def _tell(options: argparse.Namespace) -> int:
    sts = client(options, "sts")
    caller = sts.get_caller_identity()
    key_id, source = _key(options)
    told: dict[str, Any] = {
        "Arn": caller["Arn"],
        "Account": caller["Account"],
        "UserId": caller["UserId"],
        "Kind": kind_of(caller["Arn"]),
        "AccessKeyId": key_id,
        "Source": source,
        "EndpointUrl": sts.meta.endpoint_url,
    }
    if told["Kind"] == "user":
        told |= _holdings(options, caller["Arn"].rpartition("/")[2])
    if options.output == "json":
        sys.stdout.write(json.dumps(told, indent=4) + "\n")
        return 0
    rows = [
        ("kind", told["Kind"]),
        ("account", told["Account"]),
        ("user id", told["UserId"]),
        ("key", f"{key_id}, from {source}"),
        ("server", told["EndpointUrl"]),
    ]
    for word, member in (("group", "Groups"), ("policy", "Policies")):
        if member in told:
            held = told[member]
            rows.append((word, "may not be seen" if held is None else ", ".join(held) or "none"))
    sys.stdout.write(f"{told['Arn']}\n")
    sys.stdout.writelines(f"  {line}\n" for line in aligned(rows))
    return 0


def kind_of(arn: str) -> str:
    """What kind of principal an ARN names."""
    kind = arn.split(":", 5)[-1].partition("/")[0]
    return {"assumed-role": "role session", "federated-user": "federated user"}.get(kind, kind)


def _key(options: argparse.Namespace) -> tuple[str, str]:
    """The key's id, and where it is from."""
    target = find_target(
        data_dir=options.data_dir, endpoint_url=options.endpoint_url, profile=options.profile
    )
    if target is not None:
        directory = data_directory(options.data_dir, os.environ)
        return target.access_key_id, str(directory / "credentials.json")
    import botocore.session

    session = botocore.session.Session(profile=options.profile)
    credentials = session.get_credentials()
    assert credentials is not None, "the call before would have failed"
    profile = session.get_config_variable("profile")
    source = _SOURCES.get(credentials.method, str(credentials.method))
    where = f", profile {profile}" if profile and credentials.method != "env" else ""
    return str(credentials.access_key), f"{source}{where}"


def _holdings(options: argparse.Namespace, name: str) -> dict[str, list[str] | None]:
    """Groups and policies; None for what may not be seen."""
    iam = client(options, "iam")

    def names(operation: str, key: str, member: str | None) -> list[str] | None:
        try:
            found = every(iam, operation, key, UserName=name)
        except ClientError as error:
            if error.response["Error"].get("Code", "").startswith("AccessDenied"):
                return None
            raise
        return [one if member is None else one[member] for one in found]

    attached = names("list_attached_user_policies", "AttachedPolicies", "PolicyName")
    inline = names("list_user_policies", "PolicyNames", None)
    return {
        "Groups": names("list_groups_for_user", "Groups", "GroupName"),
        "Policies": None if attached is None or inline is None else [*attached, *inline],
    }
