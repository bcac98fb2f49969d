"""Tag…, Untag… and List…Tags of users, roles and managed policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.identity.iam.entities import CustomerPolicy
from inservice.identity.iam.limits import with_tags, without_tags
from inservice.operations.iam import touches
from inservice.operations.iam.found import known_policy, own_policy, role_named, user_named
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.registry import Call, Document, operation

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import TagTypeDef


@operation("iam", "TagUser", on=(touches.user,))
def tag_user(call: Call, *, user_name: str, tags: Sequence[TagTypeDef]) -> None:
    """Add tags to a user, over those of the same keys."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        together = with_tags(user.tags, tags, case_matters=False)
        tx.users.save(replace(user, tags=together))


@operation("iam", "TagRole", on=(touches.role,))
def tag_role(call: Call, *, role_name: str, tags: Sequence[TagTypeDef]) -> None:
    """Add tags to a role, over those of the same keys."""
    with call.store.transaction() as tx:
        role = role_named(tx, call, role_name)
        together = with_tags(role.tags, tags, case_matters=False)
        tx.roles.save(replace(role, tags=together))


@operation("iam", "TagPolicy", on=(touches.policy,))
def tag_policy(call: Call, *, policy_arn: str, tags: Sequence[TagTypeDef]) -> None:
    """Add tags to a policy, over those of the same keys."""
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        together = with_tags(policy.tags, tags, case_matters=True)
        tx.policies.save(replace(policy, tags=together))


@operation("iam", "UntagUser", on=(touches.user,))
def untag_user(call: Call, *, user_name: str, tag_keys: Sequence[str]) -> None:
    """Take tags from a user."""
    with call.store.transaction() as tx:
        user = user_named(tx, call, user_name)
        left = without_tags(user.tags, tag_keys, case_matters=False)
        tx.users.save(replace(user, tags=left))


@operation("iam", "UntagRole", on=(touches.role,))
def untag_role(call: Call, *, role_name: str, tag_keys: Sequence[str]) -> None:
    """Take tags from a role."""
    with call.store.transaction() as tx:
        role = role_named(tx, call, role_name)
        left = without_tags(role.tags, tag_keys, case_matters=False)
        tx.roles.save(replace(role, tags=left))


@operation("iam", "UntagPolicy", on=(touches.policy,))
def untag_policy(call: Call, *, policy_arn: str, tag_keys: Sequence[str]) -> None:
    """Take tags from a policy."""
    with call.store.transaction() as tx:
        policy = own_policy(tx, call, policy_arn)
        left = without_tags(policy.tags, tag_keys, case_matters=True)
        tx.policies.save(replace(policy, tags=left))


@operation("iam", "ListUserTags", on=(touches.user,))
def list_user_tags(
    call: Call, *, user_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """The tags of a user."""
    with call.store.reading() as records:
        user = user_named(records, call, user_name)
    return tags_page(call, user.id, user.tags, marker, max_items)


@operation("iam", "ListRoleTags", on=(touches.role,))
def list_role_tags(
    call: Call, *, role_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """The tags of a role."""
    with call.store.reading() as records:
        role = role_named(records, call, role_name)
    return tags_page(call, role.id, role.tags, marker, max_items)


@operation("iam", "ListPolicyTags", on=(touches.policy,))
def list_policy_tags(
    call: Call, *, policy_arn: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """The tags of a policy; AWS's own have none."""
    with call.store.reading() as records:
        policy = known_policy(records, call, policy_arn)
    tags = policy.tags if isinstance(policy, CustomerPolicy) else {}
    return tags_page(call, policy.arn, tags, marker, max_items)


def tags_page(
    call: Call, of: str, tags: Mapping[str, str], marker: str | None, max_items: int
) -> Document:
    """A page of tags of what is named `of`.

    A Marker has room for 320 characters and a key may have more than that as text, so a page
    ends at a number here.
    """
    pages = Pages.of(call, ("ListTags", of), marker, max_items)
    keys = sorted(tags)
    shown, more = pages.numbers(len(keys))
    return {"Tags": [{"Key": keys[n], "Value": tags[keys[n]]} for n in shown], **more}
