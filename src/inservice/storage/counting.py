"""What the storage process counts, and tells control while there is something new to tell.

It is told whole each time (`channel.storage_counts`), once a second at most and on each new
connection, so a control that was started again knows as much as the one before.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from inservice.blobs.base import Usage
from inservice.channel.messages import encode
from inservice.channel.storage_counts import OperationCount, StorageCounts


class Counting:
    """Safe for threads. To the channel it is what is counted (`channel.following.Counted`)."""

    def __init__(self, quota_bytes: int, usage: Callable[[], Usage]) -> None:
        """`usage` is quick, and is asked in the event loop."""
        self._lock = threading.Lock()
        self._answered: Counter[tuple[str, str]] = Counter()
        self._received = 0
        self._sent = 0
        self._quota_bytes = quota_bytes
        self._usage = usage
        self._told: StorageCounts | None = None

    def answered(self, operation: str, status: int, received: int = 0, sent: int = 0) -> None:
        """A request was answered; so many bytes of objects came with it, or leave."""
        with self._lock:
            self._answered[operation, f"{status // 100}xx"] += 1
            self._received += received
            self._sent += sent

    def now(self) -> StorageCounts:
        """All of it."""
        usage = self._usage()
        with self._lock:
            return StorageCounts(
                [OperationCount(*each, count) for each, count in sorted(self._answered.items())],
                self._received,
                self._sent,
                usage.buckets,
                usage.objects,
                usage.bytes,
                usage.uploads,
                self._quota_bytes,
            )

    # ── to the channel ──────────────────────────────────────────────────────────────────────────
    def flush(self, at: float) -> bytes | None:  # noqa: ARG002 - these have no time
        """See `Counted`."""
        counts = self.now()
        if counts == self._told:
            return None
        self._told = counts
        return encode(counts)

    def unconfirmed(self) -> list[bytes]:
        """See `Counted`: what each new connection is told first."""
        return [encode(self.now())]

    def confirm(self, seq: int) -> None:
        """See `Counted`: nobody confirms these."""


class NothingRefused:
    """To the channel, denials: the storage process writes its own down (`storage.audited`)."""

    def take(self, *, there: bool) -> bytes | None:  # noqa: ARG002
        """See `channel.following.Refusing`."""
        return None
