"""One history: an endpoint, a change of it, faults; then calm, an outcome, and rest.

Everything follows from one seed. A seed that breaks a rule is run again with
`python -m tests.simulation --seed N`, which prints every turn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from inservice.deployment.actions import Route
from inservice.deployment.advance import advance
from inservice.deployment.calls import controls
from inservice.deployment.calls.begin import (
    begin_create,
    begin_delete,
    begin_update,
    begin_update_weights_and_capacities,
)
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment, Phase
from inservice.errors import ValidationException
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.hosting.endpoint_config import EndpointConfig
from tests.core.deployment.makers import config_of, models_of
from tests.simulation.rules import Ledger, must
from tests.simulation.world import NEVER, Nature, Worker, World

TURNS_MAX = 1_500
"""A history that is not over by then never ends. Long ones take some hundreds."""

SETTLE_TURNS_MAX = 300
"""L4: after the faults have stopped, so many successful turns are enough for any outcome, counted
without those that only wait for a bake or a boot."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The chances per turn of one history."""

    crash_before_save: float = 0.0
    crash_after_save: float = 0.0  # per action
    lost_action: float = 0.0
    doubled_action: float = 0.0
    lost_wakeup: float = 0.0
    death: float = 0.0
    illness: float = 0.0
    fleet_death: float = 0.0
    host_death: float = 0.0
    worker_restart: float = 0.0
    clock_step: float = 0.0  # per crash
    control: float = 0.0  # a hand control

    @classmethod
    def drawn(cls, chance: random.Random) -> Faults:
        """One of three moods: calm, a few kinds of faults, or all of them."""
        mood = chance.random()
        if mood < 0.2:
            return cls()
        names = list(cls.__dataclass_fields__)
        kinds = names if mood > 0.8 else chance.sample(names, 3)
        rate = {"fleet_death": 0.02, "host_death": 0.005, "clock_step": 0.5}
        return cls(**{name: rate.get(name, chance.choice((0.02, 0.08, 0.2))) for name in kinds})


class History:
    """The shell around the engine, as thin as the real one, and the faults that befall it."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.tell = tell
        self.world = World(self.chance)
        self.world.ack_seconds_max = self.chance.choice((0.0, 0.05, 0.5))
        self.world.workers = [Worker(0) for _ in range(self.chance.choice((1, 1, 2, 3)))]
        self.faults = Faults()
        self.alarms: list[tuple[float, float]] = []
        self.turns = 0
        self.drowsy = self.chance.random() < 0.8  # whether control sleeps through boots
        self.late = self.chance.choice((0.0, 0.02, 0.2))  # how long a wake-up takes
        self.wake_at: float | None = None
        self.endpoint: Endpoint
        self.deployment: Deployment
        self.ledger: Ledger
        self.gone = False

    # ── the shell: look, decide, remember, do ──

    def turn(self) -> None:
        """One turn, unless a crash ends it."""
        world, chance, faults = self.world, self.chance, self.faults
        self.turns += 1
        must(self.turns < TURNS_MAX, "L4 the history never ends")
        world.publish()  # control refreshes the list of ready instances by itself
        facts = world.look()
        now = world.now + world.skew
        before, endpoint = self.deployment, self.endpoint
        decision = advance(endpoint, before, facts, now)
        if self.turns % 16 == 0:
            must(decision == advance(endpoint, before, facts, now), "the same is decided twice")
        if self.tell:
            self.tell(_line(world, decision, facts))
        if faults.crash_before_save and chance.random() < faults.crash_before_save:
            return self.crash()
        self.ledger.saved(before, endpoint, facts, decision)
        self.endpoint, self.deployment, self.gone = (
            decision.endpoint,
            decision.deployment,
            decision.gone,
        )
        self.wake_at = None if decision.wake_at is None else decision.wake_at - world.skew
        world.wish = decision.route or world.wish
        for action in decision.actions:
            if faults.crash_after_save and chance.random() < faults.crash_after_save:
                return self.crash()
            if faults.lost_action and chance.random() < faults.lost_action:
                continue
            self.ledger.acting(action, self.endpoint, self.deployment)
            world.perform(action)
            if faults.doubled_action and chance.random() < faults.doubled_action:
                world.perform(action)
        self.ledger.observed(self.endpoint, self.deployment)
        return None

    def crash(self) -> None:
        """Control dies, and is back after a while, perhaps with another idea of the time."""
        world, chance = self.world, self.chance
        world.crashes += 1
        world.wish = world.published
        world.pass_until(world.now + chance.choice((0.1, 1.0, 1.0, 4.0, 30.0, 600.0)))
        if chance.random() < self.faults.clock_step:
            world.skew += chance.choice((-86_400.0, -3_600.0, -5.0, 5.0, 3_600.0, 86_400.0))
        self.wake_at = world.now
        if self.tell:
            self.tell(f"{world.now:9.2f}  control crashed")

    def sleep(self) -> None:
        """Until the engine asked to be woken, or something happens."""
        world = self.world
        wake_at = NEVER if self.wake_at is None else self.wake_at
        lost = self.faults.lost_wakeup and self.chance.random() < self.faults.lost_wakeup
        event = world.next_event()
        if self.drowsy and world.is_booting() and event < NEVER:
            wake_at = max(wake_at, event)  # nothing will have changed before
        until = min(wake_at, NEVER if lost else event)
        until = min(until, world.now + 20.0) if until == NEVER or lost else until
        world.pass_until(max(until, world.now + 0.001) + self.late)
        at = world.now
        world.tripped = (
            {"errors": "is in ALARM"} if any(a <= at < b for a, b in self.alarms) else {}
        )

    def befall(self) -> None:
        """What nobody ordered, before a turn."""
        world, chance, faults = self.world, self.chance, self.faults
        alive = [key for key in world.instances if world.is_alive(key)]
        if faults.death and alive and chance.random() < faults.death:
            world.kill(chance.choice(alive))
        if faults.illness and alive and chance.random() < faults.illness:
            it = world.instances[chance.choice(alive)]
            if it.was_ready:
                it.ill_since = None if it.ill_since is not None else world.now
        if faults.fleet_death and alive and chance.random() < faults.fleet_death:
            fleet = chance.choice(alive)[0]
            for key in alive:
                if key[0] == fleet:
                    world.kill(key, "the whole fleet died")
        if faults.host_death and chance.random() < faults.host_death:
            world.lose_everything()
        if faults.worker_restart and chance.random() < faults.worker_restart:
            world.restart_worker()
        if faults.control and chance.random() < faults.control:
            self.control()

    def control(self) -> None:
        """Somebody takes a hand control; one that does not apply now is refused."""
        name = self.chance.choice(("pause", "resume", "resume", "promote", "promote", "abort"))
        row = self.deployment.row
        try:
            decision = getattr(controls, name)(self.endpoint, self.deployment, now=self.clock())
        except ValidationException:
            return
        if name == "promote":
            self.ledger.promoted.add(row)
        self.deployment = decision.deployment
        self.wake_at = self.world.now
        if self.tell:
            self.tell(f"{self.world.now:9.2f}  {name} by hand")

    def clock(self) -> float:
        """The engine's time."""
        return self.world.now + self.world.skew

    # ── the course of a history ──

    def begin(self, decision: Decision) -> None:
        """A call was accepted."""
        was = getattr(self, "endpoint", decision.endpoint)
        capacity = max(len(self.world.instances), sum(fleet.size for fleet in was.fleets))
        self.endpoint, self.deployment = decision.endpoint, decision.deployment
        self.ledger = Ledger(self.world, was, self.deployment, capacity)
        self.wake_at = self.world.now

    def run_until_over(self, faults: Faults, faulty_seconds: float) -> None:
        """Faults for so long, then calm until the deployment has its outcome and rests."""
        world = self.world
        self.faults, calm_at, settling = faults, world.now + faulty_seconds, 0
        while not self.gone and not self.deployment.over:
            if world.now < calm_at:
                self.befall()
            elif self.faults is not _CALM:
                self.calm()
            self.turn()
            if self.faults is _CALM and not self.deployment.real and not world.is_booting():
                settling += 1
                must(settling < SETTLE_TURNS_MAX, "L1 it does not settle after the faults stopped")
            self.sleep()
        self.calm()
        self.rest()

    def calm(self) -> None:
        """No more faults; what is ill gets well; a paused deployment is resumed."""
        self.faults = _CALM
        self.alarms = [(a, min(b, self.world.now)) for a, b in self.alarms]
        for it in self.world.instances.values():
            it.ill_since = None
        for nature in self.world.natures.values():
            if nature.exits < 1.0:
                nature.exits = 0.0
            if nature.hangs < 1.0:
                nature.hangs = 0.0
        if self.deployment.paused:
            self.deployment = controls.resume(
                self.endpoint, self.deployment, now=self.clock()
            ).deployment

    def rest(self) -> None:
        """L1, L2, L3: what was wished comes to be, stays, and costs nothing."""
        world = self.world
        for _ in range(260):
            if self.gone:
                break
            endpoint, deployment = self.endpoint, self.deployment
            self.turn()
            idle = self.endpoint is endpoint and self.deployment == deployment
            if idle and self.wake_at is None and not self.is_moving():
                break
            self.sleep()
        else:
            broken = [n for n in world.natures.values() if n.impossible or n.exits == 1.0]
            must(broken, "L1 what is over does not come to rest")
            return
        if self.gone:
            must(not world.instances, "L2 something is left of a deleted endpoint")
            must(not world.in_use(), "L2 a gateway still lists a deleted endpoint")
            return
        wanted = {w.fleet: w.size for w in self.deployment.step.wants if w.size}
        there = Counter(fleet for fleet, _ in world.instances)
        must(there == wanted, "L1 there is what is wanted and nothing else")
        must(all(map(world.is_ready, world.instances)), "L1 all that is wanted is ready")
        must(world.acked_shares() == self.deployment.step.shares, "L1 the shares are as planned")

    def is_moving(self) -> bool:
        """Whether something is under way that will wake control."""
        return self.world.next_event() < NEVER


_CALM = Faults()


# ── what to do in a history ────────────────────────────────────────────────────────────────────


def run(seed: int, tell: Callable[[str], None] | None = None) -> str:
    """One history from its seed; answers how it ended. Raises Violation."""
    history = History(seed, tell)
    chance = history.chance
    variants = chance.choice((1, 1, 1, 2, 3))
    sizes = [chance.randint(1, 5) for _ in range(variants)]
    old = config_of(
        "old", {f"v{n}": (size, chance.choice((1, 1, 2))) for n, size in enumerate(sizes)}
    )
    if chance.random() < 0.1:
        return create_among_faults(history, old)
    serve(history, old)
    act = chance.choices((update, scale, delete), (0.85, 0.1, 0.05))[0]
    act(history, chance)
    outcome = f"{history.ledger.kind} {history.deployment.strategy}: {_outcome(history)}"
    if not history.gone and chance.random() < 0.2:
        after(history, chance)
    return outcome


def serve(history: History, config: EndpointConfig) -> None:
    """An endpoint that is InService, as an undisturbed creation leaves it."""
    world, begun = history.world, _create(history, config)
    step = begun.deployment.plan[-1]
    for fleet in begun.deployment.new:
        for ordinal in range(fleet.size):
            world.put(fleet.id, ordinal)
    world.wish = Route(step.shares, {f: tuple(range(n)) for f, n in step.sizes.items()}, "g-1/1")
    world.publish()
    world.pass_until(1.0)
    history.endpoint = replace(
        begun.endpoint, status=EndpointStatus.IN_SERVICE, fleets=begun.deployment.new
    )
    history.deployment = replace(
        begun.deployment,
        phase=Phase.IN_SERVICE,
        row=len(begun.deployment.plan) - 1,
        shares=step.shares,
        sizes=step.sizes,
    )


def create_among_faults(history: History, config: EndpointConfig) -> str:
    """CreateEndpoint with everything going on."""
    for variant in config.variants:
        history.world.natures[f"g-1-{variant.name}"] = nature_of(history.chance)
    history.begin(_create(history, config))
    history.run_until_over(Faults.drawn(history.chance), history.chance.uniform(0, 100))
    return f"Create: {_outcome(history)}"


def update(history: History, chance: random.Random) -> None:
    """UpdateEndpoint by some strategy, with faults, alarms and broken models."""
    endpoint, world = history.endpoint, history.world
    faults = Faults.drawn(chance)
    document = policy_document(chance, rolling=len(endpoint.fleets) == 1)
    sizes = {f.variant.name: f.size for f in endpoint.fleets}
    if chance.random() < 0.4:
        sizes = {name: chance.randint(1, 5) for name in sizes}
    if document is None and chance.random() < 0.3:
        sizes = {"v0": 2, "other": 1}
    new = config_of("new", {name: (size, chance.choice((1, 1, 3))) for name, size in sizes.items()})
    try:
        decision = begin_update(
            endpoint,
            history.deployment,
            new,
            models_of(new),
            deployment_config=document,
            alarms={"errors": "OK"},
            now=history.clock(),
        )
    except ValidationException:  # a size that the fleet does not fit
        decision = begin_update(
            endpoint, history.deployment, new, models_of(new), alarms={}, now=history.clock()
        )
    for fleet in decision.deployment.new:
        world.natures[fleet.id] = nature_of(chance)
    if chance.random() < 0.15:  # the old artifact is gone: what died or was stopped cannot return
        for fleet in endpoint.fleets:
            world.natures[fleet.id] = (
                Nature(impossible=True) if chance.random() < 0.5 else Nature(exits=1.0)
            )
    if chance.random() < 0.35:
        start = world.now + chance.uniform(0, 60) * chance.choice((0.1, 1.0, 5.0))
        spans = chance.choice((1, 1, 3))
        history.alarms = [
            (start + 70 * n, start + 70 * n + chance.uniform(5, 60)) for n in range(spans)
        ]
    history.begin(decision)
    history.run_until_over(faults, chance.uniform(0, 400))


def scale(history: History, chance: random.Random) -> None:
    """UpdateEndpointWeightsAndCapacities among faults."""
    fleets = history.endpoint.fleets
    for fleet in fleets:
        history.world.natures[fleet.id] = nature_of(chance)
    desired = [
        {
            "VariantName": fleet.variant.name,
            "DesiredInstanceCount": chance.randint(1, 6),
            "DesiredWeight": chance.choice((1.0, 2.0, 0.5)),
        }
        for fleet in fleets
    ]
    now = history.clock()
    history.begin(
        begin_update_weights_and_capacities(history.endpoint, history.deployment, desired, now=now)
    )
    history.run_until_over(Faults.drawn(chance), chance.uniform(0, 100))


def delete(history: History, chance: random.Random) -> None:
    """DeleteEndpoint among faults."""
    history.begin(begin_delete(history.endpoint, history.deployment, now=history.clock()))
    history.run_until_over(Faults.drawn(chance), chance.uniform(0, 60))


def after(history: History, chance: random.Random) -> None:
    """Whatever the outcome was, there is a way on: out of UpdateRollbackFailed too."""
    world = history.world
    for nature in world.natures.values():
        nature.exits, nature.hangs, nature.impossible = 0.0, 0.0, False
    if history.deployment.phase is Phase.FAILED or chance.random() < 0.3:
        history.begin(begin_delete(history.endpoint, history.deployment, now=history.clock()))
        history.run_until_over(_CALM, 0.0)
        must(history.gone, "L2 a deletion ends")
        return
    names = sorted({f.variant.name for f in history.endpoint.fleets})
    config = config_of("third", dict.fromkeys(names, (2, 1)))
    history.begin(
        begin_update(
            history.endpoint,
            history.deployment,
            config,
            models_of(config),
            alarms={},
            now=history.clock(),
        )
    )
    history.run_until_over(_CALM, 0.0)
    must(history.deployment.phase is Phase.IN_SERVICE, "a next update succeeds")
    must(history.endpoint.config.name == "third", "a next update takes its config")


def nature_of(chance: random.Random) -> Nature:
    """Mostly good; sometimes slow, unlucky, broken, or hanging."""
    return chance.choices(
        (
            Nature(),
            Nature(boot_seconds=(5.0, 400.0)),
            Nature(exits=0.3),
            Nature(exits=1.0),
            Nature(hangs=0.3),
            Nature(impossible=True),
        ),
        (60, 10, 10, 8, 6, 6),
    )[0]


def policy_document(chance: random.Random, *, rolling: bool) -> dict[str, Any] | None:
    """A DeploymentConfig, or none."""
    kind = chance.choice(
        ("none", "all", "canary", "linear", *(("rolling",) * 3 if rolling else ()))
    )
    if kind == "none":
        return None
    wait, bake = chance.choices((0, 6, 12, 40), (6, 6, 4, 2), k=2)
    size = {"Type": "CAPACITY_PERCENT", "Value": chance.choice((10, 20, 33, 50))}
    timeout = {} if chance.random() < 0.6 else {"MaximumExecutionTimeoutInSeconds": 600}
    alarms = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}
    if kind == "rolling":
        policy = {"MaximumBatchSize": size, "WaitIntervalInSeconds": bake, **timeout}
        if chance.random() < 0.5:
            policy["RollbackMaximumBatchSize"] = {"Type": "CAPACITY_PERCENT", "Value": 40}
        return {"RollingUpdatePolicy": policy, **alarms}
    types = {"all": "ALL_AT_ONCE", "canary": "CANARY", "linear": "LINEAR"}
    traffic: dict[str, Any] = {"Type": types[kind], "WaitIntervalInSeconds": bake}
    if kind != "all":
        traffic["CanarySize" if kind == "canary" else "LinearStepSize"] = size
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": traffic,
            "TerminationWaitInSeconds": wait,
            **timeout,
        },
        **alarms,
    }


def _create(history: History, config: EndpointConfig) -> Decision:
    return begin_create(
        config,
        models_of(config),
        name="e",
        arn="arn:e",
        generation="g",
        alarms={},
        now=history.clock(),
    )


def _outcome(history: History) -> str:
    if history.gone:
        return "gone"
    rolled_back = history.deployment.reason is not None
    return f"{history.deployment.phase}{', rolled back' if rolled_back else ''}"


def _line(world: World, decision: Decision, facts: Facts) -> str:
    d = decision.deployment
    seen = "  ".join(
        f"{fleet}: ready {sorted(s.ready)} starting {sorted(s.starting)} ill {sorted(s.unhealthy)} "
        f"gone {sorted(s.gone)} draining {sorted(s.draining)} routed {sorted(s.routed)}"
        for fleet, s in sorted(facts.fleets.items())
    )
    return (
        f"{world.now:9.2f}  {d.phase} row {d.row} {d.step.doing} held {d.held_seconds:.1f}"
        f"  {seen}  acked {facts.shares} {'ALARM' if facts.tripped else ''}"
        f" → {decision.actions} {d.reason or ''}"
    )
