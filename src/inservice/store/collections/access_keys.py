"""Access keys, with their secrets, which are encrypted at rest (see `kit.secrets`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Column, Double, LargeBinary, RowMapping, Text, delete, update
from sqlalchemy.sql.elements import ColumnElement

from inservice.identity.principal import AccessKey, KeyUse, Principal
from inservice.seals import seal_column, sealed
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Account, NameText, table

ACCESS_KEYS: Topic[str] = Topic("access_keys")
"""Named by their ids."""

_ACTIVE, _INACTIVE = "Active", "Inactive"
"""IAM's words for the status of a key."""

access_keys = table(
    "access_keys",
    Column("id", NameText, primary_key=True),
    Column("account", Account, nullable=False),
    Column("principal", Text, nullable=False),  # ARN
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("session_token", LargeBinary, nullable=True),  # encrypted
    Column("expires_at", Double, nullable=True),
    Column("owner", NameText, nullable=False, server_default=""),  # id of the user; root has none
    Column("created_at", Double, nullable=False, server_default="0"),
    Column("status", NameText, nullable=False, server_default=_ACTIVE),
    Column("used_at", Double, nullable=True),
    Column("used_service", Text, nullable=True),
    Column("used_region", Text, nullable=True),
    seal_column("seal", "account", "principal", "secret", "session_token", "expires_at"),
    seal_column("state_seal", "owner", "created_at", "status"),
    seal_column("used_seal", "used_at", "used_service", "used_region"),
)


class AccessKeysReading(Protocol):
    """What can be asked."""

    def all(self) -> Sequence[AccessKey]:
        """Every access key, with its secret."""
        ...

    def of(self, account: str, owner: str) -> Sequence[AccessKey]:
        """The keys of the user with this id, by when they were made; of no id, root's."""
        ...

    def find(self, key_id: str) -> AccessKey | None:
        """One access key; None if there is none."""
        ...


class AccessKeysWriting(AccessKeysReading, Protocol):
    """What can be written."""

    def add(self, key: AccessKey) -> None:
        """Keep an access key, in place of any with that id."""
        ...

    def delete(self, key_id: str) -> None:
        """Forget an access key; nothing happens if there is none."""
        ...

    def used(self, key_id: str, use: KeyUse) -> None:
        """Keep when a key was last used; nothing happens if there is none of that id. It is told
        to nobody: what the key may do is not changed by it."""
        ...


_SEALS = ("seal", "state_seal", "used_seal")


class AccessKeyRows:
    """`AccessKeysReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self) -> Sequence[AccessKey]:
        """See `AccessKeysReading`."""
        return self._found()

    def of(self, account: str, owner: str) -> Sequence[AccessKey]:
        """See `AccessKeysReading`."""
        return self._found(access_keys.c.account == account, access_keys.c.owner == owner)

    def find(self, key_id: str) -> AccessKey | None:
        """See `AccessKeysReading`."""
        found = self._found(access_keys.c.id == key_id)
        return found[0] if found else None

    def _found(self, *where: ColumnElement[bool]) -> Sequence[AccessKey]:
        order = access_keys.c.created_at, access_keys.c.id
        rows = sealed_rows(self._access.sql(), access_keys, _SEALS, *where, order_by=order)
        return [self._key(row) for row in rows]

    def _key(self, row: RowMapping) -> AccessKey:
        secrets, use = self._access.secrets, None
        if row["used_at"] is not None:
            use = KeyUse(row["used_at"], row["used_service"], row["used_region"])
        return AccessKey(
            id=row["id"],
            secret=secrets.open(row["secret"], row["id"]),
            principal=Principal(row["account"], row["principal"], row["owner"]),
            session_token=row["session_token"] and secrets.open(row["session_token"], row["id"]),
            expires_at=row["expires_at"],
            created_at=row["created_at"],
            is_active=row["status"] == _ACTIVE,
            last_use=use,
        )


class WritableAccessKeyRows(AccessKeyRows):
    """`AccessKeysWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def add(self, key: AccessKey) -> None:
        """See `AccessKeysWriting`."""
        self.delete(key.id)
        secrets = self._writing.secrets
        row = {
            "id": key.id,
            "account": key.principal.account,
            "principal": key.principal.arn,
            "secret": secrets.seal(key.secret, key.id),
            "session_token": key.session_token and secrets.seal(key.session_token, key.id),
            "expires_at": key.expires_at,
            "owner": key.principal.id,
            "created_at": key.created_at,
            "status": _ACTIVE if key.is_active else _INACTIVE,
            **_used(key.last_use),
        }
        self._writing.insert(access_keys, [row])

    def delete(self, key_id: str) -> None:
        """See `AccessKeysWriting`."""
        self._writing.sql().execute(delete(access_keys).where(access_keys.c.id == key_id))
        self._writing.changed(ACCESS_KEYS, key_id)

    def used(self, key_id: str, use: KeyUse) -> None:
        """See `AccessKeysWriting`."""
        row = sealed(access_keys, {"id": key_id, **_used(use)})
        is_it = access_keys.c.id == key_id
        self._writing.sql().execute(update(access_keys).where(is_it).values(row))


def _used(use: KeyUse | None) -> dict[str, float | str | None]:
    if use is None:
        return {"used_at": None, "used_service": None, "used_region": None}
    return {"used_at": use.at, "used_service": use.service, "used_region": use.region}
