"""Accounts: those that were made here, and the server's own, which its settings name, from the
moment in which its default execution role was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from sqlalchemy import Column, Double, RowMapping, delete, func, select

from inservice.identity.accounts import MemberAccount
from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Account, NameText, metadata, table

ACCOUNTS: Topic[str] = Topic("accounts")
"""Named by their ids."""

accounts = table(
    "accounts",
    Column("id", Account, primary_key=True),
    Column("name", NameText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("closed_at", Double, nullable=True),
    seal_column("seal", "name", "created_at", "closed_at"),
)

_GOES_ALONG: Final = frozenset(
    {"access_keys", "sts_sessions", "deployment_events", "log_streams", "log_batches"}
)
"""Tables whose rows go with others: keys with whose they are, the rest with what they are of."""


class AccountsReading(Protocol):
    """What can be asked."""

    def all(self) -> Sequence[MemberAccount]:
        """Every account that was ever made here, by id: also those that are closed."""
        ...

    def find(self, account_id: str) -> MemberAccount | None:
        """One of them; None if no account of that id was made here."""
        ...

    def left_in(self, account_id: str) -> Mapping[str, int]:
        """How many records an account has of each noun, by the name of its table; those it has
        none of are left out."""
        ...


class AccountsWriting(AccountsReading, Protocol):
    """What can be written."""

    def save(self, account: MemberAccount) -> None:
        """Keep an account, in place of the one of that id."""
        ...


class AccountRows:
    """`AccountsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self) -> Sequence[MemberAccount]:
        """See `AccountsReading`."""
        rows = sealed_rows(self._access.sql(), accounts, ("seal",), order_by=(accounts.c.id,))
        return [_account(row) for row in rows]

    def find(self, account_id: str) -> MemberAccount | None:
        """See `AccountsReading`."""
        is_it = accounts.c.id == account_id
        rows = sealed_rows(self._access.sql(), accounts, ("seal",), is_it)
        return _account(rows[0]) if rows else None

    def left_in(self, account_id: str) -> Mapping[str, int]:
        """See `AccountsReading`. Every table that says whose its rows are is looked at, those of
        nouns that come later too."""
        owned = [
            each
            for each in metadata.sorted_tables
            if "account" in each.columns and each.name not in _GOES_ALONG
        ]
        counts = {
            each.name: self._access.sql()
            .execute(select(func.count()).where(each.c.account == account_id))
            .scalar_one()
            for each in owned
        }
        return {name: count for name, count in sorted(counts.items()) if count}


class WritableAccountRows(AccountRows):
    """`AccountsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def save(self, account: MemberAccount) -> None:
        """See `AccountsWriting`."""
        self._writing.sql().execute(delete(accounts).where(accounts.c.id == account.id))
        row = {
            "id": account.id,
            "name": account.name,
            "created_at": account.created_at,
            "closed_at": account.closed_at,
        }
        self._writing.insert(accounts, [row])
        self._writing.changed(ACCOUNTS, account.id)


def _account(row: RowMapping) -> MemberAccount:
    return MemberAccount(row["id"], row["name"], row["created_at"], row["closed_at"])
