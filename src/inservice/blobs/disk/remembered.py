"""Buckets, remembered: each request asks for its bucket several times, and few ever change one.

One process has the records open, and every change of a bucket passes here. What was read is
remembered unless something was changed while it was read; a change is forgotten about before it is
acknowledged, so whoever hears of it sees it.
"""

from __future__ import annotations

import threading

from inservice.blobs.base import Bucket
from inservice.blobs.disk.buckets import DiskBuckets
from inservice.blobs.disk.kit import Kit

BUCKETS_MAX = 1_000
"""That are remembered. Each has its policy and its other documents with it, 20 KB at most."""


class RememberedBuckets(DiskBuckets):
    """`blobs.base.Buckets`, of the one process that changes them. Safe for threads."""

    def __init__(self, kit: Kit) -> None:
        super().__init__(kit)
        self._known: dict[str, Bucket] = {}
        self._changes = 0
        self._forgetting = threading.Lock()

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`."""
        known = self._known.get(name)
        if known is not None:
            return known
        before = self._changes
        found = super().bucket(name)
        with self._forgetting:
            if self._changes == before:
                self._known[name] = found
                while len(self._known) > BUCKETS_MAX:
                    del self._known[next(iter(self._known))]
        return found

    def delete_bucket(self, name: str) -> None:
        """See `Buckets`."""
        try:
            super().delete_bucket(name)
        finally:
            self._forget(name)

    def set_bucket(self, name: str, setting: str, document: bytes | None) -> None:
        """See `Buckets`."""
        try:
            super().set_bucket(name, setting, document)
        finally:
            self._forget(name)

    def _forget(self, *names: str) -> None:
        with self._forgetting:
            self._changes += 1
            for name in names:
                self._known.pop(name, None)

    def close(self) -> None:
        """See `Blobs`: from now on whoever asks is told that it is closed."""
        self._forget(*self._known)
