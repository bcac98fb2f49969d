"""One life of control: the shipped parts, joined as `app.control` joins them.

Store, Reconciler, Observer, Actor, Tables, Gateways, Instances and Launches are the ones that are
installed. Around three of them is a witness, who passes everything on and tells `watch` of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import inservice.operations  # noqa: F401 - fills the registry
from inservice.app.assets import KeptAssets
from inservice.artifacts.errors import ArtifactMissing, FetchCancelled, StorageFailed
from inservice.channel.publishing import Gateways
from inservice.controller.endpoints.act import Actor
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.endpoints.observe import Observer
from inservice.controller.endpoints.reconciler import SELF, Reconciler
from inservice.controller.kit.tables import Tables
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.hosting.endpoint import Endpoint
from inservice.ids import EndpointKey, generation_of
from inservice.operations.registry import Call, find
from inservice.store.base import Store, Transaction
from inservice.store.collections.alarms import AlarmsWriting
from inservice.store.collections.endpoints import EndpointRecord, EndpointsWriting
from inservice.store.drivers.database import open_store
from inservice.store.feed import CALLER
from inservice.threads import Threads
from tests.lenient import Lenient
from tests.simulation.clock import VirtualClock
from tests.simulation.host import Runtime
from tests.simulation.loop import Process
from tests.simulation.rules import STORAGE_AWAY
from tests.simulation.watch import Known

if TYPE_CHECKING:
    from tests.simulation.world import World

ACCOUNT, REGION = "0" * 12, "us-east-1"
DRAIN_SECONDS = 5.0
"""Between SIGTERM and SIGKILL."""


class Control:
    """From its start to its kill."""

    def __init__(self, world: World, life: int) -> None:
        self.world = world
        self.life = life
        self.process = Process(world.loop, f"control-{life}")
        self.started_at = world.loop.time()
        self.settled_at: float | None = None  # when it had found everything and began to decide
        self.store: WitnessedStore | None = None
        self.reconciler: Reconciler

    async def live(self, starting_seconds: float) -> None:
        """Start; from then on its parts wake each other."""
        await asyncio.sleep(starting_seconds)
        world = self.world
        self.clock = VirtualClock(world.machine)
        opened = open_store(f"sqlite:///{world.place / 'store.db'}", key_file=world.place / "key")
        self.store = WitnessedStore(opened, world)
        self._join(self.store, world.place)
        await self._start(self.store)
        self.settled_at = world.loop.time()

    def _join(self, store: Store, run_dir: Path) -> None:
        world, clock, crash_point = self.world, self.clock, self.world.pass_crash_point
        wake = lambda fleet: self.reconciler.wake_generation(generation_of(fleet))  # noqa: E731
        self.gateways = Gateways(
            run_dir,
            clock,
            on_acknowledged=lambda: self.reconciler.wake_each(self.tables.newly_agreed()),
            on_metrics=lambda *_: None,
        )
        self.tables: Tables = Tables(self.gateways)
        artifacts: Any = Artifacts(world)
        assets = KeptAssets(artifacts)
        runtime = Runtime(world.host, lambda: world.moment("runtime"), assets)
        self.instances = Instances(runtime, clock, wake)
        self.launches = Launches(self.instances, clock, wake)
        actor: Any = WitnessedActor(
            Actor(self.instances, self.launches, self.tables, DRAIN_SECONDS, crash_point), world
        )
        self.actor = actor
        observer: Any = WitnessedObserver(
            Observer(self.instances, self.launches, self.tables), world
        )
        self.reconciler = Reconciler(store, observer, actor, clock, crash_point)

    async def _start(self, store: WitnessedStore) -> None:
        """As `app.control.Control.start`."""
        generations = await Threads("starting").run(self._generations)
        await self.gateways.start(serving=bool(generations))
        self.tables.adopt()
        await self.instances.adopt()
        self.reconciler.follow(store.feed)
        self.actor.retire_strays(frozenset(generations.values()))
        # In one order, which no hash decides.
        self.reconciler.wake_each(sorted({*generations, *self.tables.keys()}))

    def _generations(self) -> dict[EndpointKey, str]:
        assert self.store is not None
        with self.store.reading() as reading:
            return {each.key: each.endpoint.generation for each in reading.endpoints.all()}

    # ── who asks ──
    def call(self, service: str, operation: str, **members: Any) -> Any:
        """An operation, as a caller of the API has it performed."""
        found = find(service, operation)
        assert found is not None
        assert self.store is not None
        live: Any = Lenient()
        principal = f"arn:aws:iam::{ACCOUNT}:root"
        call = Call(ACCOUNT, REGION, principal, "request", self.clock.now(), self.store, live)
        return found.perform(call, members)

    def record(self, name: str) -> EndpointRecord | None:
        """An endpoint as it is on record."""
        assert self.store is not None
        with self.store.reading() as reading:
            return reading.endpoints.find((ACCOUNT, REGION, name))

    def kill(self) -> None:
        """As by `kill -9`. The lock on the database goes with the process."""
        self.process.kill()
        if self.store is not None:
            self.world.loop.call_soon(self.store.close, context=self.world.context.copy())


class Artifacts:
    """`artifacts.store.ArtifactStore`, of which nothing is left but what may go wrong."""

    def __init__(self, world: World) -> None:
        self._world = world

    def fetch(self, uri: str, *, pin: str, cancelled: Any, **_: Any) -> Any:
        """Where the files are. Raises ArtifactError."""
        if cancelled.is_set():
            raise FetchCancelled("It is not wanted any more.", uri=uri)
        if self._world.host.nature(pin.removesuffix("+code")).impossible:
            raise ArtifactMissing("There is no such object.", uri=uri)
        if self._world.storage_away:
            raise StorageFailed(STORAGE_AWAY, uri=uri)
        return SimpleNamespace(path=Path("/model"))


# ── witnesses ──────────────────────────────────────────────────────────────────────────────────


class WitnessedObserver:
    """Tells what a turn is decided from."""

    def __init__(self, observer: Observer, world: World) -> None:
        self._observer = observer
        self._world = world

    def facts(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        tripped: Mapping[str, str],
        now: float,
    ) -> Facts:
        facts = self._observer.facts(endpoint, deployment, tripped, now)
        world = self._world
        world.check(world.watch.looked, endpoint, deployment, facts)
        world.facts[endpoint.generation] = facts
        world.look_taken()
        return facts


class WitnessedActor:
    """Tells what is done."""

    def __init__(self, actor: Actor, world: World) -> None:
        self._actor = actor
        self._world = world

    def act(self, decision: Decision) -> None:
        world = self._world
        generation = decision.endpoint.generation
        world.check(world.watch.acting, decision, world.saved.pop(generation, None))
        facts = world.facts[generation]
        for action in decision.actions:
            world.check(world.watch.action, action, decision, facts)
        world.tell_of(decision, facts)
        self._actor.act(decision)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)


class WitnessedStore:
    """Tells what is remembered; control may be killed before it is, and before anybody hears."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self.feed = store.feed
        self.holding = store.holding
        self.reading = store.reading
        self.remembered = store.remembered
        self.confirm = store.confirm
        self.close = store.close

    @contextlib.contextmanager
    def transaction(self, by: str = CALLER) -> Iterator[Transaction]:
        heard: list[Callable[[], None]] = []
        with self._store.transaction(by) as transaction:
            yield replace(
                transaction,
                endpoints=WitnessedEndpoints(transaction.endpoints, self._world, heard, by),
                alarms=WitnessedAlarms(transaction.alarms, self._world, heard),
            )
            self._world.watch.writes += 1
            self._world.pass_crash_point("before-commit")
        for tell in heard:
            tell()
        self._world.pass_crash_point("after-commit")


class WitnessedEndpoints:
    """Notes the saves of endpoints, to be told once they are committed."""

    def __init__(
        self, endpoints: EndpointsWriting, world: World, heard: list[Callable[[], None]], by: str
    ) -> None:
        self._endpoints = endpoints
        self._world = world
        self._heard = heard
        self._by_control = by == SELF

    def add(self, decision: Decision) -> None:
        self._endpoints.add(decision)
        self._heard.append(lambda: self._tell(decision, 1, None))

    def save(self, record: EndpointRecord, decision: Decision, facts: Facts | None = None) -> None:
        self._endpoints.save(record, decision, facts)
        self._heard.append(lambda: self._saved(record, decision))

    def _saved(self, record: EndpointRecord, decision: Decision) -> None:
        before = Known(record.endpoint, record.deployment, record.version, 0.0)
        self._tell(decision, record.version + 1, before)
        if self._by_control:
            self._world.saved[record.endpoint.generation] = decision

    def _tell(self, decision: Decision, version: int, before: Known | None) -> None:
        world = self._world
        world.check(world.watch.committed, decision, version, before, self._by_control)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoints, name)


class WitnessedAlarms:
    """Notes what alarms become, once that is committed."""

    def __init__(
        self, alarms: AlarmsWriting, world: World, heard: list[Callable[[], None]]
    ) -> None:
        self._alarms = alarms
        self._world = world
        self._heard = heard

    def save(self, account: str, region: str, name: str, **kept: Any) -> None:
        self._alarms.save(account, region, name, **kept)
        self._heard.append(lambda: self._world.alarms.update({name: kept["state"]}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._alarms, name)
