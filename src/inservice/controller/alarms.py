"""Alarms, evaluated on time.

Levels, not edges, as everywhere in the controller: what is due is evaluated; a state that changed
is written down, history first; and an alarm whose state is not the one that was last acted on has
actions to run. Nothing that happened in between can be lost, because nothing is remembered but the
states.

An alarm is due when its last period has ended and what belongs to it can have arrived: gateway
workers tell what they counted once a second, so SETTLE_SECONDS after the boundary. A ten-second
alarm is in ALARM at most 11.5 s after the first error, and 6.5 s on average.

`turn` is synchronous, short, and runs in a thread; `run` is the loop around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

import structlog

from inservice.alarms.alarm import AlarmState, MetricAlarm, StateValue
from inservice.alarms.composite import evaluate_composite, parse, suppressed_by
from inservice.alarms.evaluation import evaluate, interval_seconds, window
from inservice.alarms.history import acted, moved
from inservice.alarms.record import AlarmRecord, alarm_arn
from inservice.clock import Clock, Instant
from inservice.controller.webhooks import Delivery, Webhooks
from inservice.errors import AwsError, ServiceUnavailable
from inservice.metrics.base import AlarmKey
from inservice.metrics.query import alarm_datapoints
from inservice.metrics.recorder import Recorder
from inservice.store.base import Store

SETTLE_SECONDS = 1.25
"""Workers report once a second; the rest is for the way."""

TURN_SECONDS = 0.5
"""Between looks at what is due, and whether callers changed alarms."""

CHANGES_AT_ONCE = 200
"""New states in one transaction. When five thousand alarms change at once, one transaction for each
takes half a minute of fsyncs; one for all would keep other writers waiting for a second."""

HELD_SECONDS = 3.0
"""How long a state stands at least before it is evaluated again. SetAlarmState lasts until the next
evaluation; if that were a moment later, nobody who polls would have seen it."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Watched:
    """One alarm in memory, parsed once."""

    record: AlarmRecord
    metric: MetricAlarm | None  # None for a composite
    due_at: Instant


@dataclass(frozen=True, slots=True)
class _Change:
    """A new state that memory has and the store has not."""

    watched: _Watched
    before: AlarmRecord
    after: AlarmRecord


class AlarmEvaluator:
    """Evaluates every alarm of this server, and has their actions run."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        clock: Clock,
        webhooks: Webhooks,
        *,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called, from a thread, after alarms changed their states."""
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._webhooks = webhooks
        self._on_change = on_change
        self._watched: dict[AlarmKey, _Watched] = {}
        self._seen_changes = -1
        self._delivering: set[AlarmKey] = set()
        self._lock = threading.RLock()  # around turns, and around what deliveries remember

    async def run(self) -> None:
        """Evaluate until cancelled. A turn that fails is logged, and the next one is taken."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                try:
                    for key, delivery in await asyncio.to_thread(self.turn, self._clock.now()):
                        deliveries.create_task(self.deliver(key, delivery))
                except ServiceUnavailable as error:
                    _log.error("alarms.not_evaluated", error=str(error))
                except Exception:  # noqa: BLE001 - a bug must not end the watch over deployments
                    _log.exception("alarms.not_evaluated")
                await self._clock.sleep(TURN_SECONDS)

    def turn(self, now: Instant) -> list[tuple[AlarmKey, Delivery]]:
        """Evaluate what is due at `now`, and say which actions are to be run."""
        with self._lock:
            reloaded = self._reload(now)
            changes = [
                change
                for watched in self._watched.values()
                if watched.metric is not None and watched.due_at <= now
                if (change := self._evaluate(watched, watched.metric, now))
            ]
            if changes or reloaded:
                for key in self._composites_in_order():
                    changes += self._evaluate_composite(self._watched[key], now)
            # What trips comes first: a deployment waits for it.
            changes.sort(key=lambda change: change.after.state.value is not StateValue.ALARM)
            for first in range(0, len(changes), CHANGES_AT_ONCE):
                self._remember(changes[first : first + CHANGES_AT_ONCE], now)
            due = self._due_actions(now)
        if reloaded:
            self._on_change()
        return due

    def tripped(self, account: str, region: str, names: Iterable[str]) -> Mapping[str, str]:
        """Of the alarms of these names those that trip a deployment, and how.

        They are in ALARM, or they do not exist any more. The store is asked, so that what
        SetAlarmState did a moment ago counts.
        """
        wanted = list(names)
        with self._store.reading() as reading:
            states = reading.alarm_states(account, region, wanted)
        found = {}
        for name in wanted:
            if name not in states:
                found[name] = "does not exist any more"
            elif states[name] == StateValue.ALARM:
                found[name] = self._how(AlarmKey(account, region, name))
        return found

    def states(self) -> list[tuple[AlarmKey, StateValue]]:
        """Every alarm and its state, as of the last turn."""
        return [(key, watched.record.state.value) for key, watched in list(self._watched.items())]

    def _how(self, key: AlarmKey) -> str:
        watched = self._watched.get(key)
        if watched is None or watched.record.state.value is not StateValue.ALARM:
            return "is in ALARM"
        return f"is in ALARM: {watched.record.state.reason}"

    # ── memory ──────────────────────────────────────────────────────────────────────────────────
    def _reload(self, now: Instant) -> bool:
        """Read all alarms again if a caller changed any. New ones are due at once."""
        changes = self._recorder.history.changes
        if changes == self._seen_changes:
            return False
        watched: dict[AlarmKey, _Watched] = {}
        with self._store.reading() as reading:
            for account, region in reading.alarm_owners():
                for name, kept in reading.alarms(account, region).items():
                    key = AlarmKey(account, region, name)
                    watched[key] = self._kept_or_new(key, AlarmRecord.from_kept(kept), now)
        self._watched, self._seen_changes = watched, changes
        return True

    def _kept_or_new(self, key: AlarmKey, record: AlarmRecord, now: Instant) -> _Watched:
        known = self._watched.get(key)
        metric = record.metric_alarm() if record.type == "MetricAlarm" else None
        due_at = now
        if known is not None and known.record.configured_at == record.configured_at:
            due_at = known.due_at
        if record.state.since > record.configured_at:
            due_at = max(due_at, record.state.since + HELD_SECONDS)
        return _Watched(record, metric, due_at)

    # ── evaluation ──────────────────────────────────────────────────────────────────────────────
    def _evaluate(self, watched: _Watched, alarm: MetricAlarm, now: Instant) -> _Change | None:
        record, settled = watched.record, now - SETTLE_SECONDS
        step = interval_seconds(alarm)
        watched.due_at = (settled // step + 1) * step + SETTLE_SECONDS
        try:
            datapoints = alarm_datapoints(
                record.account,
                record.region,
                record.document,
                alarm,
                window(alarm, settled),
                self._recorder,
            )
        except AwsError as error:
            _log.warning("alarm.not_evaluated", alarm=record.arn, error=error.message)
            return None
        state = evaluate(alarm, datapoints, settled)
        if state is record.state:
            return None
        return _enter(watched, replace(state, since=now))

    def _composites_in_order(self) -> list[AlarmKey]:
        """Composites after the alarms they are made of. Those in a circle, or above one, are left
        out: AWS too stops evaluating them."""
        sorter: TopologicalSorter[AlarmKey] = TopologicalSorter()
        for key, watched in self._watched.items():
            if watched.metric is None:
                names = parse(watched.record.document["AlarmRule"]).alarms
                sorter.add(key, *(AlarmKey(key.account, key.region, name) for name in names))
        with contextlib.suppress(CycleError):
            sorter.prepare()
        order: list[AlarmKey] = []
        while ready := sorter.get_ready():
            sorter.done(*ready)
            order += ready
        composites = (k for k in order if k in self._watched and self._watched[k].metric is None)
        return list(composites)

    def _evaluate_composite(self, watched: _Watched, now: Instant) -> list[_Change]:
        record = watched.record
        alarm = record.composite_alarm()
        account, region = record.account, record.region
        states: dict[str, AlarmState] = {}
        for name in parse(alarm.rule).alarms:
            child = self._watched.get(AlarmKey(account, region, name))
            if child is not None:
                states[name] = child.record.state
        arns = {name: alarm_arn(account, region, name) for name in states}
        state = evaluate_composite(alarm, states, arns, now)
        return [] if state is record.state else [_enter(watched, state)]

    def _remember(self, changes: Sequence[_Change], now: Instant) -> None:
        """Write new states down, history first. One that a caller was faster to change is read
        again, and evaluated again, in the next turn."""
        entries = [
            (key_of(one.after), one.after.type, moved(one.before.state, one.after.state))
            for one in changes
        ]
        try:
            self._recorder.history.add_all(entries)
            refused = self._save([(change.before, change.after) for change in changes])
        except AwsError:
            # Memory is ahead of the store: begin again from what is kept.
            self._seen_changes = -1
            for watched in self._watched.values():
                watched.due_at = min(watched.due_at, now)
            raise
        for change in changes:
            after = change.after
            if key_of(after) in refused:
                change.watched.due_at = now
                continue
            state = after.state
            _log.info("alarm.state", alarm=after.arn, state=state.value.value, reason=state.reason)
        self._on_change()

    def _save(self, pairs: Sequence[tuple[AlarmRecord, AlarmRecord]]) -> set[AlarmKey]:
        """Save each second record if the first is still what is kept; gives those that were not."""
        refused = set()
        with self._store.transaction() as tx:
            for before, after in pairs:
                kept = tx.alarm(before.account, before.region, before.name)
                if kept is None or kept["revision"] != before.revision:
                    refused.add(key_of(before))
                    continue
                tx.save_alarm(
                    after.account,
                    after.region,
                    after.name,
                    state=after.state.value.value,
                    document=after.kept(),
                )
        if refused:
            self._seen_changes = -1
        return refused

    # ── actions ─────────────────────────────────────────────────────────────────────────────────
    def _due_actions(self, now: Instant) -> list[tuple[AlarmKey, Delivery]]:
        due = []
        for key, watched in self._watched.items():
            record = watched.record
            if record.acted_on is record.state.value or key in self._delivering:
                continue
            if not (record.actions_enabled and record.actions()):
                self._settle(key, record.state, [])
            elif not self._is_suppressed(watched, now):
                self._delivering.add(key)
                due.append((key, Delivery(record, now)))
        return due

    def _is_suppressed(self, watched: _Watched, now: Instant) -> bool:
        record = watched.record
        if watched.metric is not None:
            return False
        alarm = record.composite_alarm()
        suppressor = self._watched.get(AlarmKey(record.account, record.region, alarm.suppressor))
        return (
            suppressed_by(alarm, suppressor.record.state if suppressor else None, now) is not None
        )

    async def deliver(self, key: AlarmKey, delivery: Delivery) -> None:
        """Run the actions of one state, none waiting for another, then remember that they were."""
        try:
            actions = delivery.record.actions()
            errors = await asyncio.gather(*(self._webhooks.run(one, delivery) for one in actions))
            outcomes = list(zip(actions, errors, strict=True))
            await asyncio.to_thread(self._settle, key, delivery.record.state, outcomes)
        except Exception:  # noqa: BLE001 - one delivery must not end the others
            _log.exception("alarm.action_not_recorded", alarm=delivery.record.arn)
        finally:
            self._delivering.discard(key)

    def _settle(self, key: AlarmKey, state: AlarmState, outcomes: list[tuple[str, str]]) -> None:
        """Remember that the actions of a state were run, each with its error or an empty text."""
        with self._lock:
            watched = self._watched.get(key)
            if watched is None:
                return
            now = self._clock.now()
            items = [acted(action, state, now, error) for action, error in outcomes]
            self._recorder.history.add(key, watched.record.type, *items)
            before = watched.record
            watched.record = replace(before, acted_on=state.value, revision=before.revision + 1)
            self._save([(before, watched.record)])


def _enter(watched: _Watched, state: AlarmState) -> _Change:
    """Be in a new state, in memory. A state without actions to run is acted on already."""
    before = watched.record
    after = before.with_state(state)
    if not (after.actions_enabled and after.actions()):
        after = replace(after, acted_on=state.value)
    watched.record = after
    if watched.metric is not None:
        watched.metric = replace(watched.metric, state=state)
    return _Change(watched, before, after)


def key_of(record: AlarmRecord) -> AlarmKey:
    """How history and this module know an alarm."""
    return AlarmKey(record.account, record.region, record.name)
