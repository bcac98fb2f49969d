"""What must hold of the world, whatever anybody believes: asked of the truth at every change of it.

Three kinds of rules. *What control sees is what is*: the facts of each turn against host and
workers (O1 to O7). *What is done was decided and remembered*, and does no harm when it is done: at
each launch, each SIGTERM, each table that a worker takes up (S3, S10, S11, S12, R1). *What is
wished comes to be*, within so many seconds of a control that lives (A9, L2).

Control is late by nature: the host pings a healthy instance once a second, and the ping of one that
hangs takes two. So where a rule concerns the health of an instance, it asks what was so within
SIGHT_SECONDS; where it concerns tables, stops and records there is no such leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inservice.deployment.actions import Action
from inservice.deployment.facts import Facts, FleetFacts
from inservice.deployment.state import Decision, Deployment, Phase
from inservice.hosting.endpoint import Endpoint
from inservice.ids import EndpointKey
from inservice.routing.table import EndpointRoute, RoutingTable
from tests.simulation.rules import Ledger, Turn, must
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

SIGHT_SECONDS = 3.5
"""How late the controller may be to see how an instance is: a second between pings, two for a ping
that is not answered, and something for the way of a wake-up and a save."""

REACTION_SECONDS = 12.0
"""How soon what gateways list follows what is: a sight, a turn, a save, a table on its way."""

STRAY_SECONDS = 60.0
"""How soon nothing is left that belongs to no endpoint, once control is up."""

WANTED_SECONDS = 3.0
"""How long a launch goes on after its fleet was given up: it asks between two instances."""

SERVING = frozenset({Phase.UPDATING, Phase.ROLLING_BACK, Phase.IN_SERVICE, Phase.ROLLBACK_FAILED})


@dataclass
class Known:
    """An endpoint as its record has it, and since when."""

    endpoint: Endpoint
    deployment: Deployment
    version: int
    since: float

    @property
    def key(self) -> EndpointKey:
        """How workers and the store know it."""
        return self.endpoint.account, self.endpoint.region, self.endpoint.name


@dataclass
class Watch:
    """The second memory of the world."""

    world: World
    known: dict[str, Known] = field(default_factory=dict)
    """By generation: what is on record."""
    ledgers: dict[str, Ledger] = field(default_factory=dict)  # by deployment id
    turns: dict[str, Turn] = field(default_factory=dict)  # by generation: the one under way
    wanted_at: dict[str, float] = field(default_factory=dict)  # by fleet: when it last was
    strays_since: dict[str, float] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    """By deployment and fleet: the builds of which the begin was told, and not the end."""
    writes: int = 0  # transactions, of anybody
    turns_taken: int = 0

    # ── what control sees is what is ────────────────────────────────────────────────────────────
    def looked(self, endpoint: Endpoint, deployment: Deployment, facts: Facts) -> None:
        """A turn begins, and this is what it is decided from."""
        world = self.world
        control = world.control
        assert control is not None
        self.turns_taken += 1
        self.turns[endpoint.generation] = Turn(
            endpoint, deployment, facts, world.loop.time(), control.life
        )
        for fleet, seen in facts.fleets.items():
            self._seen(fleet, seen, control.started_at)
        for instance_id in world.host.alive_of(f"{endpoint.generation}-"):
            fleet, _, ordinal = instance_id.rpartition("/")
            seen = facts.of(fleet)
            if world.host.age(instance_id) > SIGHT_SECONDS:
                must(int(ordinal) in seen.present, f"O3 {instance_id} runs and is not seen")
            if world.host.is_ready_for(instance_id, SIGHT_SECONDS):
                well = int(ordinal) in seen.ready or int(ordinal) in seen.draining
                must(well, f"O1 {instance_id} is ready and is not taken for it")
        key = (endpoint.account, endpoint.region, endpoint.name)
        for worker in world.supervisor.serving():
            route = worker.route(key)
            for instance_id in _listed(route):
                fleet, _, ordinal = instance_id.rpartition("/")
                must(
                    int(ordinal) in facts.of(fleet).routed,
                    f"O4 {instance_id} may be chosen by a worker and is not counted as routed",
                )
            if facts.shares is not None:
                must(_shares(route) == facts.shares, "O5 a worker serves by other shares than told")
        tripped = {name for name in deployment.alarms if world.alarms.get(name) == "ALARM"}
        must(facts.tripped.keys() == tripped, f"O6 the alarms that trip are {tripped}")

    def _seen(self, fleet: str, seen: FleetFacts, started_at: float) -> None:
        host = self.world.host
        for ordinal in seen.ready:
            instance_id = f"{fleet}/{ordinal}"
            past = host.past.get(instance_id)
            must(
                past is None or past.asked_at is None or past.asked_at < started_at,
                f"O1 {instance_id} is being stopped and is taken for ready",
            )
            must(
                host.was_ready_within(instance_id, SIGHT_SECONDS),
                f"O1 {instance_id} is taken for ready and is not",
            )
        for ordinal in seen.gone:
            alive = host.find_running(f"{fleet}/{ordinal}") is not None
            must(not alive, f"O2 {fleet}/{ordinal} is taken for gone and runs")
        for ordinal, seconds in seen.starting.items():
            instance_id = f"{fleet}/{ordinal}"
            age = host.age(instance_id)
            if host.find_running(instance_id) is not None:
                must(
                    age - 1.0 <= seconds <= age + 1.0 or (seconds == 0.0 and age < SIGHT_SECONDS),
                    f"O7 {instance_id} has been starting for {age:.0f} s, and {seconds:.0f} it is",
                )
        for ordinal, seconds in seen.unhealthy.items():
            instance_id = f"{fleet}/{ordinal}"
            must(
                not host.is_ready_for(instance_id, SIGHT_SECONDS),
                f"O1 {instance_id} is well and is taken for ill",
            )
            must(
                seconds <= host.ill_for(instance_id) + SIGHT_SECONDS,
                f"O7 {instance_id} has not been ill for {seconds:.0f} s",
            )

    # ── what is remembered ──────────────────────────────────────────────────────────────────────
    def committed(
        self, decision: Decision, version: int, before: Known | None, by_control: bool
    ) -> None:
        """A save of an endpoint was committed, in place of `before`."""
        endpoint, deployment = decision.endpoint, decision.deployment
        newest = self.known.get(endpoint.generation)
        must(
            newest is None or newest.version == version - 1,
            "S11 a save overwrote what was saved since it was decided",
        )
        self._tell_of_builds(decision)
        if deployment.id not in self.ledgers:
            alive = len(self.world.host.alive_of(f"{endpoint.generation}-"))
            was = before.endpoint if before is not None else endpoint
            self.ledgers[deployment.id] = Ledger(
                was,
                deployment,
                capacity_before=max(alive, sum(fleet.size for fleet in was.fleets)),
                deaths=lambda: self.world.host.deaths,
                left=lambda: [h.instance_id for h in self.world.host.records()],
            )
        if by_control:
            turn = self.turns[endpoint.generation]
            self.turns.pop(endpoint.generation)
            self.ledgers[deployment.id].saved(turn, decision)
        elif deployment.promoted:
            self.ledgers[deployment.id].promoted.add(deployment.row)
        if decision.gone:
            self._gone(endpoint)
            return
        self.known[endpoint.generation] = Known(
            endpoint, deployment, version, self.world.loop.time()
        )
        self._note_wants(deployment)

    def _tell_of_builds(self, decision: Decision) -> None:
        """A history tells that a build begins, and that it is done: each once."""
        for event in decision.events:
            if not event.message.startswith("Fleet "):
                continue
            fleet = event.message.removeprefix("Fleet ").partition(":")[0]
            key = (event.deployment, fleet)
            if event.message.endswith(" is done."):
                must(key in self.told, f"B3 a build of {fleet} is told to be done that never began")
                self.told.discard(key)
            else:
                must(key not in self.told, f"B3 the begin of a build of {fleet} is told again")
                self.told.add(key)

    def _note_wants(self, deployment: Deployment) -> None:
        for want in deployment.step.wants:
            if want.size:
                self.wanted_at[want.fleet] = float("inf")
        wanted = {want.fleet for want in deployment.step.wants if want.size}
        for fleet, at in self.wanted_at.items():
            if at == float("inf") and fleet not in wanted and _is_of(fleet, deployment):
                self.wanted_at[fleet] = self.world.loop.time()

    def _gone(self, endpoint: Endpoint) -> None:
        del self.known[endpoint.generation]
        left = [h.instance_id for h in self.world.host.records()]
        mine = [one for one in left if one.startswith(f"{endpoint.generation}-")]
        must(not mine, f"L2 an endpoint is gone and {mine} are left")

    # ── what is done ────────────────────────────────────────────────────────────────────────────
    def acting(self, decision: Decision, saved: Decision | None) -> None:
        """A decision is about to be carried out; `saved` is the one that was remembered last."""
        generation = decision.endpoint.generation
        turn = self.turns.pop(generation, None)
        ledger = self.ledgers.get(decision.deployment.id)
        if turn is not None:  # nothing had to be saved: then nothing may have changed
            must(
                decision.endpoint == turn.endpoint and decision.deployment == turn.deployment,
                "S11 what is not remembered is done",
            )
            if ledger is not None:
                ledger.saved(turn, decision)
        else:
            must(decision is saved, "S11 what is not remembered is done")

    def action(self, action: Action, decision: Decision, facts: Facts) -> None:
        """One of its actions is."""
        self.ledgers[decision.deployment.id].acting(action, decision, facts)

    def starting(self, instance_id: str) -> None:
        """A process is started."""
        fleet, _, _ = instance_id.rpartition("/")
        known = self.known.get(fleet.partition("-")[0])
        must(known is not None, f"S10 {instance_id} is launched for no endpoint")
        assert known is not None
        must(
            self.wanted_at.get(fleet, 0.0) >= self.world.loop.time() - WANTED_SECONDS,
            f"S10 {instance_id} is launched, and its fleet is not wanted",
        )
        alive = len(self.world.host.alive_of(f"{known.endpoint.generation}-"))
        self.ledgers[known.deployment.id].launched(alive + 1, known.deployment)

    def asked_to_end(self, instance_id: str) -> None:
        """An instance gets its SIGTERM."""
        host, workers = self.world.host, self.world.supervisor.serving()
        fleet = instance_id.rpartition("/")[0]
        must(
            not any(worker.lists(instance_id) for worker in workers),
            f"S12 {instance_id} is stopped and a worker may still choose it",
        )
        known = self.known.get(fleet.partition("-")[0])
        if known is None or known.deployment.phase not in SERVING:
            return
        if not host.is_ready(instance_id):
            return
        others = [
            one
            for one in host.alive_of(f"{known.endpoint.generation}-")
            if one != instance_id and host.was_ready_within(one, SIGHT_SECONDS)
        ]
        others += [one for one in host.lately_dead(SIGHT_SECONDS) if one != instance_id]
        must(others, f"S3 {instance_id} is stopped, the last of its endpoint that is ready")

    # ── what workers serve by ───────────────────────────────────────────────────────────────────
    def table_taken(self, worker: Worker, before: RoutingTable) -> None:
        """A worker serves by another table from now on."""
        host, after = self.world.host, worker.table
        must(after.version >= before.version, "S12 a worker goes back to an older table")
        listed = {at for route in after.endpoints.values() for at in _addresses(route)}
        for route in after.endpoints.values():
            must(sum(_shares(route).values()) == 10_000, "S1 the shares of a worker sum to 10,000")
        was = {at for route in before.endpoints.values() for at in _addresses(route)}
        for instance_id, address in sorted(listed - was):
            past = host.past.get(instance_id)
            must(
                past.asked_at is None if past is not None else instance_id in host.lost,
                f"S12 a worker is sent to {instance_id}, which was stopped",
            )
            if before.version >= 0 and address == host.address(instance_id):
                must(
                    host.was_ready_within(instance_id, REACTION_SECONDS),
                    f"R1 a worker is sent to {instance_id}, which is not ready",
                )

    # ── what comes to be ────────────────────────────────────────────────────────────────────────
    def second_passed(self) -> None:
        """Every second: what must have been noticed by now."""
        world = self.world
        now = world.loop.time()
        control = world.control
        if control is None or control.settled_at is None:
            self.strays_since.clear()
            return
        if now - control.settled_at < REACTION_SECONDS or now < world.troubled_until:
            return
        for known in self.known.values():
            if known.deployment.phase in SERVING and now - known.since > REACTION_SECONDS:
                self._served(known, now)
        for fleet in world.host.building.values():
            wanted = self.wanted_at.get(fleet, 0.0) >= now - REACTION_SECONDS
            must(wanted, f"B1 a build goes on for {fleet}, which nobody wants")
        for instance_id in world.host.alive():
            if instance_id.partition("-")[0] not in self.known:
                since = self.strays_since.setdefault(instance_id, now)
                must(now - since < STRAY_SECONDS, f"L2 {instance_id} belongs to nobody and runs on")

    def _served(self, known: Known, now: float) -> None:
        """Who is in force and has been ready for long is listed; who is long dead is not."""
        host, shares = self.world.host, known.deployment.shares
        ready = [
            one
            for fleet in shares
            for one in host.alive_of(f"{fleet}/")
            if host.is_ready_for(one, REACTION_SECONDS)
        ]
        if not ready:
            return
        for worker in self.world.supervisor.serving():
            if worker.connected_since is None or now - worker.connected_since < REACTION_SECONDS:
                continue
            listed = _listed(worker.route(known.key))
            must(
                any(host.was_ready_within(one, REACTION_SECONDS) for one in listed),
                f"A9 a worker lists nothing that answers, and {ready} do",
            )
            dead = [one for one in listed if not host.was_ready_within(one, REACTION_SECONDS)]
            must(not dead, f"A9 a worker lists {dead}, which have not answered for long")


def _is_of(fleet: str, deployment: Deployment) -> bool:
    return fleet.partition("-")[0] == deployment.id.partition("-")[0]


def _listed(route: EndpointRoute | None) -> set[str]:
    if route is None:
        return set()
    return {instance.id for fleet in route.fleets for instance in fleet.instances}


def _addresses(route: EndpointRoute) -> set[tuple[str, str]]:
    return {(one.id, one.address) for fleet in route.fleets for one in fleet.instances}


def _shares(route: EndpointRoute | None) -> Mapping[str, int]:
    return {fleet.fleet: fleet.share for fleet in route.fleets} if route else {}
