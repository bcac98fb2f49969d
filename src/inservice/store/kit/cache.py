"""Decoded records of a database that has one writer, which is us."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

RecordKey = tuple[str, ...]
"""The table, and what in it names the record."""

RECORDS_MAX = 10_000
"""A record of an endpoint is some tens of kilobytes with its snapshots; few servers have 1,000."""


class Cache:
    """Records by key, exact at every moment after a commit has returned.

    A reader that looked into the database before a commit must not leave behind what it saw there
    after the commit has dropped it. So a reader takes the stamp before it looks, and what it brings
    is only kept while nothing has been committed since.
    """

    def __init__(self) -> None:
        self._records: dict[RecordKey, Any] = {}
        self._lock = threading.Lock()
        self.stamp = 0  # goes up with every commit that changed a record

    def get(self, key: RecordKey) -> Any:
        """The record, or None if it is not known here."""
        return self._records.get(key)

    def keep(self, key: RecordKey, record: Any, stamp: int) -> None:
        """Remember a record that was read after `stamp` was taken. That there is none is not."""
        with self._lock:
            if record is None or stamp != self.stamp:
                return
            self._put(key, record)

    def _put(self, key: RecordKey, record: Any) -> None:
        if len(self._records) >= RECORDS_MAX:
            del self._records[next(iter(self._records))]  # the one that came first
        self._records[key] = record

    def settle(self, changed: Mapping[RecordKey, Any]) -> None:
        """A commit has changed these records: what each is now, or None to forget it."""
        with self._lock:
            self.stamp += 1
            for key, record in changed.items():
                self._records.pop(key, None)
                if record is not None:
                    self._put(key, record)

    def clear(self) -> None:
        """Forget everything: somebody else may have written."""
        with self._lock:
            self.stamp += 1
            self._records.clear()
