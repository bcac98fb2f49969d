"""What hangs on a user, and how it is taken down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that has to go before a user can."""

    keys: list[dict[str, Any]]  # as ListAccessKeys has them
    groups: list[str]
    attached: dict[str, str]  # managed policies: ARN by name
    inline: list[str]

    def said(self) -> Iterator[str]:
        """Each in a line, for a person."""
        yield from (f"access key {key['AccessKeyId']} ({key['Status']})" for key in self.keys)
        yield from (f"member of group {name}" for name in self.groups)
        yield from (f"policy {name} ({arn})" for name, arn in self.attached.items())
        yield from (f"inline policy {name}" for name in self.inline)


def every(iam: Any, operation: str, key: str, **members: str) -> list[Any]:
    """All pages of a list."""
    pages = iam.get_paginator(operation).paginate(**members)
    found: list[Any] = pages.build_full_result()[key]
    return found


def holdings_of(iam: Any, name: str) -> Holdings:
    """What hangs on a user."""
    user = {"UserName": name}
    attached = every(iam, "list_attached_user_policies", "AttachedPolicies", **user)
    groups = every(iam, "list_groups_for_user", "Groups", **user)
    return Holdings(
        keys=every(iam, "list_access_keys", "AccessKeyMetadata", **user),
        groups=[group["GroupName"] for group in groups],
        attached={policy["PolicyName"]: policy["PolicyArn"] for policy in attached},
        inline=every(iam, "list_user_policies", "PolicyNames", **user),
    )


def take_down(iam: Any, name: str, holdings: Holdings) -> None:
    """Delete a user and all that hangs on it. The keys go first: whatever stops this half-way, they
    sign nothing any more; and it can be begun again."""
    user = {"UserName": name}
    for key in holdings.keys:
        iam.delete_access_key(AccessKeyId=key["AccessKeyId"], **user)
    for group in holdings.groups:
        iam.remove_user_from_group(GroupName=group, **user)
    for arn in holdings.attached.values():
        iam.detach_user_policy(PolicyArn=arn, **user)
    for policy in holdings.inline:
        iam.delete_user_policy(PolicyName=policy, **user)
    iam.delete_user(**user)
