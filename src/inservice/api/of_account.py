"""The store as an operation has it: of an account that is in use.

A request is let in by a key, and an account that is closed has none. But between the key and what
is done with it the account may be closed, in which nothing was left: what is written then would be
nobody's, and nobody could delete it. There is one writer, so who looks when it is their turn to
write has looked late enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from inservice.errors import UnrecognizedClient
from inservice.store.base import Holding, Reading, Store, Transaction
from inservice.store.feed import CALLER, Feed


class OfAccount:
    """Implements `store.base.Store` for who is of one account."""

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._account = account

    @property
    def feed(self) -> Feed:
        """See `Store`."""
        return self._store.feed

    @property
    def holding(self) -> Holding:
        """See `Store`."""
        return self._store.holding

    def reading(self) -> AbstractContextManager[Reading]:
        """See `Store`."""
        return self._store.reading()

    def remembered(self) -> Reading:
        """See `Store`."""
        return self._store.remembered()

    @contextmanager
    def transaction(self, by: str = CALLER) -> Iterator[Transaction]:
        """See `Store`. Raises UnrecognizedClient, as to who has no key, where the account is
        closed."""
        with self._store.transaction(by) as tx:
            account = tx.accounts.find(self._account)
            if account is not None and not account.is_open:
                raise UnrecognizedClient
            yield tx

    def confirm(self) -> None:
        """See `Store`."""
        self._store.confirm()

    def close(self) -> None:
        """See `Store`."""
        self._store.close()
