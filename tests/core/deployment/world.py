"""A world for the engine alone, as golden transcripts need it: calm, and the same every time.

The engine's eyes and hands are here, and nothing of its mind. Time is a number; chance is one
`random.Random`. What becomes of the engine within the controller that ships is asked in
tests/simulation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from inservice.deployment.actions import Action, Launch, Retire, Route
from inservice.deployment.facts import Facts, FleetFacts, Gone

NEVER = float("inf")


@dataclass(slots=True)
class Instance:
    """One running copy, and what will become of it."""

    fleet: str
    ordinal: int
    launched: float  # true time
    started_at: float  # the engine's clock
    ready_at: float  # true time; NEVER for one that hangs
    dead_at: float = NEVER
    why: str = ""
    ill_since: float | None = None
    drained_at: float | None = None  # being retired until then
    was_ready: bool = False


@dataclass(slots=True)
class Nature:
    """How the instances of a fleet behave when launched."""

    boot_seconds: tuple[float, float] = (0.2, 3.0)
    exits: float = 0.0  # chance that a start exits
    hangs: float = 0.0  # chance that a start never becomes ready
    impossible: bool = False  # the artifact is gone: nothing can be launched any more


@dataclass(frozen=True, slots=True)
class Table:
    """What a gateway knows of the endpoint."""

    shares: Mapping[str, int]
    listed: frozenset[tuple[str, int]]


@dataclass(slots=True)
class Worker:
    """A gateway worker: the table that it last acknowledged, and when it will the newest."""

    acked: int | None  # index into World.tables; None: just started, has said nothing
    due: list[tuple[float, int]] = field(default_factory=list)  # (when, which table)


@dataclass(slots=True)
class World:
    """Everything outside the engine."""

    chance: random.Random
    now: float = 0.0  # true time
    skew: float = 1_000_000.0  # the engine's clock minus the truth; steps when control restarts
    instances: dict[tuple[str, int], Instance] = field(default_factory=dict)
    natures: dict[str, Nature] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=lambda: [Table({}, frozenset())])
    workers: list[Worker] = field(default_factory=list)
    wish: Route | None = None  # what control goes by when instances come and go
    published: Route | None = None  # what it finds in its file after a crash
    ack_seconds_max: float = 0.05
    drain_seconds_max: float = 4.0
    tripped: dict[str, str] = field(default_factory=dict)
    crashes: int = 0  # of control

    # ── time ──

    def pass_until(self, when: float) -> None:
        """Let boots, exits, drains and acknowledgements happen."""
        self.now = max(self.now, when)
        now = self.now
        for key, it in list(self.instances.items()):
            if it.drained_at is not None:
                if it.drained_at <= now:
                    del self.instances[key]
            elif it.ready_at <= now < it.dead_at:
                it.was_ready = True
        for worker in self.workers:
            while worker.due and worker.due[0][0] <= now:
                worker.acked = worker.due.pop(0)[1]

    def next_event(self) -> float:
        """When something will happen by itself."""
        now = self.now
        times = [
            t
            for it in self.instances.values()
            for t in (it.drained_at if it.drained_at is not None else it.ready_at, it.dead_at)
            if t > now
        ]
        times += [worker.due[0][0] for worker in self.workers if worker.due]
        return min(times, default=NEVER)

    # ── what control sees ──

    def look(self) -> Facts:
        """Everything as it is, as the engine is told."""
        now = self.now
        seen: dict[str, list[dict[int, object]]] = {}
        for (fleet, ordinal), it in self.instances.items():
            kinds = seen.get(fleet)
            if kinds is None:
                kinds = seen[fleet] = [{}, {}, {}, {}, {}]
            if it.drained_at is not None:
                kinds[4][ordinal] = True
            elif it.dead_at <= now:
                served = max(0.0, it.dead_at - it.ready_at)
                kinds[3][ordinal] = Gone(
                    it.why, it.started_at, it.why, served, it.dead_at - it.launched
                )
            elif it.ready_at > now:
                kinds[1][ordinal] = now - it.launched
            elif it.ill_since is not None:
                kinds[2][ordinal] = now - it.ill_since
            else:
                kinds[0][ordinal] = True
        routed: dict[str, set[int]] = {}
        for fleet, ordinal in self.in_use():
            routed.setdefault(fleet, set()).add(ordinal)
        impossible = {f for f, n in self.natures.items() if n.impossible}
        fleets = {}
        for fleet in sorted(seen.keys() | routed.keys() | impossible):  # chance must not see a set
            ready, starting, unhealthy, gone, draining = seen.get(fleet, ({}, {}, {}, {}, {}))
            fleets[fleet] = FleetFacts(
                frozenset(ready),
                starting,  # type: ignore[arg-type]
                unhealthy,  # type: ignore[arg-type]
                gone,  # type: ignore[arg-type]
                frozenset(draining),
                frozenset(routed.get(fleet, ())),
                failure="the artifact is gone" if fleet in impossible else None,
            )
        return Facts(fleets, self.acked_shares(), dict(self.tripped), str(self.crashes))

    def acked_shares(self) -> Mapping[str, int] | None:
        """What all workers acknowledge, if they all do the same."""
        first: Mapping[str, int] | None = None
        for worker in self.workers:
            if worker.acked is None:
                return None
            shares = self.tables[worker.acked].shares
            if first is not None and shares != first:
                return None
            first = shares
        return first

    def usable_tables(self) -> Iterator[Table]:
        """Every table that some worker may choose from at this moment."""
        oldest = min((w.acked or 0 for w in self.workers), default=len(self.tables) - 1)
        yield from self.tables[oldest:]

    def in_use(self) -> set[tuple[str, int]]:
        """Every instance that some worker may choose at this moment."""
        return {key for table in self.usable_tables() for key in table.listed}

    # ── the truth ──

    def is_ready(self, key: tuple[str, int]) -> bool:
        """Whether it answers invocations now."""
        it = self.instances.get(key)
        return (
            it is not None
            and it.drained_at is None
            and it.ill_since is None
            and it.ready_at <= self.now < it.dead_at
        )

    # ── what control does ──

    def perform(self, action: Action) -> None:
        """One command, idempotent as the drivers are."""
        if isinstance(action, Launch):
            for ordinal in action.ordinals:
                self._launch(action.fleet, ordinal)
        elif isinstance(action, Route):
            self.wish = action
            self.publish()
        elif isinstance(action, Retire):
            for ordinal in action.ordinals:
                self._retire((action.fleet, ordinal))

    def publish(self) -> None:
        """A new table version, if what control last wished says anything new now."""
        if self.wish is None:
            return
        self.published = self.wish
        shares, ordinals = self.wish.shares, self.wish.ordinals
        listed = frozenset(
            key
            for key in self.instances
            if key[0] in shares and key[1] in ordinals.get(key[0], ()) and self.is_ready(key)
        )
        table = Table(shares, listed)
        if table == self.tables[-1]:
            return
        self.tables.append(table)
        for worker in self.workers:
            when = self.now + self.chance.random() * self.ack_seconds_max
            if worker.due:
                when = max(when, worker.due[-1][0])
            worker.due.append((when, len(self.tables) - 1))

    def _launch(self, fleet: str, ordinal: int) -> None:
        there = self.instances.get((fleet, ordinal))
        nature = self.natures.setdefault(fleet, Nature())
        if (there is not None and self.now < there.dead_at) or nature.impossible:
            return
        chance, now = self.chance, self.now
        it = Instance(
            fleet, ordinal, now, now + self.skew, now + chance.uniform(*nature.boot_seconds)
        )
        if nature.exits and chance.random() < nature.exits:
            it.ready_at, it.dead_at, it.why = NEVER, it.ready_at, "the start failed"
        elif nature.hangs and chance.random() < nature.hangs:
            it.ready_at = NEVER
        self.instances[fleet, ordinal] = it

    def _retire(self, key: tuple[str, int]) -> None:
        it = self.instances.get(key)
        if it is None or it.drained_at is not None:
            return
        if it.dead_at <= self.now:
            del self.instances[key]
        else:
            it.drained_at = self.now + self.chance.uniform(0.0, self.drain_seconds_max)

    # ── what nobody ordered ──

    def kill(self, key: tuple[str, int], why: str = "killed") -> None:
        """An instance dies."""
        it = self.instances[key]
        if self.now < it.dead_at:
            it.dead_at, it.why = self.now, why
