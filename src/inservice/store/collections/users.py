"""Users: IAM's, with all that hangs on each; their access keys are a noun of their own."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.iam.entities import User
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

USERS: Topic[EntityId] = Topic("users")

_CODEC = Codec(User)

users = entity_table("iam_users", _CODEC)


class UsersReading(EntitiesReading[User], Protocol):
    """What can be asked."""


class UsersWriting(EntitiesWriting[User], Protocol):
    """What can be written."""


class UserRows(EntityRows[User]):
    """`UsersReading`, with SQL."""

    table, codec = users, _CODEC


class WritableUserRows(WritableEntityRows[User]):
    """`UsersWriting`, with SQL."""

    table, codec, topic = users, _CODEC, USERS
