"""What happened to alarms, kept beside the metrics that made it happen.

An item is written before the alarm's new state is, so a crash in between may show a transition
twice and never lose one. AWS says the same of its own: in rare cases more than one item.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from inservice.cloudwatch.alarms.history import HistoryItem
from inservice.telemetry.base import AlarmKey, HistoryPage, HistoryQuery
from inservice.telemetry.storage import MetricStorage


class AlarmHistory:
    """Appends and reads. May be used from any thread."""

    def __init__(self, storage: MetricStorage, lock: threading.RLock) -> None:
        self._storage = storage
        self._lock = lock

    def add(self, alarm: AlarmKey, alarm_type: str, *items: HistoryItem) -> None:
        """Keep items; durable when it returns. `alarm_type`: MetricAlarm or CompositeAlarm."""
        self.add_all((alarm, alarm_type, item) for item in items)

    def add_all(self, entries: Iterable[tuple[AlarmKey, str, HistoryItem]]) -> None:
        """Keep items of several alarms: (alarm, its type, what happened)."""
        kept = list(entries)
        if kept:
            with self._lock:
                self._storage.add_history(kept)

    def page(self, query: HistoryQuery) -> HistoryPage:
        """One page, of `limit` items at most."""
        with self._lock:
            return self._storage.history(query)
