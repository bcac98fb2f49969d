"""Roles: IAM's, whom others become for a while."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.iam.entities import Role
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

ROLES: Topic[EntityId] = Topic("roles")

_CODEC = Codec(Role)

roles = entity_table("iam_roles", _CODEC)


class RolesReading(EntitiesReading[Role], Protocol):
    """What can be asked."""


class RolesWriting(EntitiesWriting[Role], Protocol):
    """What can be written."""


class RoleRows(EntityRows[Role]):
    """`RolesReading`, with SQL."""

    table, codec = roles, _CODEC


class WritableRoleRows(WritableEntityRows[Role]):
    """`RolesWriting`, with SQL."""

    table, codec, topic = roles, _CODEC, ROLES
