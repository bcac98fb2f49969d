"""Look, decide, remember, do: one turn of one endpoint, again and again.

An endpoint that is at work has a task that takes its turns one after the other, so two turns of one
endpoint never meet. One that has nothing to do has none: it rests until something wakes it, or the
one task that looks after all that rest. A turn holds no decision of its own: `deployment.advance`
decides, the store remembers under a fence, and only then is anything done. What a crash swallows
between remembering and doing is decided again by the next turn, because actions are the difference
between the saved wish and what is seen.

A wake-up is a name and nothing else. Whatever woke the endpoint, the turn looks at everything. What
callers commit wakes it through the store's feed, and so do the alarms that its deployment watches.

The loop never waits for the database: a turn reads from memory, and what that does not know is read
in a thread.

What was decided is saved at once, before it is done. What was only seen, or is only time that has
passed, is saved once a second at most: a fleet that comes up changes with each of its instances,
and every change is a turn. Neither can be lost by that. Time that is not saved is counted again by
the next turn, and what is seen is seen again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

import structlog

from inservice.clock import Clock, Due
from inservice.cloudwatch.alarms.record import trips
from inservice.controller.endpoints.act import Actor
from inservice.controller.endpoints.observe import Observer
from inservice.controller.endpoints.watchers import Watchers
from inservice.deployment.advance import decide, only_watched
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision
from inservice.ids import EndpointKey
from inservice.store.base import Reading, Store
from inservice.store.collections.alarms import ALARMS, AlarmName
from inservice.store.collections.endpoints import ENDPOINTS, EndpointRecord
from inservice.store.errors import NotRemembered, StaleDecision
from inservice.store.feed import Feed
from inservice.threads import Threads

RETRY_SECONDS = 1.0
"""After a turn that failed for a reason nobody foresaw: the next one may find better weather."""

IDLE_SECONDS = 120.0
"""The longest an endpoint goes unseen although nothing woke it: a net below the wake-ups."""

WATCHED_SECONDS = 1.0
"""How old what DescribeEndpoint shows of instances may be, and the most of a bake that a crash has
to begin again. Well below `advance.GAP_SECONDS_MAX`."""

log = structlog.get_logger()

OnEnded = Callable[[EndpointKey, Decision], None]
"""Called in the event loop with the decision in which a deployment came to its outcome."""

SELF = "reconciler"
"""Who writes, for the feed."""

CrashPoint = Callable[[str], None]
"""Called with the name of a place where a crash must do no harm; kills the process when told to."""


@dataclass(slots=True, eq=False)
class _Turns:
    """The task that takes an endpoint's turns, and what wakes it."""

    due: Due = field(default_factory=Due)
    task: asyncio.Task[None] | None = None  # None: it rests
    generation: str = ""  # the incarnation that was seen last
    saved_at: float = float("-inf")  # by the clock: when anything was last remembered


class Reconciler:
    """Takes every endpoint's turns."""

    def __init__(
        self,
        store: Store,
        observer: Observer,
        actor: Actor,
        clock: Clock,
        crash_point: CrashPoint,
        on_ended: OnEnded = lambda *_: None,
    ) -> None:
        self._store = store
        self._observer = observer
        self._actor = actor
        self._clock = clock
        self._crash_point = crash_point
        self._on_ended = on_ended
        self._turns: dict[EndpointKey, _Turns] = {}
        self._generations: dict[str, EndpointKey] = {}
        self._resting: dict[EndpointKey, float] = {}
        """Until when each endpoint rests that does. All rest for the same time, so the first that
        went to rest is the first to be woken."""
        self._waking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._watchers = Watchers()
        self._threads = Threads("decisions")

    def follow(self, feed: Feed) -> None:
        """Be woken by what is committed from now on. Called in the event loop."""
        loop = asyncio.get_running_loop()
        feed.subscribe(ENDPOINTS, self.wake_each, but_not_by=SELF, loop=loop)
        feed.subscribe(ALARMS, self._alarms_changed, loop=loop)

    def _alarms_changed(self, names: Iterable[AlarmName]) -> None:
        self.wake_each(self._watchers.changed(names))

    def wake(self, key: EndpointKey) -> None:
        """It is time to look at this endpoint."""
        if self._is_closed:
            return
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = _Turns()
        if turns.task is None:
            self._resting.pop(key, None)
            turns.task = asyncio.create_task(self._take_turns(key, turns))
        turns.due.set()

    def wake_generation(self, generation: str) -> None:
        """It is time to look at the endpoint of which this is the present incarnation."""
        if key := self._generations.get(generation):
            self.wake(key)

    def wake_each(self, keys: Iterable[EndpointKey]) -> None:
        """It is time to look at these endpoints."""
        for key in keys:
            self.wake(key)

    async def close(self) -> None:
        """Take no more turns, whatever wakes an endpoint from now on; one that is under way ends
        first at its next await."""
        self._is_closed = True
        tasks = [turns.task for turns in self._turns.values() if turns.task]
        tasks += [self._waking] if self._waking else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_turns(self, key: EndpointKey, turns: _Turns) -> None:
        wake_at: float | None = self._clock.now()
        while wake_at is not None:
            turns.due.clear()
            try:
                wake_at = await self._turn(key, turns)
            except StaleDecision:
                wake_at = self._clock.now()  # a newer wish was saved meanwhile: look again
            except Exception:
                log.exception("turn failed", endpoint=key)
                wake_at = self._clock.now() + RETRY_SECONDS
            if wake_at is not None:
                latest = self._clock.now() + IDLE_SECONDS
                if wake_at >= latest and not turns.due.is_set():
                    self._rest(key, turns, latest)
                    return
                await self._clock.wait(turns.due, min(wake_at, latest))
        self._turns.pop(key, None)
        self._watchers.forget(key)
        self._generations.pop(turns.generation, None)
        if turns.due.is_set():
            # Made again under its name before this turn heard that its own deletion was saved.
            self.wake(key)

    def _rest(self, key: EndpointKey, turns: _Turns, until: float) -> None:
        """Nothing is to be done for an endpoint before then, and nobody has woken it."""
        turns.task = None
        self._resting[key] = until
        if self._waking is None:
            self._waking = asyncio.create_task(self._wake_the_rested())

    async def _wake_the_rested(self) -> None:
        """The net below the wake-ups, for as long as anybody rests."""
        while self._resting:
            key, until = next(iter(self._resting.items()))
            if until > self._clock.now():
                await self._clock.wait(Due(), until)  # whoever it was may be at work by then
            else:
                self.wake(key)
        self._waking = None

    async def _turn(self, key: EndpointKey, turns: _Turns) -> float | None:
        """One turn. When to come back, at the latest; None when there is no endpoint any more."""
        seen = await self._read(key, turns)
        if seen is None:
            self._actor.forget(key)
            return None
        record, tripped = seen
        self._is_now(key, turns, record.endpoint.generation)
        now = self._clock.now()
        facts = self._observer.facts(record.endpoint, record.deployment, tripped, now)
        decision = decide(record.endpoint, record.deployment, facts, now)
        self._crash_point("before-save")
        save_at = turns.saved_at + WATCHED_SECONDS
        can_wait = now < save_at and _has_only_watched(record, decision)
        if can_wait:
            decision = replace(decision, deployment=record.deployment)
        elif not _is_unchanged(record, facts, decision):
            await self._threads.run(self._save, record, facts, decision)
            turns.saved_at = now
        self._crash_point("after-save")
        if decision.deployment.over and not record.deployment.over:
            self._on_ended(key, decision)
        if decision.gone:
            self._actor.forget(key)
            return None
        self._actor.act(decision)
        wake_at = decision.wake_at if decision.wake_at is not None else inf
        unseen = can_wait and not _looks_the_same(record.facts, facts)
        return min(wake_at, save_at) if unseen else wake_at

    def _is_now(self, key: EndpointKey, turns: _Turns, generation: str) -> None:
        """This is the present incarnation."""
        if turns.generation != generation:
            self._generations.pop(turns.generation, None)
            self._generations[generation] = key
            turns.generation = generation

    async def _read(self, key: EndpointKey, turns: _Turns) -> _Read | None:
        """What the store knows, without waiting for the database here. An alarm of the endpoint's
        that changes meanwhile makes the next turn due."""
        self._watchers.look(key)
        try:
            seen = _read(self._store.remembered(), key)
        except NotRemembered:
            seen = await self._threads.run(self._ask, key)
        if self._watchers.put(key, _alarms(seen[0]) if seen is not None else ()):
            turns.due.set()
        return seen

    def _ask(self, key: EndpointKey) -> _Read | None:
        with self._store.reading() as reading:
            return _read(reading, key)

    def _save(self, record: EndpointRecord, facts: Facts, decision: Decision) -> None:
        with self._store.transaction(by=SELF) as transaction:
            if _is_decided_the_same(record, decision):
                transaction.endpoints.save_facts(record, facts)
            else:
                transaction.endpoints.save(record, decision, facts)


_Read = tuple[EndpointRecord, Mapping[str, str]]
"""An endpoint, and those of its alarms that trip its deployment, with what is wrong with them."""


def _read(reading: Reading, key: EndpointKey) -> _Read | None:
    """None: there is no such endpoint."""
    record = reading.endpoints.find(key)
    if record is None:
        return None
    found = {name[-1]: trips(reading.alarms.find(*name)) for name in _alarms(record)}
    return record, {name: how for name, how in found.items() if how is not None}


def _alarms(record: EndpointRecord) -> list[AlarmName]:
    """The alarms that the endpoint's deployment turns back for."""
    account, region, _ = record.key
    return [(account, region, name) for name in record.deployment.alarms]


def _is_unchanged(record: EndpointRecord, facts: Facts, decision: Decision) -> bool:
    """Whether there is nothing to remember: an idle endpoint writes nothing (invariant L3)."""
    return _is_decided_the_same(record, decision) and _looks_the_same(record.facts, facts)


def _is_decided_the_same(record: EndpointRecord, decision: Decision) -> bool:
    return (
        not decision.gone
        and not decision.events
        and decision.endpoint == record.endpoint
        and decision.deployment == record.deployment
    )


def _has_only_watched(record: EndpointRecord, decision: Decision) -> bool:
    """Whether a turn has brought nothing that must be remembered before anything is done."""
    return (
        not decision.gone
        and not decision.events
        and decision.endpoint == record.endpoint
        and only_watched(record.deployment, decision.deployment)
    )


def _looks_the_same(before: Facts, after: Facts) -> bool:
    """Equal but for how long something has been so: DescribeEndpoint does not show that. What an
    instance that starts said last it does."""
    return _without_durations(before) == _without_durations(after)


def _without_durations(facts: Facts) -> tuple[object, ...]:
    fleets = {
        name: (
            fleet.ready,
            frozenset(fleet.starting),
            frozenset(fleet.unhealthy),
            frozenset(fleet.gone),
            fleet.draining,
            {ordinal: fleet.notes.get(ordinal) for ordinal in fleet.starting},
            fleet.failure,
        )
        for name, fleet in facts.fleets.items()
    }
    return fleets, facts.shares, facts.tripped
