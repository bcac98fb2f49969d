"""What somebody holds, of the records that the store has; see `identity.iam.held`."""

from __future__ import annotations

from inservice.errors import ServiceUnavailable
from inservice.identity.iam import held
from inservice.identity.iam.entities import Entity
from inservice.identity.iam.held import AnyPolicy, Held, Lookups, Lost
from inservice.store.base import Reading


def held_by(records: Reading, entity: Entity) -> Held:
    """What an entity holds, a user's groups included. Raises ServiceUnavailable where a part of it
    is lost, and nobody can say any more what it may do."""
    try:
        return held.held_by(entity, _lookups(records))
    except Lost as lost:
        raise ServiceUnavailable(
            f"The record of {lost} was damaged and set aside: see docs/howto/recover.md."
        ) from lost


def policy_at(records: Reading, arn: str) -> AnyPolicy | None:
    """The managed policy with an ARN as it is kept; None if there is none."""
    return _lookups(records).policy_at(arn)


def _lookups(records: Reading) -> Lookups:
    return Lookups(group=records.groups.by_id, policy=records.policies.named)
