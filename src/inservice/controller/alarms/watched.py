"""The alarms in memory, each parsed once, and what of them is due.

Nothing here costs more because there are more alarms: what a caller changed is read again by its
name, what is due stands at the front of a heap, and what owes an action is in a set.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inservice.cloudwatch.alarms.alarm import AlarmState, MetricAlarm
from inservice.cloudwatch.alarms.composite import parse
from inservice.cloudwatch.alarms.evaluation import interval_seconds
from inservice.cloudwatch.alarms.record import AlarmRecord
from inservice.controller.alarms.composites import Composites
from inservice.ids import EndpointKey
from inservice.store.base import Reading
from inservice.store.collections.alarms import AlarmName, AlarmQuery
from inservice.telemetry.base import AlarmKey
from inservice.values import Instant

WRITER = "alarms"
"""Who writes what becomes of alarms, for the feed."""

HELD_SECONDS = 3.0
"""How long a state stands at least before it is evaluated again. SetAlarmState lasts until the next
evaluation; if that were a moment later, nobody who polls would have seen it."""


@dataclass(slots=True)
class Watched:
    """One alarm."""

    record: AlarmRecord
    metric: MetricAlarm | None  # None for a composite
    due_at: Instant
    queued_at: Instant | None = None  # what the newest entry in the heap says; None: there is none

    def enter(self, state: AlarmState) -> None:
        """Be in another state, in memory."""
        self.record = self.record.with_state(state)
        if self.metric is not None:
            self.metric = replace(self.metric, state=state)


@dataclass
class WatchedAlarms:
    """Every alarm of this server. Used under the evaluator's lock."""

    composites: Composites = field(default_factory=Composites)
    owing: set[AlarmKey] = field(default_factory=set)
    """Those with actions to run, perhaps: whoever looks takes out what owes nothing."""
    read: int = 0
    """How many alarms were read from the store so far: what a change costs."""
    _alarms: dict[AlarmKey, Watched] = field(default_factory=dict)
    _hurried: dict[AlarmKey, frozenset[str]] = field(default_factory=dict)
    """Endpoints of alarms whose periods are shorter than a minute."""
    _due: list[tuple[Instant, int, AlarmKey]] = field(default_factory=list)
    _entries: Iterator[int] = field(default_factory=itertools.count)

    def get(self, key: AlarmKey) -> Watched | None:
        """The alarm, or None if there is none."""
        return self._alarms.get(key)

    def items(self) -> list[tuple[AlarmKey, Watched]]:
        """Every alarm. Safe from any thread."""
        return list(self._alarms.items())

    def hurried(self) -> set[EndpointKey]:
        """Endpoints whose metrics are waited for from one ten seconds to the next. Safe from any
        thread."""
        return {
            (key.account, key.region, endpoint)
            for key, endpoints in list(self._hurried.items())
            for endpoint in endpoints
        }

    def read_all(self, reading: Reading, now: Instant) -> set[AlarmKey]:
        """Read every alarm there is. Gives which there are, and were."""
        seen = set(self._alarms)
        for account, region in reading.alarms.owners():
            for name, kept in reading.alarms.select(AlarmQuery(account, region)).items():
                key = AlarmKey(account, region, name)
                self._put(key, AlarmRecord.from_kept(kept), now)
                seen.discard(key)
        for key in seen:
            self._remove(key)
        return seen | set(self._alarms)

    def read_again(self, reading: Reading, names: Iterable[AlarmName], now: Instant) -> None:
        """Read alarms that a caller put, changed or deleted."""
        for account, region, name in names:
            kept, key = reading.alarms.find(account, region, name), AlarmKey(account, region, name)
            if kept is None:
                self._remove(key)
            else:
                self._put(key, AlarmRecord.from_kept(kept), now)

    def _put(self, key: AlarmKey, record: AlarmRecord, now: Instant) -> None:
        """New alarms, and those of another configuration, are due at once."""
        self.read += 1
        known = self._alarms.get(key)
        metric = record.metric_alarm() if record.type == "MetricAlarm" else None
        due_at = now
        if known is not None and known.record.configured_at == record.configured_at:
            due_at = known.due_at
        if record.state.since > record.configured_at:
            due_at = max(due_at, record.state.since + HELD_SECONDS)
        self._alarms[key] = Watched(record, metric, due_at, known.queued_at if known else None)
        self.be_due(key, due_at)
        if record.owed:
            self.owing.add(key)
        if metric is None:
            names = parse(record.document["AlarmRule"]).alarms
            self.composites.put(key, (AlarmKey(key.account, key.region, name) for name in names))
        else:
            self.composites.remove(key)
        if metric is not None and interval_seconds(metric) < 60:
            self._hurried[key] = frozenset(_endpoints(record.document))
        else:
            self._hurried.pop(key, None)

    def _remove(self, key: AlarmKey) -> None:
        self._alarms.pop(key, None)
        self._hurried.pop(key, None)
        self.composites.remove(key)

    # ── what is due ─────────────────────────────────────────────────────────────────────────────
    def be_due(self, key: AlarmKey, at: Instant) -> None:
        """Have an alarm evaluated at `at`, and not at the time that was set before."""
        watched = self._alarms[key]
        watched.due_at = at
        if watched.metric is not None and watched.queued_at != at:
            watched.queued_at = at
            heapq.heappush(self._due, (at, next(self._entries), key))

    def all_due(self, now: Instant) -> None:
        """Have every alarm evaluated, at `now` at the latest."""
        for key, watched in self._alarms.items():
            if watched.due_at > now:
                self.be_due(key, now)

    def take_due(self, now: Instant) -> list[tuple[AlarmKey, Watched]]:
        """The metric alarms that are due. They are due again when they are told to be."""
        taken: dict[AlarmKey, Watched] = {}
        while self._due and self._due[0][0] <= now:
            at, _, key = heapq.heappop(self._due)
            watched = self._alarms.get(key)
            if watched is not None and watched.metric is not None and watched.due_at == at:
                watched.queued_at = None
                taken[key] = watched
        return list(taken.items())


def _endpoints(document: Mapping[str, Any]) -> Iterator[str]:
    """The endpoints whose metrics an alarm reads, by name."""
    metrics = (
        query.get("MetricStat", {}).get("Metric", {}) for query in document.get("Metrics", ())
    )
    for metric in (document, *metrics):
        for dimension in metric.get("Dimensions", ()):
            if dimension["Name"] == "EndpointName":
                yield dimension["Value"]
