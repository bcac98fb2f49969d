"""What a user, group or role holds: every policy that speaks for it, and its boundary.

It is gathered of records that are looked up, so how they are kept is not known here. A policy that
is attached and not there, since its record was damaged and set aside, is not passed over: it may
have been what denied something. So it is for a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy
from inservice.identity.iam.arns import AWS_ACCOUNT, taken_apart
from inservice.identity.iam.entities import CustomerPolicy, Entity, Group, User
from inservice.identity.managed import ManagedPolicy
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal

AnyPolicy = CustomerPolicy | ManagedPolicy
"""A policy that can be attached: the account's own, or one of AWS's."""


class Lost(Exception):
    """What an entity refers to is not there; the message names it. Nobody can say any more what the
    entity may do, so it may do nothing."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that somebody has."""

    principal: Principal | None  # whom requests come from; None for a group
    policies: tuple[AttachedPolicy, ...]
    boundary: AttachedPolicy | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookups:
    """Where the records are found that entities refer to."""

    group: Callable[[str, str], Group | None]  # by account and id
    policy: Callable[[str, str], CustomerPolicy | None]  # by account and name, whatever its case

    def policy_at(self, arn: str) -> AnyPolicy | None:
        """The policy with an ARN as it is kept; None if there is none. Names are found whatever
        their case, ARNs only as they are."""
        parts = taken_apart(arn)
        if parts is None or parts[2] != "policy":
            return None
        _, account, _, _, name = parts
        if account == AWS_ACCOUNT:
            return managed.find(arn)
        policy = self.policy(account, name)
        return policy if policy is not None and policy.arn == arn else None


def held_by(entity: Entity, lookups: Lookups) -> Held:
    """What an entity holds, a user's groups included. Raises Lost."""
    policies = list(_of(entity, lookups))
    if isinstance(entity, User):
        for group_id in entity.groups:
            group = lookups.group(entity.account, group_id)
            if group is None:
                raise Lost(f"group {group_id}")
            policies += _of(group, lookups)
    if isinstance(entity, Group):
        return Held(None, tuple(policies))
    bound = boundary_of(entity)
    return Held(
        Principal(entity.account, entity.arn, entity.id),
        tuple(policies),
        None if bound is None else _managed(bound, entity, PolicyKind.BOUNDARY, lookups),
        entity.tags,
    )


def boundary_of(entity: Entity) -> str | None:
    """The ARN of its boundary; a group never has one."""
    return None if isinstance(entity, Group) else entity.boundary


def _of(entity: Entity, lookups: Lookups) -> Iterator[AttachedPolicy]:
    kind = type(entity).__name__.lower()
    for inline in entity.inline:
        policy = parse_policy(inline.document, PolicyKind.IDENTITY)
        yield AttachedPolicy(policy, f"{kind}_{entity.name}_{inline.name}", holder=entity.arn)
    for arn in entity.attached:
        yield _managed(arn, entity, PolicyKind.MANAGED, lookups)


def _managed(arn: str, holder: Entity, kind: PolicyKind, lookups: Lookups) -> AttachedPolicy:
    policy = lookups.policy_at(arn)
    if policy is None:
        raise Lost(f"policy {arn}")
    return AttachedPolicy(parse_policy(policy.document, kind), policy.name, arn, holder.arn)
