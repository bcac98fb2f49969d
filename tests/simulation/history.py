"""One history: an endpoint, a change of it, faults; then calm, an outcome, and rest.

Everything follows from one seed. A seed that breaks a rule is run again with
`python -m tests.simulation --seed N`, which prints every turn and every fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from unittest import mock

import structlog

from inservice.deployment.state import Deployment, Phase
from inservice.errors import ValidationException
from inservice.hosting.endpoint import Endpoint
from tests.simulation.host import Nature
from tests.simulation.loop import Stalled, VirtualLoop
from tests.simulation.rules import Violation, must
from tests.simulation.watch import Known
from tests.simulation.world import Faults, Unreachable, World
from tests.stores import new_store

CALLBACKS_MAX = 150_000
"""A history that is not over by then goes round in circles. Long ones take some ten thousands."""

OUTCOME_SECONDS_MAX = 1_000.0
"""L4: after the faults have stopped, so long is enough for any outcome: a start of two minutes, the
longest backoff, and every wait of the longest plan."""

REST_SECONDS_MAX = 700.0
"""And so long for what was wished to be, beyond the outcome."""

IDLE_SECONDS = 125.0
"""For so long an endpoint at rest is watched: a round of the net below the wake-ups, and more."""

STARVING_SECONDS = 640.0
"""Longer than the shortest MaximumExecutionTimeoutInSeconds."""

IDLE_TURNS_MAX = 4
"""In that time: the round, and what is still on its way."""

NAME = "ep"
STARTUP_SECONDS = 60


class Broken(Exception):
    """Not a rule, but the shipped code or the harness itself broke down."""


def run(seed: int, tell: Callable[[str], None] | None = None) -> str:
    """One history from its seed; answers how it ended. Raises Violation, and Broken."""
    with _heard() as complaints, _named_in_turn():
        loop = VirtualLoop()
        world = World(loop, seed, tell)
        try:
            return _driven(loop, world, History(world), complaints)
        finally:
            world.end()
            loop.close()


@contextlib.contextmanager
def _named_in_turn() -> Iterator[None]:
    """What is named by chance is named by number: the same in every process."""
    new_store("store.db", "key")  # beforehand, since its making takes a name as well
    names = map("{:010x}".format, itertools.count(1))
    with mock.patch.object(secrets, "token_hex", side_effect=names):
        yield


def _driven(
    loop: VirtualLoop, world: World, history: History, complaints: list[dict[str, Any]]
) -> str:
    """Run the story, and look after each second of it whether anything broke."""
    story = loop.create_task(history.told())
    watching = loop.create_task(_watched(loop, world, story, complaints))
    try:
        loop.run_until_complete(watching)
        return story.result()
    except Stalled as stalled:
        raise world.broken or Violation("L1 nothing will ever happen any more") from stalled
    finally:
        if not story.done():
            story._log_destroy_pending = False  # type: ignore[attr-defined]
            story.get_coro().close()
        elif not story.cancelled():
            story.exception()


async def _watched(
    loop: VirtualLoop,
    world: World,
    story: asyncio.Task[str],
    complaints: list[dict[str, Any]],
) -> None:
    while not story.done():
        await asyncio.wait({story}, timeout=1.0)
        if world.broken is not None:
            raise world.broken
        for complaint in complaints:
            raise Violation(f"E1 {complaint['event']}: {complaint.get('exception', '')}")
        for problem in loop.problems:
            if isinstance(problem, Violation):
                raise problem
            raise Broken(repr(problem)) from problem
        must(loop.callbacks < CALLBACKS_MAX, "L4 the history never ends")
        world.check(world.watch.second_passed)


@contextlib.contextmanager
def _heard() -> Iterator[list[dict[str, Any]]]:
    """What the shipped code complains of in its log: an exception there is one that was caught."""
    before = structlog.get_config()
    complaints: list[dict[str, Any]] = []

    def hear(_: Any, method: str, event: Any) -> Any:
        if method in ("exception", "error"):
            complaints.append(event)
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.format_exc_info, hear],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    logging.disable(logging.CRITICAL)
    try:
        yield complaints
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)


class History:
    """What callers do, and what they wait for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(world.seed)
        world.meddle = self.meddle

    @property
    def known(self) -> Known | None:
        """The endpoint as it is on record."""
        return next((k for k in self.world.watch.known.values() if k.key[2] == NAME), None)

    @property
    def deployment(self) -> Deployment:
        """Its deployment."""
        assert self.known is not None
        return self.known.deployment

    @property
    def endpoint(self) -> Endpoint:
        """What is on record of it."""
        assert self.known is not None
        return self.known.endpoint

    async def told(self) -> str:
        """The whole of it."""
        world, chance = self.world, self.chance
        for _ in range(chance.choice((1, 1, 2, 3))):
            world.supervisor.add(0.1)
        world.start_control(0.1)
        variants = chance.choice((1, 1, 1, 2, 3))
        sizes = {f"v{n}": chance.randint(1, 4) for n in range(variants)}
        await self.sure(lambda: self.define("old", sizes))
        await self.sure(lambda: world.set_alarm("errors", "OK"))
        if chance.random() < 0.1:
            return await self.create_among_faults(variants)
        await self.begin(lambda: self.call("CreateEndpoint", EndpointConfigName="old"))
        await self.until_over()
        must(self.deployment.phase is Phase.IN_SERVICE, "an undisturbed creation succeeds")
        act = chance.choices((self.update, self.scale, self.delete), (0.78, 0.17, 0.05))[0]
        await act()
        strategy = self.deployment.strategy if self.known else "delete"
        outcome = f"{strategy}: {_outcome(self.known)}"
        if self.known is not None and chance.random() < 0.2:
            await self.after()
        return outcome

    # ── what is called ──────────────────────────────────────────────────────────────────────────
    def call(self, operation: str, **members: Any) -> Any:
        """An operation on the endpoint. Raises AwsError, and Unreachable."""
        return self.world.call("sagemaker", operation, EndpointName=NAME, **members)

    def define(
        self, name: str, sizes: dict[str, int], weights: dict[str, float] | None = None
    ) -> None:
        """A model and an endpoint config of this name, with so many instances of each variant."""
        container = {"Image": "python", "ModelDataUrl": "s3://bucket/model.tar.gz"}
        with contextlib.suppress(ValidationException):  # it is there: the last try was not in vain
            self.world.call("sagemaker", "CreateModel", ModelName=name, PrimaryContainer=container)
        variants = [
            {
                "VariantName": variant,
                "ModelName": name,
                "InitialInstanceCount": size,
                "InitialVariantWeight": (weights or {}).get(variant, 1.0),
                "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_SECONDS,
            }
            for variant, size in sizes.items()
        ]
        with contextlib.suppress(ValidationException):
            self.world.call(
                "sagemaker",
                "CreateEndpointConfig",
                EndpointConfigName=name,
                ProductionVariants=variants,
            )

    async def sure(self, call: Callable[[], Any]) -> Any:
        """Call until control answers."""
        while True:
            try:
                return call()
            except Unreachable:
                await asyncio.sleep(0.25)

    async def begin(self, call: Callable[[], Any]) -> None:
        """Call until a deployment has begun that had not: one whose answer was lost has."""
        before = self.known and self.deployment.id
        while (self.known and self.deployment.id) == before:
            try:
                call()
            except Unreachable:
                await asyncio.sleep(0.25)

    async def disturb(self) -> None:
        """Callers who take hand controls, and who ask for what cannot be had now."""
        kinds = self.world.faults.kinds & {"hand control", "refused call"}
        while kinds:
            await asyncio.sleep(self.chance.expovariate(1 / self.world.faults.pause_seconds))
            with contextlib.suppress(Unreachable):
                if "hand control" in kinds:
                    self.take_control()
                if "refused call" in kinds:
                    self.be_refused()

    def take_control(self) -> None:
        """One that does not apply now is refused."""
        names = ("Pause", "Resume", "Resume", "Promote", "Promote", "Abort")
        name = self.chance.choice(names)
        with contextlib.suppress(ValidationException):
            self.world.call("inservice", f"{name}Deployment", EndpointName=NAME)
            self.world.say(f"{name} by hand")

    def meddle(self) -> None:
        """Somebody is faster than a turn that is under way."""
        with contextlib.suppress(Unreachable):
            self.take_control()

    def be_refused(self) -> None:
        """AWS refuses every change while one is under way, and nothing changes by it."""
        known = self.known
        if known is None or known.deployment.over:
            return
        for operation, members in (
            ("UpdateEndpoint", {"EndpointConfigName": "old"}),
            ("DeleteEndpoint", {}),
        ):
            try:
                self.call(operation, **members)
            except ValidationException:
                must(self.known is known, f"S10 {operation} was refused and changed something")
            else:
                raise Violation(f"S10 {operation} was accepted while a change was under way")

    # ── the course of a history ─────────────────────────────────────────────────────────────────
    async def among_faults(self, faulty_seconds: float, *others: Coroutine[Any, Any, None]) -> None:
        """Faults for so long, then calm until the deployment has its outcome and rests."""
        world = self.world
        doing = [*map(world.loop.create_task, (world.befall(), self.disturb(), *others))]
        calm_at = world.loop.time() + faulty_seconds
        while world.loop.time() < calm_at and self.known and not self.deployment.over:
            await asyncio.sleep(0.25)
        for task in doing:
            task.cancel()
        world.be_calm()
        await self.sure(lambda: world.set_alarm("errors", "OK"))
        if self.known and self.deployment.paused:
            with contextlib.suppress(ValidationException):
                await self.sure(
                    lambda: world.call("inservice", "ResumeDeployment", EndpointName=NAME)
                )
        await self.until_over()
        await self.rest()

    async def until_over(self) -> None:
        """L4."""
        await self.until(
            lambda: self.known is None or self.deployment.over,
            OUTCOME_SECONDS_MAX,
            "L4 a deployment has no outcome, long after the faults stopped",
        )

    async def until(self, holds: Callable[[], bool], seconds: float, rule: str) -> None:
        """Wait for what must come. Time in which control is down does not count."""
        while not holds():
            must(seconds > 0, rule)
            await asyncio.sleep(0.5)
            control = self.world.control
            if control is not None and control.settled_at is not None:
                seconds -= 0.5

    async def rest(self) -> None:
        """L1, L2, L3: what was wished comes to be, stays, and costs nothing."""
        world = self.world
        if self.known is None:
            await asyncio.sleep(5.0)
            must(not world.host.records(), "L2 something is left of a deleted endpoint")
            listed = [w for w in world.supervisor.serving() if w.table.endpoints]
            must(not listed, "L2 a gateway still lists a deleted endpoint")
            return
        natures = world.host.natures.values()
        if any(n.impossible or n.unbuildable or 1.0 in (n.exits, n.hangs) for n in natures):
            return  # what is wished cannot be
        rule = "L1 there is not what is wanted, or something else"
        await self.until(self.is_as_wished, REST_SECONDS_MAX, rule)
        await asyncio.sleep(10.0)
        before, turns = self.effects(), world.watch.turns_taken
        await asyncio.sleep(IDLE_SECONDS)
        must(self.is_as_wished(), "L1 what is wished does not stay")
        turns = world.watch.turns_taken - turns
        must(turns <= IDLE_TURNS_MAX, f"L3 an endpoint at rest is looked at {turns} times")
        must(self.effects() == before, "L3 an endpoint at rest is written or acted upon")
        self.is_shown()
        await self.replace()

    async def replace(self) -> None:
        """What dies at rest is launched anew, and not only when somebody happens to look."""
        host = self.world.host
        victims = host.alive()
        if not victims:
            return
        victim = self.chance.choice(victims)
        self.world.say(f"at rest, {victim} dies")
        host.kill(victim)
        rule = f"A9 {victim} died at rest, and is not launched anew at once"
        await self.until(lambda: victim in host.alive(), 5.0, rule)
        rule = "L1 what is wished does not come back"
        await self.until(self.is_as_wished, REST_SECONDS_MAX, rule)

    def is_as_wished(self) -> bool:
        """Instances, and what every worker serves by."""
        world, step = self.world, self.deployment.step
        alive = world.host.alive()
        if Counter(one.rpartition("/")[0] for one in alive) != {
            f: n for f, n in step.sizes.items() if n
        }:
            return False
        if not all(map(world.host.is_ready, alive)):
            return False
        listed = {one for one in alive if one.rpartition("/")[0] in step.shares}
        for worker in world.supervisor.workers:
            route = worker.route(self.known.key) if self.known else None
            fleets = route.fleets if route else ()
            if {fleet.fleet: fleet.share for fleet in fleets} != step.shares:
                return False
            if {instance.id for fleet in fleets for instance in fleet.instances} != listed:
                return False
        return True

    def effects(self) -> tuple[int, ...]:
        """Grows with whatever is done."""
        world = self.world
        assert world.control is not None
        return world.watch.writes, world.host.effects, world.control.gateways.table.version

    def is_shown(self) -> None:
        """What DescribeEndpoint goes by is what is."""
        record = self.world.record(NAME)
        assert record is not None
        for fleet, size in self.deployment.step.sizes.items():
            shown = len(record.facts.of(fleet).ready)
            must(shown == size, f"O8 {shown} instances are shown of {size} that are ready")

    # ── what to do in a history ─────────────────────────────────────────────────────────────────
    def faults_begin(self) -> None:
        """From now on."""
        self.world.faults = Faults.drawn(self.chance)
        self.world.say(f"faults: {', '.join(sorted(self.world.faults.kinds)) or 'none'}")

    async def create_among_faults(self, variants: int) -> str:
        """CreateEndpoint with everything going on."""
        for number in range(variants):
            self.world.host.natures[f"1-v{number}"] = nature_of(self.chance)
        self.faults_begin()
        await self.begin(lambda: self.call("CreateEndpoint", EndpointConfigName="old"))
        await self.among_faults(self.chance.uniform(0, 60))
        return f"create: {_outcome(self.known)}"

    async def update(self) -> None:
        """UpdateEndpoint by some strategy, with faults, alarms and broken models."""
        chance, host = self.chance, self.world.host
        fleets = self.endpoint.fleets
        document = policy_document(chance, rolling=len(fleets) == 1)
        sizes = {fleet.variant.name: fleet.size for fleet in fleets}
        if chance.random() < 0.4:
            sizes = {name: chance.randint(1, 5) for name in sizes}
        if document is None and chance.random() < 0.3:
            sizes = {"v0": 2, "other": 1}
        weights = {name: chance.choice((1.0, 1.0, 3.0)) for name in sizes}
        await self.sure(lambda: self.define("new", sizes, weights))
        number = self.deployment.number + 1
        for name in sizes:
            host.natures[f"{number}-{name}"] = nature_of(chance)
        if chance.random() < 0.15:  # what died or was stopped of the old cannot return
            for fleet in fleets:
                bad = Nature(impossible=True) if chance.random() < 0.5 else Nature(exits=1.0)
                host.natures[fleet.id.partition("-")[2]] = bad
        self.faults_begin()
        members: dict[str, Any] = {"EndpointConfigName": "new"}
        if document is not None:
            members["DeploymentConfig"] = document
        try:
            await self.begin(lambda: self.call("UpdateEndpoint", **members))
        except ValidationException:  # a size that the fleet does not fit
            members.pop("DeploymentConfig")
            await self.begin(lambda: self.call("UpdateEndpoint", **members))
        tripping = []
        if chance.random() < 0.35:
            start = chance.uniform(0, 30) * chance.choice((0.1, 1.0, 3.0))
            spans = chance.choice((1, 1, 3))
            tripping = [self.trip(start, spans)]
        if document is not None and chance.random() < 0.04:
            await self.starve()
        await self.among_faults(chance.uniform(0, 150), *tripping)

    async def starve(self) -> None:
        """The host has no room, and keeps having none: only the deployment's own time ends that."""
        world = self.world
        world.faults = Faults()
        world.host.be_full(True)
        world.say("the host is full, and stays so")
        until = world.loop.time() + STARVING_SECONDS
        while world.loop.time() < until and self.known and not self.deployment.over:
            await asyncio.sleep(0.5)

    async def trip(self, after_seconds: float, spans: int) -> None:
        """An alarm goes off, and is quiet again."""
        await asyncio.sleep(after_seconds)
        for _ in range(spans):
            await self.sure(lambda: self.world.set_alarm("errors", "ALARM"))
            await asyncio.sleep(self.chance.uniform(3, 60))
            await self.sure(lambda: self.world.set_alarm("errors", "OK"))
            await asyncio.sleep(self.chance.uniform(3, 60))

    async def scale(self) -> None:
        """UpdateEndpointWeightsAndCapacities among faults."""
        chance = self.chance
        for fleet in self.endpoint.fleets:
            self.world.host.natures[fleet.id.partition("-")[2]] = nature_of(chance)
        desired = [
            {
                "VariantName": fleet.variant.name,
                "DesiredInstanceCount": chance.randint(1, 6),
                "DesiredWeight": chance.choice((1.0, 2.0, 0.5)),
            }
            for fleet in self.endpoint.fleets
        ]
        self.faults_begin()
        operation = "UpdateEndpointWeightsAndCapacities"
        await self.begin(lambda: self.call(operation, DesiredWeightsAndCapacities=desired))
        await self.among_faults(chance.uniform(0, 60))

    async def delete(self) -> None:
        """DeleteEndpoint among faults."""
        self.faults_begin()
        await self.begin(lambda: self.call("DeleteEndpoint"))
        await self.among_faults(self.chance.uniform(0, 30))

    async def after(self) -> None:
        """Whatever the outcome was, there is a way on: out of UpdateRollbackFailed too."""
        for nature in self.world.host.natures.values():
            nature.exits, nature.hangs, nature.impossible = 0.0, 0.0, False
            nature.unbuildable = False
        if self.deployment.phase is Phase.FAILED or self.chance.random() < 0.3:
            await self.begin(lambda: self.call("DeleteEndpoint"))
            await self.until_over()
            must(self.known is None, "L2 a deletion ends")
            await self.rest()
            return
        undo = self.endpoint.previous_config is not None and self.chance.random() < 0.3
        if undo and self.deployment.phase is Phase.IN_SERVICE:
            back_to = self.endpoint.previous_config
            await self.begin(
                lambda: self.world.call("inservice", "UndoDeployment", EndpointName=NAME)
            )
        else:
            sizes = dict.fromkeys(sorted({f.variant.name for f in self.endpoint.fleets}), 2)
            await self.sure(lambda: self.define("third", sizes))
            back_to = None
            await self.begin(lambda: self.call("UpdateEndpoint", EndpointConfigName="third"))
        await self.until_over()
        must(self.deployment.phase is Phase.IN_SERVICE, "a next update succeeds")
        wanted = back_to.name if back_to is not None else "third"
        must(self.endpoint.config.name == wanted, "a next update takes its config")
        await self.rest()


def nature_of(chance: random.Random) -> Nature:
    """Mostly good; sometimes slow, unlucky, broken, or hanging."""
    return chance.choices(
        (
            Nature(),
            Nature(boot_seconds=(5.0, 50.0)),
            Nature(exits=0.3),
            Nature(exits=1.0),
            Nature(hangs=0.3),
            Nature(hangs=1.0),
            Nature(impossible=True),
        ),
        (60, 10, 10, 8, 4, 3, 5),
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


def _outcome(known: Known | None) -> str:
    if known is None:
        return "gone"
    deployment = known.deployment
    back = deployment.reason is not None and deployment.phase is deployment.home
    return f"{deployment.phase}{' (rolled back)' if back else ''}"
