"""Decoded records of a database that has one writer, which is us.

All of them are in memory, since whoever decides must not wait for the database. But few of many
endpoints are moved or asked for at any time, and a record of one is some ten kilobytes of objects
where it is one of text. So of tables that have a `Packing` only the records that came last are kept
as they are, and each other is unpacked again when somebody asks for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

RecordKey = tuple[str, ...]
"""The table, and what in it names the record."""

RECORDS_MAX = 10_000
"""A record of an endpoint is a kilobyte when it is packed; few servers have 1,000."""

UNPACKED_MAX = 64
"""Of all tables together. To unpack one takes 40 microseconds; 64 are less than a megabyte."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How records of a table are made small, and as they were."""

    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


class _Packed(bytes):
    """A record of which nobody wanted anything lately."""


class Cache:
    """Records by key, exact at every moment after a commit has returned.

    A reader that looked into the database before a commit must not leave behind what it saw there
    after the commit has dropped it. So a reader takes the stamp before it looks, and what it brings
    is only kept while nothing has been committed since.
    """

    def __init__(self, packings: Mapping[str, Packing] = MappingProxyType({})) -> None:
        """`packings`: by table."""
        self._packings = packings
        self._records: dict[RecordKey, Any] = {}
        self._unpacked: dict[RecordKey, None] = {}  # of those with a packing; the newest is last
        self._lock = threading.Lock()
        self.stamp = 0  # goes up with every commit that changed a record

    def get(self, key: RecordKey) -> Any:
        """The record, or None if it is not known here."""
        record = self._records.get(key)
        if not isinstance(record, _Packed):
            return record
        packed, record = record, self._packings[key[0]].unpack(record)
        with self._lock:
            if self._records.get(key) is packed:
                self._put(key, record)
        return record

    def keep(self, key: RecordKey, record: Any, stamp: int) -> None:
        """Remember a record that was read after `stamp` was taken. That there is none is not."""
        with self._lock:
            if record is None or stamp != self.stamp:
                return
            self._put(key, record)

    def _put(self, key: RecordKey, record: Any) -> None:
        if len(self._records) >= RECORDS_MAX and key not in self._records:
            self._drop(next(iter(self._records)))  # the one that came first
        self._records[key] = record
        if key[0] in self._packings:
            self._unpacked.pop(key, None)
            self._unpacked[key] = None
            if len(self._unpacked) > UNPACKED_MAX:
                oldest = next(iter(self._unpacked))
                del self._unpacked[oldest]
                pack = self._packings[oldest[0]].pack
                self._records[oldest] = _Packed(pack(self._records[oldest]))

    def _drop(self, key: RecordKey) -> None:
        self._records.pop(key, None)
        self._unpacked.pop(key, None)

    def settle(self, changed: Mapping[RecordKey, Any]) -> None:
        """A commit has changed these records: what each is now, or None to forget it."""
        with self._lock:
            self.stamp += 1
            for key, record in changed.items():
                self._drop(key)
                if record is not None:
                    self._put(key, record)

    def clear(self) -> None:
        """Forget everything: somebody else may have written."""
        with self._lock:
            self.stamp += 1
            self._records.clear()
            self._unpacked.clear()
