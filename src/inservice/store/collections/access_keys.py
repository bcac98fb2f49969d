"""Access keys, with their secrets, which are encrypted at rest (see `kit.secrets`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Column, Double, LargeBinary, Text, delete

from inservice.identity.principal import AccessKey, Principal
from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Account, NameText, table

ACCESS_KEYS: Topic[str] = Topic("access_keys")
"""Named by their ids."""

access_keys = table(
    "access_keys",
    Column("id", NameText, primary_key=True),
    Column("account", Account, nullable=False),
    Column("principal", Text, nullable=False),  # ARN
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("session_token", LargeBinary, nullable=True),  # encrypted
    Column("expires_at", Double, nullable=True),
    seal_column("seal", "account", "principal", "secret", "session_token", "expires_at"),
)


class AccessKeysReading(Protocol):
    """What can be asked."""

    def all(self) -> Sequence[AccessKey]:
        """Every access key, with its secret."""
        ...


class AccessKeysWriting(AccessKeysReading, Protocol):
    """What can be written."""

    def add(self, key: AccessKey) -> None:
        """Keep an access key, in place of any with that id."""
        ...

    def delete(self, key_id: str) -> None:
        """Forget an access key; nothing happens if there is none."""
        ...


class AccessKeyRows:
    """`AccessKeysReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self) -> Sequence[AccessKey]:
        """See `AccessKeysReading`."""
        secrets = self._access.secrets
        return [
            AccessKey(
                id=row["id"],
                secret=secrets.open(row["secret"], row["id"]),
                principal=Principal(row["account"], row["principal"]),
                session_token=row["session_token"]
                and secrets.open(row["session_token"], row["id"]),
                expires_at=row["expires_at"],
            )
            for row in sealed_rows(self._access.sql(), access_keys, ("seal",))
        ]


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
        }
        self._writing.insert(access_keys, [row])

    def delete(self, key_id: str) -> None:
        """See `AccessKeysWriting`."""
        self._writing.sql().execute(delete(access_keys).where(access_keys.c.id == key_id))
        self._writing.changed(ACCESS_KEYS, key_id)
