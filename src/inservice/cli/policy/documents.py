"""Policy documents as they are kept, to the letter: botocore would give what they say, without the
lines in which they say it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from botocore.exceptions import ClientError

from inservice.cli.user.holdings import every


@dataclass(frozen=True, slots=True)
class Document:
    """A policy that somebody has."""

    id: str  # as simulations call it
    name: str
    origin: str  # ARN of a managed policy; whose it is, of one that is embedded
    text: str

    def statement_at(self, line: int, column: int, end: tuple[int, int]) -> dict[str, Any] | None:
        """The statement between two places, counted from 1, as simulations tell them; None if this
        document has none there."""
        lines = self.text.split("\n")[line - 1 : end[0]]
        if not lines:
            return None
        lines[-1] = lines[-1][: end[1]]
        lines[0] = lines[0][column - 1 :]
        try:
            found = json.loads("\n".join(lines))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


def to_the_letter(iam: Any) -> Any:
    """The client, which gives documents as text from now on."""
    from botocore.handlers import json_decode_policies

    iam.meta.events.unregister("after-call.iam", json_decode_policies)
    return iam


def managed(iam: Any, arn: str, version: str | None = None) -> Document:
    """A managed policy's document, by default of the version that counts."""
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = version or policy["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    name = policy["PolicyName"]
    return Document(name, name, arn, unquote(found["Document"]))


_MEMBERS: Final = {"user": "UserName", "role": "RoleName", "group": "GroupName"}


def held(iam: Any, kind: str, name: str) -> Iterator[Document]:
    """All that a user, a role or a group has, a user's groups included, as far as whoever asks may
    see it."""
    who = {_MEMBERS[kind]: name}
    try:
        if kind != "group":
            found = getattr(iam, f"get_{kind}")(**who)[kind.capitalize()]
            if bound := found.get("PermissionsBoundary"):
                yield managed(iam, bound["PermissionsBoundaryArn"])
        attached = every(iam, f"list_attached_{kind}_policies", "AttachedPolicies", **who)
        yield from (managed(iam, policy["PolicyArn"]) for policy in attached)
        for policy in every(iam, f"list_{kind}_policies", "PolicyNames", **who):
            answer = getattr(iam, f"get_{kind}_policy")(PolicyName=policy, **who)
            text = unquote(answer["PolicyDocument"])
            yield Document(f"{kind}_{name}_{policy}", policy, f"{kind}/{name}", text)
        if kind == "user":
            for group in every(iam, "list_groups_for_user", "Groups", **who):
                yield from held(iam, "group", group["GroupName"])
    except ClientError as error:
        if not error.response["Error"].get("Code", "").startswith("AccessDenied"):
            raise
