"""Groups: IAM's. Who is in one is told by the user."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.iam.entities import Group
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

GROUPS: Topic[EntityId] = Topic("groups")

_CODEC = Codec(Group)

groups = entity_table("iam_groups", _CODEC)


class GroupsReading(EntitiesReading[Group], Protocol):
    """What can be asked."""


class GroupsWriting(EntitiesWriting[Group], Protocol):
    """What can be written."""


class GroupRows(EntityRows[Group]):
    """`GroupsReading`, with SQL."""

    table, codec = groups, _CODEC


class WritableGroupRows(WritableEntityRows[Group]):
    """`GroupsWriting`, with SQL."""

    table, codec, topic = groups, _CODEC, GROUPS
