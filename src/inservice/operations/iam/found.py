"""Finding what a request names, and IAM's word when it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from inservice.errors import ValidationError
from inservice.identity.iam.arns import AWS_ACCOUNT, kept, taken_apart
from inservice.identity.iam.entities import CustomerPolicy, Entity, Group, Role, User
from inservice.identity.iam.errors import InvalidInput, NoSuchEntity, UnmodifiableEntity
from inservice.identity.iam.held import AnyPolicy
from inservice.operations.registry import Call
from inservice.partitions import partition_of
from inservice.store.base import Reading, Transaction
from inservice.store.held import policy_at
from inservice.store.listing import EntityQuery

_E = TypeVar("_E", User, Group, Role)


def user_named(records: Reading, call: Call, name: str) -> User:
    """The user. Raises NoSuchEntity."""
    user = records.users.named(call.account, name)
    if user is None:
        raise NoSuchEntity(f"The user with name {name} cannot be found.")
    return user


def group_named(records: Reading, call: Call, name: str) -> Group:
    """The group. Raises NoSuchEntity."""
    group = records.groups.named(call.account, name)
    if group is None:
        raise NoSuchEntity(f"The group with name {name} cannot be found.")
    return group


def role_named(records: Reading, call: Call, name: str) -> Role:
    """The role. Raises NoSuchEntity."""
    role = records.roles.named(call.account, name)
    if role is None:
        raise NoSuchEntity(f"The role with name {name} cannot be found.")
    return role


def own_role_named(records: Reading, call: Call, name: str) -> Role:
    """A role that is to be changed. Raises NoSuchEntity, and UnmodifiableEntity for a service's."""
    role = role_named(records, call, name)
    if role.service:
        raise UnmodifiableEntity(role.name)
    return role


def entity_named(records: Reading, call: Call, kind: str, name: str) -> Entity:
    """A `user`, `group` or `role` to be read. Raises NoSuchEntity."""
    find: Any = {"user": user_named, "group": group_named, "role": role_named}[kind]
    entity: Entity = find(records, call, name)
    return entity


def entity_at(records: Reading, call: Call, arn: str) -> Entity:
    """The user, group or role with an ARN. Its path is not looked at, which AWS does not do
    either. Raises InvalidInput and NoSuchEntity."""
    own = kept(arn, partition_of(call.region))
    parts = taken_apart(own) if own is not None else None
    if parts is None or parts[1] != call.account or parts[2] not in ("user", "group", "role"):
        raise InvalidInput(
            f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
        )
    return entity_named(records, call, parts[2], parts[4])


def own_entity_named(records: Reading, call: Call, kind: str, name: str) -> Entity:
    """One to be changed. Raises NoSuchEntity and UnmodifiableEntity."""
    if kind == "role":
        return own_role_named(records, call, name)
    return entity_named(records, call, kind, name)


def save(tx: Transaction, entity: Entity) -> None:
    """Keep an entity of whichever kind it is."""
    match entity:
        case User():
            tx.users.save(entity)
        case Group():
            tx.groups.save(entity)
        case Role():
            tx.roles.save(entity)


def every_entity(records: Reading, query: EntityQuery) -> Sequence[Entity]:
    """Users, groups and roles, in this order."""
    return [
        *records.users.select(query),
        *records.groups.select(query),
        *records.roles.select(query),
    ]


def caller_s_user_name(call: Call) -> str:
    """Whom a request means that names no user: whoever signed it. Raises ValidationError for who is
    no user."""
    found = taken_apart(call.principal)
    if found is None or found[2] != "user":
        raise ValidationError("Must specify userName when calling with non-User credentials")
    return found[4]


def policy_arn(call: Call, arn: str) -> str:
    """The ARN of a managed policy, as it is kept. Raises InvalidInput for what is none."""
    own = kept(arn, partition_of(call.region))
    parts = taken_apart(own) if own is not None else None
    if own is None or parts is None or parts[2] != "policy":
        raise InvalidInput(f"ARN {arn} is not valid.")
    return own


def known_policy(records: Reading, call: Call, arn: str) -> AnyPolicy:
    """The policy that a request names. Raises InvalidInput and NoSuchEntity."""
    own = policy_arn(call, arn)
    policy = policy_at(records, own) if _is_ours(call, own) else None
    if policy is None:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return policy


def own_policy(records: Reading, call: Call, arn: str) -> CustomerPolicy:
    """A policy that is to be changed. Raises InvalidInput, which one of AWS's is here, and
    NoSuchEntity."""
    policy = known_policy(records, call, arn)
    if not isinstance(policy, CustomerPolicy):
        raise InvalidInput(f"ARN {arn} is not valid.")
    return policy


def attachable(records: Reading, call: Call, arn: str, refused: str) -> str:
    """The ARN, as it is kept, of a policy that is to be attached. Raises InvalidInput, and
    NoSuchEntity with `refused` before the ARN."""
    own = policy_arn(call, arn)
    if not _is_ours(call, own) or policy_at(records, own) is None:
        raise NoSuchEntity(f"{refused} {arn} does not exist or is not attachable.")
    return own


def _is_ours(call: Call, arn: str) -> bool:
    """Nobody learns what another account has."""
    return arn.split(":", 5)[4] in (call.account, AWS_ACCOUNT)
