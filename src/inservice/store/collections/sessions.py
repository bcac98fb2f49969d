"""Sessions: temporary access keys and the terms on which each was given.

They are a noun of their own beside `access_keys`: there are many, they come and go by themselves,
and whoever hears of one reads that one. Secret and token are encrypted at rest (see `kit.secrets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Column, Double, Index, LargeBinary, RowMapping, Text, delete, func, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.identity.principal import AccessKey, Session
from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.codec import Codec
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Account, Inspected, NameText, table

SESSIONS: Topic[str] = Topic("sessions")
"""Named by the ids of their keys."""

_CODEC = Codec(Session)

sessions = table(
    "sts_sessions",
    Column("id", NameText, primary_key=True),
    Column("account", Account, nullable=False),
    Column("owner", NameText, nullable=False),  # id of the role, or of the user; root has none
    Column("expires_at", Double, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # encrypted
    Column("token", LargeBinary, nullable=False),  # encrypted
    Column("body", Text, nullable=False),
    seal_column("seal", "account", "owner", "expires_at", "secret", "token", "body"),
    Index("sts_sessions_by_owner", "account", "owner", "expires_at"),
    inspected=Inspected(codecs={"body": _CODEC}),
)


class SessionsReading(Protocol):
    """What can be asked. A session is an access key that has a `session`."""

    def all(self) -> Sequence[AccessKey]:
        """Every session that is kept, with its secrets."""
        ...

    def find(self, key_id: str) -> AccessKey | None:
        """One session; None if there is none."""
        ...

    def of(self, account: str, owner: str) -> Sequence[AccessKey]:
        """Those of the role or user with this id; of no id, root's."""
        ...

    def count(self, account: str, now: float, owner: str | None = None) -> int:
        """How many have not ended, of an account or of the role or user with this id."""
        ...


class SessionsWriting(SessionsReading, Protocol):
    """What can be written."""

    def add(self, key: AccessKey) -> None:
        """Keep a session, in place of any with that id."""
        ...

    def expire(self, before: float) -> None:
        """Forget the sessions that ended before an instant."""
        ...

    def end(self, account: str, owner: str) -> None:
        """Forget all sessions of the role or user with this id; of no id, root's."""
        ...

    def end_all(self, account: str) -> None:
        """Forget all sessions of an account."""
        ...


class SessionRows:
    """`SessionsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self) -> Sequence[AccessKey]:
        """See `SessionsReading`."""
        return self._found()

    def find(self, key_id: str) -> AccessKey | None:
        """See `SessionsReading`."""
        found = self._found(sessions.c.id == key_id)
        return found[0] if found else None

    def of(self, account: str, owner: str) -> Sequence[AccessKey]:
        """See `SessionsReading`."""
        return self._found(sessions.c.account == account, sessions.c.owner == owner)

    def count(self, account: str, now: float, owner: str | None = None) -> int:
        """See `SessionsReading`."""
        of_it = [sessions.c.account == account, sessions.c.expires_at > now]
        of_it += [] if owner is None else [sessions.c.owner == owner]
        counted = select(func.count()).select_from(sessions).where(*of_it)
        return int(self._access.sql().execute(counted).scalar_one())

    def _found(self, *where: ColumnElement[bool]) -> Sequence[AccessKey]:
        order = (sessions.c.id,)
        rows = sealed_rows(self._access.sql(), sessions, ("seal",), *where, order_by=order)
        return [self._key(row) for row in rows]

    def _key(self, row: RowMapping) -> AccessKey:
        secrets, session = self._access.secrets, _CODEC.decode(row["body"])
        return AccessKey(
            id=row["id"],
            secret=secrets.open(row["secret"], row["id"]),
            principal=session.principal,
            session_token=secrets.open(row["token"], row["id"]),
            expires_at=row["expires_at"],
            created_at=session.issued_at,
            session=session,
        )


class WritableSessionRows(SessionRows):
    """`SessionsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def add(self, key: AccessKey) -> None:
        """See `SessionsWriting`."""
        session, token = key.session, key.session_token
        if session is None or token is None:
            raise ValueError(f"{key.id} is no temporary key")
        secrets = self._writing.secrets
        self._writing.sql().execute(delete(sessions).where(sessions.c.id == key.id))
        row = {
            "id": key.id,
            "account": key.principal.account,
            "owner": session.owner,
            "expires_at": session.expires_at,
            "secret": secrets.seal(key.secret, key.id),
            "token": secrets.seal(token, key.id),
            "body": _CODEC.encode(session),
        }
        self._writing.insert(sessions, [row])
        self._writing.changed(SESSIONS, key.id)

    def expire(self, before: float) -> None:
        """See `SessionsWriting`."""
        self._forget(sessions.c.expires_at <= before)

    def end(self, account: str, owner: str) -> None:
        """See `SessionsWriting`."""
        self._forget(sessions.c.account == account, sessions.c.owner == owner)

    def end_all(self, account: str) -> None:
        """See `SessionsWriting`."""
        self._forget(sessions.c.account == account)

    def _forget(self, *which: ColumnElement[bool]) -> None:
        gone = delete(sessions).where(*which).returning(sessions.c.id)
        for key_id in self._writing.sql().execute(gone).scalars().all():
            self._writing.changed(SESSIONS, key_id)
