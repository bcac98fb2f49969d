"""Which managed policies users, groups and roles have, and who has one: Attach…, Detach…,
ListAttached…, and ListEntitiesForPolicy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.identity.iam.entities import Entity, Group, Role, User
from inservice.identity.iam.errors import LimitExceeded, NoSuchEntity, PolicyNotAttachable
from inservice.identity.iam.held import boundary_of
from inservice.identity.iam.limits import ATTACHED_MAX
from inservice.operations.iam import touches
from inservice.operations.iam.found import (
    attachable,
    entity_named,
    known_policy,
    own_entity_named,
    policy_arn,
    save,
)
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.iam.policies import holders
from inservice.operations.iam.shown import attached_of
from inservice.operations.registry import Call, Document, operation

if TYPE_CHECKING:
    from types_boto3_iam.literals import EntityTypeType, PolicyUsageTypeType

SERVICE_ROLES = ":policy/aws-service-role/"
"""In the ARN of a policy that only a service's own role may have."""


@operation("iam", "AttachUserPolicy", on=(touches.holding_user,), told=(touches.named_policy,))
def attach_user_policy(call: Call, *, user_name: str, policy_arn: str) -> None:
    """Give a user a managed policy; one that it has is nothing to complain about."""
    _attach(call, "user", user_name, policy_arn)


@operation("iam", "AttachGroupPolicy", on=(touches.holding_group,), told=(touches.named_policy,))
def attach_group_policy(call: Call, *, group_name: str, policy_arn: str) -> None:
    """Give a group a managed policy; one that it has is nothing to complain about."""
    _attach(call, "group", group_name, policy_arn)


@operation("iam", "AttachRolePolicy", on=(touches.holding_role,), told=(touches.named_policy,))
def attach_role_policy(call: Call, *, role_name: str, policy_arn: str) -> None:
    """Give a role a managed policy; one that it has is nothing to complain about."""
    _attach(call, "role", role_name, policy_arn)


@operation("iam", "DetachUserPolicy", on=(touches.holding_user,), told=(touches.named_policy,))
def detach_user_policy(call: Call, *, user_name: str, policy_arn: str) -> None:
    """Take a managed policy from a user. Raises NoSuchEntity for one that it has not."""
    _detach(call, "user", user_name, policy_arn)


@operation("iam", "DetachGroupPolicy", on=(touches.holding_group,), told=(touches.named_policy,))
def detach_group_policy(call: Call, *, group_name: str, policy_arn: str) -> None:
    """Take a managed policy from a group. Raises NoSuchEntity for one that it has not."""
    _detach(call, "group", group_name, policy_arn)


@operation("iam", "DetachRolePolicy", on=(touches.holding_role,), told=(touches.named_policy,))
def detach_role_policy(call: Call, *, role_name: str, policy_arn: str) -> None:
    """Take a managed policy from a role. Raises NoSuchEntity for one that it has not."""
    _detach(call, "role", role_name, policy_arn)


@operation("iam", "ListAttachedUserPolicies", on=(touches.user,))
def list_attached_user_policies(
    call: Call,
    *,
    user_name: str,
    path_prefix: str = "/",
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """The managed policies that a user has itself."""
    return _attached(call, "user", user_name, path_prefix, marker, max_items)


@operation("iam", "ListAttachedGroupPolicies", on=(touches.group,))
def list_attached_group_policies(
    call: Call,
    *,
    group_name: str,
    path_prefix: str = "/",
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """The managed policies that a group has."""
    return _attached(call, "group", group_name, path_prefix, marker, max_items)


@operation("iam", "ListAttachedRolePolicies", on=(touches.role,))
def list_attached_role_policies(
    call: Call,
    *,
    role_name: str,
    path_prefix: str = "/",
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """The managed policies that a role has."""
    return _attached(call, "role", role_name, path_prefix, marker, max_items)


@operation("iam", "ListEntitiesForPolicy", on=(touches.policy,))
def list_entities_for_policy(
    call: Call,
    *,
    policy_arn: str,
    entity_filter: EntityTypeType | None = None,
    path_prefix: str = "/",
    policy_usage_filter: PolicyUsageTypeType | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """Groups, roles and users that have a policy, attached or as their boundary."""
    kinds = {"User": (User,), "Role": (Role,), "Group": (Group,)}
    wanted = (User, Role, Group) if entity_filter is None else kinds.get(entity_filter, ())
    with call.store.reading() as records:
        arn = known_policy(records, call, policy_arn).arn
        found = [
            each
            for each in holders(records, call, arn)
            if isinstance(each, wanted) and each.path.startswith(path_prefix)
        ]
    if policy_usage_filter == "PermissionsPolicy":
        found = [each for each in found if arn in each.attached]
    elif policy_usage_filter == "PermissionsBoundary":
        found = [each for each in found if boundary_of(each) == arn]
    asked = ("ListEntitiesForPolicy", arn, entity_filter, path_prefix, policy_usage_filter)
    pages = Pages.of(call, asked, marker, max_items)
    shown, more = pages.cut(found, lambda each: f"{type(each).__name__} {each.name.lower()}")
    users = [{"UserName": e.name, "UserId": e.id} for e in shown if isinstance(e, User)]
    groups = [{"GroupName": e.name, "GroupId": e.id} for e in shown if isinstance(e, Group)]
    roles = [{"RoleName": e.name, "RoleId": e.id} for e in shown if isinstance(e, Role)]
    return {"PolicyGroups": groups, "PolicyUsers": users, "PolicyRoles": roles, **more}


def _attach(call: Call, kind: str, name: str, arn: str) -> None:
    with call.store.transaction() as tx:
        entity = own_entity_named(tx, call, kind, name)
        own = attachable(tx, call, arn, "Policy")
        if SERVICE_ROLES in own:
            raise PolicyNotAttachable(f"Policy {arn} is not attachable.")
        if own in entity.attached:
            return
        if len(entity.attached) >= ATTACHED_MAX:
            raise LimitExceeded.of(f"PoliciesPer{kind.capitalize()}", ATTACHED_MAX)
        save(tx, _with_attached(entity, (*entity.attached, own)))


def _detach(call: Call, kind: str, name: str, arn: str) -> None:
    with call.store.transaction() as tx:
        entity = own_entity_named(tx, call, kind, name)
        own = policy_arn(call, arn)
        if own not in entity.attached:
            raise NoSuchEntity(f"Policy {arn} was not found.")
        save(tx, _with_attached(entity, tuple(one for one in entity.attached if one != own)))


def _with_attached(entity: Entity, attached: tuple[str, ...]) -> Entity:
    return replace(entity, attached=attached)


def _attached(
    call: Call, kind: str, name: str, path_prefix: str, marker: str | None, size: int
) -> Document:
    with call.store.reading() as records:
        entity = entity_named(records, call, kind, name)
    pages = Pages.of(call, ("ListAttached", kind, entity.id, path_prefix), marker, size)
    lines = [
        line
        for line in attached_of(call, entity)
        if line["PolicyArn"].split(":policy", 1)[1].startswith(path_prefix)
    ]
    shown, more = pages.cut(lines, _place)
    return {"AttachedPolicies": shown, **more}


def _place(line: Document) -> str:
    """Of two that have one name, one is AWS's."""
    return f"{line['PolicyName'].lower()} {'::aws:' in line['PolicyArn']}"
