"""Policies: the managed ones that an account made, with all their versions."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.iam.entities import CustomerPolicy
from inservice.store.entities import (
    EntitiesReading,
    EntitiesWriting,
    EntityId,
    EntityRows,
    WritableEntityRows,
    entity_table,
)
from inservice.store.feed import Topic
from inservice.store.kit.codec import Codec

POLICIES: Topic[EntityId] = Topic("policies")

_CODEC = Codec(CustomerPolicy)

policies = entity_table("iam_policies", _CODEC)


class PoliciesReading(EntitiesReading[CustomerPolicy], Protocol):
    """What can be asked."""


class PoliciesWriting(EntitiesWriting[CustomerPolicy], Protocol):
    """What can be written."""


class PolicyRows(EntityRows[CustomerPolicy]):
    """`PoliciesReading`, with SQL."""

    table, codec = policies, _CODEC


class WritablePolicyRows(WritableEntityRows[CustomerPolicy]):
    """`PoliciesWriting`, with SQL."""

    table, codec, topic = policies, _CODEC, POLICIES
