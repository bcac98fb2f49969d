"""What alarms owe is run: every action of every change of state, none waiting for another.

A change of state leaves what it owes in the record of its alarm. From there each action takes its
own way: those of one alarm to one receiver follow each other in the order of the changes, so a
receiver never hears of OK before it heard of ALARM; nothing else is ordered, so a receiver that
hangs delays itself alone. An action is done when its outcome is in the alarm's history and it is
taken from what is owed, in that order: a crash in between has it run again, never forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from inservice.clock import Clock
from inservice.cloudwatch.alarms.history import acted
from inservice.cloudwatch.alarms.record import OWED_MAX, AlarmRecord, Owed
from inservice.controller.alarms.watched import WRITER, Watched, WatchedAlarms
from inservice.controller.alarms.webhooks import Webhooks
from inservice.errors import AwsError
from inservice.store.base import Store
from inservice.store.collections.alarms import AlarmName
from inservice.telemetry.base import AlarmKey, History
from inservice.threads import Threads
from inservice.values import Instant

RETRY_SECONDS = 5.0
"""After an outcome that the store did not take. Until it does, the action is not run again."""

DROPPED = f"Not executed: {OWED_MAX} newer changes of state wait for this receiver."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One action of one change of state, to be run."""

    record: AlarmRecord
    change: Owed
    action: str
    at: Instant


class AlarmActions:
    """Runs what alarms owe, and remembers that it was run."""

    def __init__(
        self,
        store: Store,
        history: History,
        clock: Clock,
        webhooks: Webhooks,
        watched: WatchedAlarms,
        lock: threading.RLock,
        read_again: Callable[[Iterable[AlarmName]], None],
    ) -> None:
        """`watched` is shared with the evaluator, under `lock`; `read_again` tells it that memory
        may not be what the store has of an alarm."""
        self._store = store
        self._history = history
        self._clock = clock
        self._webhooks = webhooks
        self._watched = watched
        self._lock = lock
        self._read_again = read_again
        self._under_way: set[tuple[AlarmKey, str]] = set()
        self._threads = Threads("alarm-actions")

    def due(
        self, now: Instant, is_suppressed: Callable[[Watched, Instant], bool]
    ) -> list[Delivery]:
        """What is to be run now and is not under way. Called under the lock."""
        found: list[Delivery] = []
        for key in sorted(self._watched.owing, key=lambda one: (one.account, one.region, one.name)):
            watched = self._watched.get(key)
            if watched is None or not watched.record.owed:
                self._watched.owing.discard(key)
            elif not watched.record.actions_enabled:
                self._owe(key, ())
            elif is_suppressed(watched, now):
                self._owe(key, _held_back(watched.record))
            else:
                found += self._next(key, watched.record, now)
        self._under_way.update((key_of(one.record), one.action) for one in found)
        return found

    async def run(self, delivery: Delivery) -> None:
        """Run an action, then remember that it was, as often as it takes. Raises nothing."""
        try:
            error = await self._webhooks.run(
                delivery.action, delivery.record, delivery.change, delivery.at
            )
            while not await self._threads.run(self._settle, delivery, error):
                await self._clock.sleep(RETRY_SECONDS)
        except Exception:  # noqa: BLE001 - one delivery must not end the others
            _log.exception("alarm.action_not_run", alarm=delivery.record.arn)
        finally:
            self._under_way.discard((key_of(delivery.record), delivery.action))

    def _next(self, key: AlarmKey, record: AlarmRecord, now: Instant) -> Iterator[Delivery]:
        """The oldest change of each receiver; the next one when that is settled."""
        first = dict.fromkeys((action for change in record.owed for action in change.actions), True)
        for number, change in enumerate(record.owed):
            for action in change.actions:
                running = first[action] and (key, action) in self._under_way
                if not running and number < len(record.owed) - OWED_MAX:
                    self._settle(Delivery(record, change, action, now), DROPPED)
                    continue
                if first[action] and not running:
                    yield Delivery(record, change, action, now)
                first[action] = False

    def _settle(self, delivery: Delivery, error: str) -> bool:
        """Remember an action's outcome: an error, or an empty text. False: not now."""
        key, change = key_of(delivery.record), delivery.change
        item = acted(delivery.action, change.after, self._clock.now(), error)
        try:
            with self._lock:
                self._history.add(key, delivery.record.type, item)
                self._save(key, lambda owed: _settled(owed, change, delivery.action))
        except AwsError as full:
            _log.error("alarm.action_not_recorded", alarm=delivery.record.arn, error=str(full))
            return False
        return True

    def _owe(self, key: AlarmKey, owed: tuple[Owed, ...]) -> None:
        """Owe this instead, as long as nothing of it is under way."""
        watched = self._watched.get(key)
        busy = any((key, action) in self._under_way for action in _actions(watched))
        if watched is None or busy or watched.record.owed == owed:
            return
        expected = watched.record.owed
        try:
            self._save(key, lambda kept: owed if kept == expected else kept)
        except AwsError as full:
            _log.error("alarm.owing_not_recorded", alarm=watched.record.arn, error=str(full))

    def _save(self, key: AlarmKey, change: Callable[[tuple[Owed, ...]], Iterable[Owed]]) -> None:
        """Change what is owed in what is *kept*: a caller may have changed the alarm meanwhile."""
        with self._store.transaction(by=WRITER) as tx:
            kept = tx.alarms.find(key.account, key.region, key.name)
            if kept is None:
                return  # deleted, and what it owed with it
            before = AlarmRecord.from_kept(kept)
            after = before.with_owed(change(before.owed))
            if after.owed == before.owed:
                return
            tx.alarms.save(
                key.account,
                key.region,
                key.name,
                state=after.state.value.value,
                document=after.kept(),
            )
        watched = self._watched.get(key)
        if watched is not None and watched.record.revision == before.revision:
            watched.record = after
        else:
            self._read_again([(key.account, key.region, key.name)])


def key_of(record: AlarmRecord) -> AlarmKey:
    """How history and the evaluator know an alarm."""
    return AlarmKey(record.account, record.region, record.name)


def _actions(watched: Watched | None) -> Iterator[str]:
    for change in watched.record.owed if watched else ():
        yield from change.actions


def _settled(owed: tuple[Owed, ...], change: Owed, action: str) -> Iterator[Owed]:
    for one in owed:
        same = (one.before, one.after) == (change.before, change.after)
        yield one.without(action) if same else one


def _held_back(record: AlarmRecord) -> tuple[Owed, ...]:
    """What a suppressed alarm will owe when it is let go: the change from the state that was last
    told of to the one it is in, if that is another."""
    first, last = record.owed[0], record.owed[-1]
    if last.after.since != record.state.since or first.before is last.after.value:
        return ()
    return (replace(last, before=first.before),)
