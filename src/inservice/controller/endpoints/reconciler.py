"""Look, decide, remember, do: one turn of one endpoint, again and again.

Every endpoint has a task that takes its turns one after the other, so two turns of one endpoint
never meet. A turn holds no decision of its own: `deployment.advance` decides, the store remembers
under a fence, and only then is anything done. What a crash swallows between remembering and doing
is decided again by the next turn, because actions are the difference between the saved wish and
what is seen.

A wake-up is a name and nothing else. Whatever woke the endpoint, the turn looks at everything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from inservice.clock import Clock
from inservice.controller.endpoints.act import Actor
from inservice.controller.endpoints.observe import Observer
from inservice.deployment.advance import advance
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.ids import EndpointKey
from inservice.store.base import EndpointRecord, StaleDecision, Store
from inservice.telemetry.base import AlarmKey
from inservice.threads import Threads

RETRY_SECONDS = 1.0
"""After a turn that failed for a reason nobody foresaw: the next one may find better weather."""

IDLE_SECONDS = 120.0
"""The longest an endpoint goes unseen although nothing woke it: a net below the wake-ups."""

log = structlog.get_logger()

OnEnded = Callable[[EndpointKey, Deployment], None]
"""Called in the event loop with each deployment that came to its outcome."""

CrashPoint = Callable[[str], None]
"""Called with the name of a place where a crash must do no harm; kills the process when told to."""


@dataclass
class _Turns:
    """The task that takes an endpoint's turns, and what wakes it."""

    due: asyncio.Event = field(default_factory=asyncio.Event)
    alarms: frozenset[AlarmKey] = frozenset()  # that the deployment watches
    task: asyncio.Task[None] | None = None


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
        self._watching: dict[AlarmKey, set[EndpointKey]] = {}
        self._threads = Threads("decisions")

    def wake(self, key: EndpointKey) -> None:
        """It is time to look at this endpoint."""
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = _Turns()
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

    def wake_watching(self, alarms: Iterable[AlarmKey]) -> None:
        """These alarms changed: the endpoints whose deployments watch one of them are due."""
        for alarm in alarms:
            self.wake_each(tuple(self._watching.get(alarm, ())))

    async def close(self) -> None:
        """Take no more turns; one that is under way ends first at its next await."""
        tasks = [turns.task for turns in self._turns.values() if turns.task]
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
                pause = min(max(0.0, wake_at - self._clock.now()), IDLE_SECONDS)
                # `wait_for` forgets that it was cancelled when the event comes at that moment.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await turns.due.wait()
        self._watch(key, turns, frozenset())
        self._turns.pop(key, None)
        self._generations = {g: k for g, k in self._generations.items() if k != key}

    def _watch(self, key: EndpointKey, turns: _Turns, alarms: frozenset[AlarmKey]) -> None:
        """These alarms wake the endpoint from now on, before they are looked at: so that none that
        changes in between is missed."""
        for alarm in turns.alarms - alarms:
            watching = self._watching[alarm]
            watching.discard(key)
            if not watching:
                del self._watching[alarm]
        for alarm in alarms - turns.alarms:
            self._watching.setdefault(alarm, set()).add(key)
        turns.alarms = alarms

    async def _turn(self, key: EndpointKey, turns: _Turns) -> float | None:
        """One turn. When to come back, at the latest; None when there is no endpoint any more."""
        with self._store.reading() as reading:
            record = reading.find_endpoint(key)
        if record is None:
            self._actor.forget(key)
            return None
        self._generations[record.endpoint.generation] = key
        account, region, _ = key
        alarms = record.deployment.alarms
        self._watch(key, turns, frozenset(AlarmKey(account, region, name) for name in alarms))
        now = self._clock.now()
        facts = self._observer.facts(record.endpoint, record.deployment, now)
        decision = advance(record.endpoint, record.deployment, facts, now)
        self._crash_point("before-save")
        if not _is_unchanged(record, facts, decision):
            await self._threads.run(self._save, record, facts, decision)
        self._crash_point("after-save")
        if decision.deployment.over and not record.deployment.over:
            self._on_ended(key, decision.deployment)
        if decision.gone:
            self._actor.forget(key)
            return None
        self._actor.act(decision)
        return decision.wake_at if decision.wake_at is not None else now + IDLE_SECONDS

    def _save(self, record: EndpointRecord, facts: Facts, decision: Decision) -> None:
        with self._store.transaction() as transaction:
            if not decision.gone and not _looks_the_same(record.facts, facts):
                transaction.save_facts(record, facts)
            if not _is_decided_the_same(record, decision):
                transaction.save_endpoint(record, decision, announce=False)


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
