"""Inline policies of users, groups and roles: Put…, Get…, Delete…, List…Policies.

Their names are found whatever their case. The first spelling stays when one is put again, and a
Get answers with the spelling that it was asked by.
"""

from __future__ import annotations

from dataclasses import replace

from inservice.identity.iam.entities import Entity, InlinePolicy, by_name
from inservice.identity.iam.errors import LimitExceeded, NoSuchEntity
from inservice.identity.policies.document import (
    GROUP_INLINE_SIZE_MAX,
    ROLE_INLINE_SIZE_MAX,
    USER_INLINE_SIZE_MAX,
    parse_policy,
)
from inservice.identity.policies.grammar import PolicyKind
from inservice.operations.iam import touches
from inservice.operations.iam.found import entity_named, own_entity_named, save
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.shown import encoded
from inservice.operations.registry import Call, Document, operation

SIZES = {
    "user": USER_INLINE_SIZE_MAX,
    "group": GROUP_INLINE_SIZE_MAX,
    "role": ROLE_INLINE_SIZE_MAX,
}
"""How many characters all inline policies of one entity may have together."""


@operation("iam", "PutUserPolicy", on=(touches.holding_user,))
def put_user_policy(call: Call, *, user_name: str, policy_name: str, policy_document: str) -> None:
    """Keep an inline policy of a user, in place of any of that name."""
    _put(call, "user", user_name, policy_name, policy_document)


@operation("iam", "PutGroupPolicy", on=(touches.holding_group,))
def put_group_policy(
    call: Call, *, group_name: str, policy_name: str, policy_document: str
) -> None:
    """Keep an inline policy of a group, in place of any of that name."""
    _put(call, "group", group_name, policy_name, policy_document)


@operation("iam", "PutRolePolicy", on=(touches.holding_role,))
def put_role_policy(call: Call, *, role_name: str, policy_name: str, policy_document: str) -> None:
    """Keep an inline policy of a role, in place of any of that name."""
    _put(call, "role", role_name, policy_name, policy_document)


@operation("iam", "GetUserPolicy", on=(touches.user,))
def get_user_policy(call: Call, *, user_name: str, policy_name: str) -> Document:
    """An inline policy of a user."""
    entity, policy = _get(call, "user", user_name, policy_name)
    return {"UserName": entity.name, "PolicyName": policy_name, "PolicyDocument": policy}


@operation("iam", "GetGroupPolicy", on=(touches.group,))
def get_group_policy(call: Call, *, group_name: str, policy_name: str) -> Document:
    """An inline policy of a group."""
    entity, policy = _get(call, "group", group_name, policy_name)
    return {"GroupName": entity.name, "PolicyName": policy_name, "PolicyDocument": policy}


@operation("iam", "GetRolePolicy", on=(touches.role,))
def get_role_policy(call: Call, *, role_name: str, policy_name: str) -> Document:
    """An inline policy of a role."""
    entity, policy = _get(call, "role", role_name, policy_name)
    return {"RoleName": entity.name, "PolicyName": policy_name, "PolicyDocument": policy}


@operation("iam", "DeleteUserPolicy", on=(touches.holding_user,))
def delete_user_policy(call: Call, *, user_name: str, policy_name: str) -> None:
    """Forget an inline policy of a user."""
    _delete(call, "user", user_name, policy_name)


@operation("iam", "DeleteGroupPolicy", on=(touches.holding_group,))
def delete_group_policy(call: Call, *, group_name: str, policy_name: str) -> None:
    """Forget an inline policy of a group."""
    _delete(call, "group", group_name, policy_name)


@operation("iam", "DeleteRolePolicy", on=(touches.holding_role,))
def delete_role_policy(call: Call, *, role_name: str, policy_name: str) -> None:
    """Forget an inline policy of a role."""
    _delete(call, "role", role_name, policy_name)


@operation("iam", "ListUserPolicies", on=(touches.user,))
def list_user_policies(
    call: Call, *, user_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Names of the inline policies of a user."""
    return _list(call, "user", user_name, marker, max_items)


@operation("iam", "ListGroupPolicies", on=(touches.group,))
def list_group_policies(
    call: Call, *, group_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Names of the inline policies of a group."""
    return _list(call, "group", group_name, marker, max_items)


@operation("iam", "ListRolePolicies", on=(touches.role,))
def list_role_policies(
    call: Call, *, role_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """Names of the inline policies of a role."""
    return _list(call, "role", role_name, marker, max_items)


def _put(call: Call, kind: str, name: str, policy_name: str, document: str) -> None:
    size = parse_policy(document, PolicyKind.IDENTITY).size
    with call.store.transaction() as tx:
        entity = own_entity_named(tx, call, kind, name)
        before = by_name(entity.inline, policy_name)
        others = tuple(each for each in entity.inline if each is not before)
        size += sum(parse_policy(each.document, PolicyKind.IDENTITY).size for each in others)
        if size > SIZES[kind]:
            raise LimitExceeded(
                f"Maximum policy size of {SIZES[kind]} bytes exceeded for {kind} {entity.name}"
            )
        put = InlinePolicy(policy_name if before is None else before.name, document)
        save(tx, _with_inline(entity, (*others, put)))


def _get(call: Call, kind: str, name: str, policy_name: str) -> tuple[Entity, str]:
    with call.store.reading() as records:
        entity = entity_named(records, call, kind, name)
    return entity, encoded(_known(entity, kind, policy_name).document)


def _delete(call: Call, kind: str, name: str, policy_name: str) -> None:
    with call.store.transaction() as tx:
        entity = own_entity_named(tx, call, kind, name)
        gone = _known(entity, kind, policy_name)
        save(tx, _with_inline(entity, tuple(one for one in entity.inline if one is not gone)))


def _list(call: Call, kind: str, name: str, marker: str | None, max_items: int) -> Document:
    with call.store.reading() as records:
        entity = entity_named(records, call, kind, name)
    pages = Pages.of(call, ("ListInline", kind, entity.id), marker, max_items)
    shown, more = pages.cut([each.name for each in entity.inline], str.lower)
    return {"PolicyNames": shown, **more}


def _known(entity: Entity, kind: str, policy_name: str) -> InlinePolicy:
    policy = by_name(entity.inline, policy_name)
    if policy is None:
        raise NoSuchEntity(f"The {kind} policy with name {policy_name} cannot be found.")
    return policy


def _with_inline(entity: Entity, inline: tuple[InlinePolicy, ...]) -> Entity:
    return replace(entity, inline=inline)
