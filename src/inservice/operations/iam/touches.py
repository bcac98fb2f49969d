"""What IAM's operations touch: users, groups, roles and policies, by ARN; lists have none.

An ARN has the path of what is there; of what is not there yet or no more it is the one that the
request would give it. Keys that narrow who may hand out what are `iam:PolicyARN`, of a policy that
is attached or detached, and `iam:PermissionsBoundary`: the one that is put, and for whatever else
changes what somebody holds the one that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from inservice.identity.iam.arns import (
    entity_arn,
    kept,
    provider_arn,
    provider_in,
    taken_apart,
    told,
)
from inservice.identity.iam.entities import CustomerPolicy, Entity, Group
from inservice.identity.iam.held import boundary_of
from inservice.operations.registry import Call, Document, Part, Touch
from inservice.operations.touches import ANY, tags_given
from inservice.partitions import partition_of
from inservice.store.held import policy_at

_MEMBERS = {"user": "UserName", "group": "GroupName", "role": "RoleName"}


def _entity(call: Call, kind: str, name: str) -> Entity | None:
    with call.store.reading() as records:
        match kind:
            case "user":
                return records.users.named(call.account, name)
            case "group":
                return records.groups.named(call.account, name)
            case _:
                return records.roles.named(call.account, name)


def _arn(call: Call, kind: str, name: str, entity: Entity | None, path: str = "/") -> str:
    arn = entity_arn(call.account, kind, path, name) if entity is None else entity.arn
    return told(arn, partition_of(call.region))


def _tags(entity: Entity | CustomerPolicy | None) -> Callable[[], Mapping[str, str]]:
    return lambda: {} if entity is None or isinstance(entity, Group) else entity.tags


def _named(call: Call, members: Document, kind: str) -> tuple[str, Entity | None]:
    """Of a user that is not named it is who asks."""
    name = members.get(_MEMBERS[kind])
    if name is None:
        caller = taken_apart(call.principal)
        name = caller[4] if caller is not None and caller[2] == "user" else ANY
    return name, _entity(call, kind, name)


def _of_kind(kind: str) -> Part:
    def part(call: Call, members: Document) -> Iterable[Touch]:
        name, entity = _named(call, members, kind)
        yield Touch(_arn(call, kind, name, entity), tags=_tags(entity))

    return part


user, group, role = _of_kind("user"), _of_kind("group"), _of_kind("role")


def _holding(kind: str) -> Part:
    """Somebody whose policies change."""

    def part(call: Call, members: Document) -> Iterable[Touch]:
        name, entity = _named(call, members, kind)
        keys = {}
        if (given := members.get("PolicyArn")) is not None:
            keys["iam:policyarn"] = given
        boundary = members.get("PermissionsBoundary") or (entity and boundary_of(entity))
        if boundary:
            keys["iam:permissionsboundary"] = boundary
        yield Touch(_arn(call, kind, name, entity), keys=keys, tags=_tags(entity))

    return part


holding_user, holding_group, holding_role = map(_holding, ("user", "group", "role"))


def _new(kind: str, tagging: str = "") -> Part:
    """One that is made, with tags if the request has some."""

    def part(call: Call, members: Document) -> Iterable[Touch]:
        name, entity = _named(call, members, kind)
        arn = _arn(call, kind, name, entity, members.get("Path") or "/")
        given = tags_given(members)
        boundary = members.get("PermissionsBoundary")
        keys = {} if boundary is None else {"iam:permissionsboundary": boundary}
        yield Touch(arn, keys=keys, tags=lambda: given)
        if given:
            yield Touch(arn, tagging, tags=lambda: given)

    return part


new_user, new_role, new_group = (
    _new("user", "iam:TagUser"),
    _new("role", "iam:TagRole"),
    _new("group"),
)


def renamed(kind: str) -> Part:
    """Both what it is called and what it will be called: else who may change one could become
    another."""

    def part(call: Call, members: Document) -> Iterable[Touch]:
        name, entity = _named(call, members, kind)
        word = _MEMBERS[kind]
        path = members.get("NewPath") or ("/" if entity is None else entity.path)
        new = entity_arn(call.account, kind, path, members.get(f"New{word}") or name)
        becomes = told(new, partition_of(call.region))
        for arn in dict.fromkeys((_arn(call, kind, name, entity), becomes)):
            yield Touch(arn, tags=_tags(entity))

    return part


renamed_user, renamed_group = renamed("user"), renamed("group")


def policy(call: Call, members: Document) -> Iterable[Touch]:
    """That of `PolicyArn`."""
    arn = members["PolicyArn"]
    parts = taken_apart(arn)
    found = None
    if parts is not None and parts[1] == call.account:
        with call.store.reading() as records:
            found = policy_at(records, f"arn:aws:{arn.split(':', 2)[2]}")
    yield Touch(arn, tags=_tags(found if isinstance(found, CustomerPolicy) else None))


def new_policy(call: Call, members: Document) -> Iterable[Touch]:
    """That which is made, with tags if the request has some."""
    own = entity_arn(call.account, "policy", members.get("Path") or "/", members["PolicyName"])
    arn = told(own, partition_of(call.region))
    given = tags_given(members)
    yield Touch(arn, tags=lambda: given)
    if given:
        yield Touch(arn, "iam:TagPolicy", tags=lambda: given)


def provider(call: Call, members: Document) -> Iterable[Touch]:
    """The OIDC provider that is named."""
    arn = members["OpenIDConnectProviderArn"]
    own = kept(arn, partition_of(call.region))
    named = provider_in(own) if own is not None else None
    with call.store.reading() as records:
        found = records.oidc_providers.named(call.account, named[1]) if named else None
    tags = found.tags if found is not None and found.arn == own else {}
    yield Touch(arn, tags=lambda: tags)


def new_provider(call: Call, members: Document) -> Iterable[Touch]:
    """The OIDC provider that is made, with tags if the request has some."""
    own = provider_arn(call.account, members["Url"].partition("://")[2])
    arn = told(own, partition_of(call.region))
    given = tags_given(members)
    yield Touch(arn, tags=lambda: given)
    if given:
        yield Touch(arn, "iam:TagOpenIDConnectProvider", tags=lambda: given)


def owner_of_key(call: Call, members: Document) -> Iterable[Touch]:
    """The user whose access key it is."""
    with call.store.reading() as records:
        key = records.access_keys.find(members["AccessKeyId"])
    known = key is not None and key.principal.account == call.account
    yield Touch(told(key.principal.arn, partition_of(call.region)) if key and known else ANY)


def named_key(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """The access key that is named, by its id: keys have no ARN."""
    yield Touch(members["AccessKeyId"])


def source(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """The user, group or role whose policies are simulated."""
    yield Touch(members["PolicySourceArn"])


def named_policy(call: Call, members: Document) -> Iterable[Touch]:  # noqa: ARG001 - a part's shape
    """A policy that is handed out or taken back, or put as a boundary."""
    arn = members.get("PolicyArn") or members.get("PermissionsBoundary")
    if arn is not None:
        yield Touch(arn)
