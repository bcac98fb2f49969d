"""Alarms, evaluated on time.

What is due is evaluated, and a state that changed is written down, history first. With the state is
written what the alarm *owes*: the actions of that change, until they are run. So nothing that
happened in between can be lost, by a crash or by a faster change.

An alarm is due when its last period has ended and what belongs to it can have arrived: gateway
workers tell what they counted once a second, so SETTLE_SECONDS after the boundary. A ten-second
alarm is in ALARM at most 11.5 s after the first error, and 6.5 s on average.

`turn` is synchronous, short, and runs in a thread of its own; `run` is the loop around it. Actions
are run by `actions`, for which no turn waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from inservice.clock import Clock
from inservice.cloudwatch.alarms.alarm import AlarmState, MetricAlarm, StateValue
from inservice.cloudwatch.alarms.composite import evaluate_composite, parse, suppressed_by
from inservice.cloudwatch.alarms.evaluation import evaluate, interval_seconds, window
from inservice.cloudwatch.alarms.history import moved
from inservice.cloudwatch.alarms.record import AlarmRecord, alarm_arn
from inservice.cloudwatch.metrics.query import alarm_datapoints
from inservice.controller.alarms.actions import AlarmActions, Delivery
from inservice.controller.alarms.watched import WRITER, Watched, WatchedAlarms
from inservice.controller.alarms.webhooks import Webhooks
from inservice.errors import AwsError, InsufficientStorage, ServiceUnavailable
from inservice.store.base import Store
from inservice.store.collections.alarms import ALARMS, AlarmName
from inservice.telemetry.base import AlarmKey, Metrics
from inservice.threads import Threads
from inservice.values import Instant

SETTLE_SECONDS = 1.25
"""Workers report once a second; the rest is for the way."""

TURN_SECONDS = 0.5
"""Between looks at what is due, and whether callers changed alarms."""

CHANGES_AT_ONCE = 200
"""New states in one transaction. When five thousand alarms change at once, one transaction for each
takes half a minute of fsyncs; one for all would keep other writers waiting for a second."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Change:
    """A new state that memory has and the store has not."""

    key: AlarmKey
    before: AlarmRecord
    after: AlarmRecord


class AlarmEvaluator:
    """Evaluates every alarm of this server, and has their actions run."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        webhooks: Webhooks,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._threads = Threads("alarms")
        self._lock = threading.RLock()  # around turns, and around what deliveries remember
        self.watched = WatchedAlarms()
        self.actions = AlarmActions(
            store, metrics.history, clock, webhooks, self.watched, self._lock, self.read_again
        )
        self._changed: set[AlarmName] | None = None  # by callers, to be read again; None: all
        self._changed_lock = threading.Lock()  # never held while anything else is waited for
        store.feed.subscribe(ALARMS, self.read_again, but_not_by=WRITER)

    async def run(self) -> None:
        """Evaluate until cancelled. A turn that fails is logged, and the next one is taken."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                try:
                    for delivery in await self._threads.run(self.turn, self._clock.now()):
                        deliveries.create_task(self.actions.run(delivery))
                except ServiceUnavailable as error:
                    _log.error("alarms.not_evaluated", error=str(error))
                except Exception:  # noqa: BLE001 - a bug must not end the watch over deployments
                    _log.exception("alarms.not_evaluated")
                await self._clock.sleep(TURN_SECONDS)

    def turn(self, now: Instant) -> list[Delivery]:
        """Evaluate what is due at `now`, and say which actions are to be run."""
        with self._lock:
            reloaded = self._reload(now)
            changes = [
                change
                for key, watched in self.watched.take_due(now)
                if watched.metric is not None
                if (change := self._evaluate(key, watched, watched.metric, now))
            ]
            stirred = reloaded | {change.key for change in changes}
            for key in self.watched.composites.affected(stirred):
                changes += self._evaluate_composite(key, now)
            # What trips comes first: a deployment waits for it.
            changes.sort(key=lambda change: change.after.state.value is not StateValue.ALARM)
            for first in range(0, len(changes), CHANGES_AT_ONCE):
                self._remember(changes[first : first + CHANGES_AT_ONCE], now)
            return self.actions.due(now, self._is_suppressed)

    def states(self) -> list[tuple[AlarmKey, StateValue]]:
        """Every alarm and its state, as of the last turn."""
        return [(key, watched.record.state.value) for key, watched in self.watched.items()]

    # ── memory ──────────────────────────────────────────────────────────────────────────────────
    def read_again(self, names: Iterable[AlarmName]) -> None:
        """Memory may not be what the store has of these alarms: the next turn reads them again."""
        with self._changed_lock:
            if self._changed is not None:
                self._changed.update(names)

    def _reload(self, now: Instant) -> set[AlarmKey]:
        """Read again what callers changed, or everything at first. Gives which that was."""
        with self._changed_lock:
            names, self._changed = self._changed, set()
        if names is not None and not names:
            return set()
        try:
            with self._store.reading() as reading:
                if names is None:
                    return self.watched.read_all(reading, now)
                self.watched.read_again(reading, names, now)
        except BaseException:
            with self._changed_lock:
                self._changed = None if names is None else self._changed | names
            raise
        return {AlarmKey(*name) for name in names}

    # ── evaluation ──────────────────────────────────────────────────────────────────────────────
    def _evaluate(
        self, key: AlarmKey, watched: Watched, alarm: MetricAlarm, now: Instant
    ) -> _Change | None:
        record, settled = watched.record, now - SETTLE_SECONDS
        step = interval_seconds(alarm)
        self.watched.be_due(key, (settled // step + 1) * step + SETTLE_SECONDS)
        try:
            datapoints = alarm_datapoints(
                record.account,
                record.region,
                record.document,
                alarm,
                window(alarm, settled),
                self._metrics,
            )
        except AwsError as error:
            _log.warning("alarm.not_evaluated", alarm=record.arn, error=error.message)
            return None
        state = evaluate(alarm, datapoints, settled)
        if state is record.state:
            return None
        return self._enter(key, watched, replace(state, since=now))

    def _evaluate_composite(self, key: AlarmKey, now: Instant) -> list[_Change]:
        watched = self.watched.get(key)
        if watched is None:
            return []
        record = watched.record
        alarm = record.composite_alarm()
        account, region = record.account, record.region
        states: dict[str, AlarmState] = {}
        for name in parse(alarm.rule).alarms:
            child = self.watched.get(AlarmKey(account, region, name))
            if child is not None:
                states[name] = child.record.state
        arns = {name: alarm_arn(account, region, name) for name in states}
        state = evaluate_composite(alarm, states, arns, now)
        return [] if state is record.state else [self._enter(key, watched, state)]

    def _enter(self, key: AlarmKey, watched: Watched, state: AlarmState) -> _Change:
        before = watched.record
        watched.enter(state)
        if watched.record.owed:
            self.watched.owing.add(key)
        return _Change(key, before, watched.record)

    def _remember(self, changes: Sequence[_Change], now: Instant) -> None:
        """Write new states down, history first. One that a caller was faster to change is read
        again, and evaluated again, in the next turn."""
        entries = [
            (change.key, change.after.type, moved(change.before.state, change.after.state))
            for change in changes
        ]
        try:
            try:
                self._metrics.history.add_all(entries)
            except InsufficientStorage as full:  # a deployment may wait for it to turn back
                _log.error("alarm.history_not_kept", alarms=len(entries), why=full.message)
            refused = self._save(changes)
        except AwsError:
            # Memory is ahead of the store: begin again from what is kept.
            with self._changed_lock:
                self._changed = None
            self.watched.all_due(now)
            raise
        for change in changes:
            state = change.after.state
            if change.key in refused:
                if self.watched.get(change.key) is not None:
                    self.watched.be_due(change.key, now)
                continue
            _log.info(
                "alarm.state",
                alarm=change.after.arn,
                state=state.value.value,
                reason=state.reason,
            )

    def _save(self, changes: Sequence[_Change]) -> set[AlarmKey]:
        """Save what each alarm became if it is still kept as it was; gives those that are not."""
        refused = set()
        with self._store.transaction(by=WRITER) as tx:
            for change in changes:
                before, after = change.before, change.after
                kept = tx.alarms.find(before.account, before.region, before.name)
                if kept is None or kept["revision"] != before.revision:
                    refused.add(change.key)
                    continue
                tx.alarms.save(
                    after.account,
                    after.region,
                    after.name,
                    state=after.state.value.value,
                    document=after.kept(),
                )
        self.read_again((key.account, key.region, key.name) for key in refused)
        return refused

    def _is_suppressed(self, watched: Watched, now: Instant) -> bool:
        record = watched.record
        if watched.metric is not None:
            return False
        alarm = record.composite_alarm()
        suppressor = self.watched.get(AlarmKey(record.account, record.region, alarm.suppressor))
        return (
            suppressed_by(alarm, suppressor.record.state if suppressor else None, now) is not None
        )
