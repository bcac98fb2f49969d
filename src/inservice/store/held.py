"""What a user, group or role holds: every policy that speaks for it, and its boundary.

A policy that is attached and not there, since its record was damaged and set aside, is not passed
over: it may have been what denied something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from inservice.errors import ServiceUnavailable
from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy
from inservice.identity.iam.arns import AWS_ACCOUNT, taken_apart
from inservice.identity.iam.entities import CustomerPolicy, Entity, Group, User
from inservice.identity.managed import ManagedPolicy
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal
from inservice.store.base import Reading

AnyPolicy = CustomerPolicy | ManagedPolicy
"""A policy that can be attached: the account's own, or one of AWS's."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that somebody has."""

    principal: Principal | None  # whom requests come from; None for a group
    policies: tuple[AttachedPolicy, ...]
    boundary: AttachedPolicy | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def held_by(records: Reading, entity: Entity) -> Held:
    """What an entity holds, a user's groups included. Raises ServiceUnavailable."""
    policies = list(_of(records, entity))
    if isinstance(entity, User):
        for group_id in entity.groups:
            group = records.groups.by_id(entity.account, group_id)
            if group is None:
                raise _lost(f"group {group_id}")
            policies += _of(records, group)
    if isinstance(entity, Group):
        return Held(None, tuple(policies))
    bound = boundary_of(entity)
    return Held(
        Principal(entity.account, entity.arn, entity.id),
        tuple(policies),
        None if bound is None else _managed(records, bound, entity, PolicyKind.BOUNDARY),
        entity.tags,
    )


def policy_at(records: Reading, arn: str) -> AnyPolicy | None:
    """The policy with an ARN as it is kept; None if there is none."""
    parts = taken_apart(arn)
    if parts is None:
        return None
    _, account, _, _, name = parts
    if account == AWS_ACCOUNT:
        return managed.find(arn)
    policy = records.policies.named(account, name)
    # Names are found whatever their case, ARNs only as they are.
    return policy if policy is not None and policy.arn == arn else None


def boundary_of(entity: Entity) -> str | None:
    """The ARN of its boundary; a group never has one."""
    return None if isinstance(entity, Group) else entity.boundary


def kind_of(entity: Entity) -> str:
    """`user`, `group` or `role`."""
    return type(entity).__name__.lower()


def _of(records: Reading, entity: Entity) -> Iterator[AttachedPolicy]:
    for inline in entity.inline:
        policy = parse_policy(inline.document, PolicyKind.IDENTITY)
        name = f"{kind_of(entity)}_{entity.name}_{inline.name}"
        yield AttachedPolicy(policy, name, holder=entity.arn)
    for arn in entity.attached:
        yield _managed(records, arn, entity, PolicyKind.MANAGED)


def _managed(records: Reading, arn: str, holder: Entity, kind: PolicyKind) -> AttachedPolicy:
    policy = policy_at(records, arn)
    if policy is None:
        raise _lost(f"policy {arn}")
    return AttachedPolicy(parse_policy(policy.document, kind), policy.name, arn, holder.arn)


def _lost(what: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The record of {what} was damaged and set aside: see docs/howto/recover.md."
    )
