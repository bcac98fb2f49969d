"""Users, groups, roles and policies as IAM's answers show them.

Lists show less of each than what is asked for by its name: neither tags nor boundary. Documents of
policies are percent-encoded, as AWS has them in every answer but a simulation's; its SDKs decode
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from inservice.identity import unique_ids
from inservice.identity.iam.arns import told
from inservice.identity.iam.entities import (
    CustomerPolicy,
    Entity,
    Group,
    PolicyVersion,
    Role,
    User,
)
from inservice.identity.iam.held import AnyPolicy
from inservice.identity.iam.trust import text_as_bound
from inservice.operations.registry import Call, Document
from inservice.partitions import partition_of
from inservice.store.base import Reading
from inservice.values import tags_told

AWS_POLICIES_MADE = datetime(2015, 2, 6, tzinfo=UTC).timestamp()
"""When the policies of AWS's own are said to have been made, for clients that read a date: about
when AWS made its first."""


def arn_of(call: Call, arn: str) -> str:
    """An ARN that is kept, in the partition that was asked."""
    return told(arn, partition_of(call.region))


def encoded(document: str) -> str:
    """A policy's document as answers hold it."""
    return quote(document, safe="")


def user_line(call: Call, user: User) -> dict[str, Any]:
    """A user in a list."""
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": arn_of(call, user.arn),
        "CreateDate": user.created_at,
    }


def user_whole(call: Call, user: User) -> dict[str, Any]:
    """A user that was asked for."""
    return {**user_line(call, user), **_boundary(call, user.boundary), **_tags(user.tags)}


def group_line(call: Call, group: Group) -> dict[str, Any]:
    """A group, in a list or by itself."""
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": arn_of(call, group.arn),
        "CreateDate": group.created_at,
    }


def role_line(call: Call, records: Reading, role: Role) -> dict[str, Any]:
    """A role in a list."""
    described = {"Description": role.description} if role.description else {}
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": arn_of(call, role.arn),
        "CreateDate": role.created_at,
        "AssumeRolePolicyDocument": encoded(trust_of(call, records, role)),
        **described,
        "MaxSessionDuration": role.max_session_seconds,
    }


def role_whole(call: Call, records: Reading, role: Role) -> dict[str, Any]:
    """A role that was asked for."""
    return {
        **role_line(call, records, role),
        **_boundary(call, role.boundary),
        **_tags(role.tags),
        "RoleLastUsed": last_used(role),
    }


def trust_of(call: Call, records: Reading, role: Role) -> str:
    """A role's trust policy. Whom it named is told by the ARN that they have by now, and who is
    gone by their id: nobody else has become who was meant."""

    def now(entity_id: str) -> str | None:
        found = records.users.by_id(role.account, entity_id) or records.roles.by_id(
            role.account, entity_id
        )
        return None if found is None else arn_of(call, found.arn)

    return text_as_bound(role.trust, {arn: now(it) or it for arn, it in role.bound.items()})


def last_used(role: Role) -> Document:
    """When a role was last used; nothing of one that never was."""
    if role.used_at is None:
        return {}
    return {"LastUsedDate": role.used_at, "Region": role.used_region}


def attached_of(call: Call, entity: Entity) -> list[Document]:
    """The managed policies that an entity has."""
    return [
        {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn_of(call, arn)}
        for arn in entity.attached
    ]


def inline_of(entity: Entity) -> list[Document]:
    """The inline policies that an entity has, with their documents."""
    return [
        {"PolicyName": each.name, "PolicyDocument": encoded(each.document)}
        for each in sorted(entity.inline, key=lambda each: each.name)
    ]


def policy_line(call: Call, policy: AnyPolicy, attached: int, boundaries: int) -> dict[str, Any]:
    """A managed policy in a list, and how many entities have it, in which way."""
    made = changed = AWS_POLICIES_MADE
    if isinstance(policy, CustomerPolicy):
        made, changed = policy.created_at, policy.modified_at
    return {
        "PolicyName": policy.name,
        "PolicyId": policy_id(policy),
        "Arn": arn_of(call, policy.arn),
        "Path": policy.path,
        "DefaultVersionId": default_version(policy).id,
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": True,
        "CreateDate": made,
        "UpdateDate": changed,
    }


def policy_whole(call: Call, policy: AnyPolicy, attached: int, boundaries: int) -> dict[str, Any]:
    """A managed policy that was asked for."""
    line = policy_line(call, policy, attached, boundaries)
    described = {"Description": policy.description} if policy.description else {}
    tags = tags_told(policy.tags) if isinstance(policy, CustomerPolicy) else []
    return {**line, **described, "Tags": tags}


def policy_id(policy: AnyPolicy) -> str:
    """Its unique id. AWS's own have the same on every server."""
    if isinstance(policy, CustomerPolicy):
        return policy.id
    return unique_ids.unique_id(unique_ids.MANAGED_POLICY, sha256(policy.arn.encode()).digest())


def versions_of(policy: AnyPolicy) -> tuple[PolicyVersion, ...]:
    """All versions of a policy. AWS's own have one here."""
    if isinstance(policy, CustomerPolicy):
        return policy.versions
    return (PolicyVersion(int(policy.version[1:]), policy.document, AWS_POLICIES_MADE),)


def default_version(policy: AnyPolicy) -> PolicyVersion:
    """The version that counts."""
    if isinstance(policy, CustomerPolicy):
        return next(each for each in policy.versions if each.number == policy.default)
    return versions_of(policy)[0]


def version_line(version: PolicyVersion, *, default: bool) -> dict[str, Any]:
    """A version of a policy, without its document."""
    return {
        "VersionId": version.id,
        "IsDefaultVersion": default,
        "CreateDate": version.created_at,
    }


def names(entities: Iterable[Entity]) -> list[str]:
    """Their names, sorted as lists are."""
    return sorted((each.name for each in entities), key=str.lower)


def _boundary(call: Call, arn: str | None) -> Document:
    if arn is None:
        return {}
    told_arn = arn_of(call, arn)
    return {
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": told_arn,
        }
    }


def _tags(tags: Mapping[str, str]) -> Document:
    return {"Tags": tags_told(tags)} if tags else {}
