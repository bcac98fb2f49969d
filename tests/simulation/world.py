"""Everything around control, and everything that befalls it.

The world breaks things. It never decides and never acts for control: what comes up again came up
because the shipped code saw to it.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inservice.cloudwatch.alarms.alarm import AlarmState, StateValue
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision
from inservice.errors import AwsError
from inservice.routing.table import RoutingTable
from inservice.store.collections.endpoints import EndpointRecord
from tests.simulation.clock import MachineClock, VirtualClock
from tests.simulation.control import ACCOUNT, REGION, Control
from tests.simulation.host import Host
from tests.simulation.loop import Killed, Process, VirtualLoop, current_process
from tests.simulation.rules import Violation
from tests.simulation.watch import Watch
from tests.simulation.workers import Supervisor, Worker
from tests.stores import MEMORY, lay_out, new_store

KINDS = (
    "crash point",
    "kill control",
    "death",
    "illness",
    "fleet death",
    "host restart",
    "worker death",
    "worker disconnect",
    "clock step",
    "full host",
    "storage away",
    "slow",
    "hand control",
    "refused call",
)
"""What may go wrong."""


@dataclass
class Faults:
    """What goes wrong in one history, and how often."""

    kinds: frozenset[str] = frozenset()
    pause_seconds: float = 6.0  # between two, on average
    crash_chance: float = 0.0  # at each crash point

    @classmethod
    def drawn(cls, chance: random.Random) -> Faults:
        """One of four moods: calm, a few kinds of faults, kills of control among deaths of
        instances (most of what is hard to get right lies between those), or all of them."""
        mood = chance.random()
        if mood < 0.1:
            return cls()
        kinds = chance.sample(KINDS, 3)
        if mood > 0.45:
            kinds += ["crash point", chance.choice(("death", "fleet death"))]
        if mood > 0.8:
            kinds = list(KINDS)
        pause, crash = chance.choice((3.0, 8.0, 20.0)), chance.choice((0.02, 0.08, 0.2))
        return cls(frozenset(kinds), pause, crash if "crash point" in kinds else 0.0)


class Unreachable(Exception):
    """Control is down, or died over the call: the caller knows nothing of what became of it."""


@dataclass
class World:
    """See above."""

    loop: VirtualLoop
    seed: int
    tell: Callable[[str], None] | None = None
    faults: Faults = field(default_factory=Faults)
    control: Control | None = None
    storage_away: bool = False
    troubled_until: float = 0.0
    """Until then nobody can be held to how soon something comes to be."""
    alarms: dict[str, str] = field(default_factory=dict)  # StateValue by name, as committed
    facts: dict[str, Facts] = field(default_factory=dict)  # by generation: of the last look
    saved: dict[str, Decision] = field(default_factory=dict)  # by generation: the last, by control
    broken: Violation | None = None
    meddle: Callable[[], None] = lambda: None
    """Has a caller take a hand control."""

    def __post_init__(self) -> None:
        self.context = contextvars.copy_context()
        self.place = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY))
        lay_out(new_store("store.db", "key"), self.place)
        self.machine = MachineClock(self.loop)
        self.processes: list[Process] = []
        self.lives = 0
        self.watch = Watch(self)
        self.host = Host(VirtualClock(self.machine), self.seed)
        self.host.is_faulty = lambda: bool(self.faults.kinds)
        self.host.on_start = lambda one: self.check(self.watch.starting, one)
        self.host.on_ask = self._asked_to_end
        self.supervisor = Supervisor(self.loop, self.machine, self.place, self._table_taken)
        self._chances = {
            name: random.Random(f"{self.seed} {name}")
            for name in ("crash", "moment", "runtime", "thread", "way", "befall", "call")
        }
        self.slowness = 1.0
        self.loop.thread_seconds = self._thread_seconds
        self.loop.way_seconds = lambda *_: self.moment("way")

    def end(self) -> None:
        """Nothing of it is left."""
        if self.control is not None:
            self.processes.append(self.control.process)
            if self.control.store is not None:
                self.control.store.close()
        self.processes += [worker.process for worker in self.supervisor.workers]
        self.loop.end(self.processes)
        shutil.rmtree(self.place)

    # ── rules ───────────────────────────────────────────────────────────────────────────────────
    def check(self, rule: Callable[..., None], *args: Any) -> None:
        """Ask a rule; what it finds broken ends the history, whoever may catch what it raises."""
        try:
            rule(*args)
        except Violation as broken:
            self.broken = self.broken or broken
            raise

    def _table_taken(self, worker: Worker, before: RoutingTable) -> None:
        self.check(self.watch.table_taken, worker, before)

    def say(self, what: str) -> None:
        """Tell whoever follows the history."""
        if self.tell is not None:
            self.tell(f"{self.loop.time():9.3f}  {what}")

    def look_taken(self) -> None:
        """A turn has looked, and not yet remembered what it decides from that."""
        meddled = "hand control" in self.faults.kinds and self._chances["call"].random() < 0.05
        if meddled:
            self.loop.call_soon(self.meddle, context=self.context.copy())

    def tell_of(self, decision: Decision, facts: Facts) -> None:
        """A turn was taken."""
        if self.tell is not None:
            self.say(_line(decision, facts))

    # ── how long things take ────────────────────────────────────────────────────────────────────
    def moment(self, kind: str) -> float:
        """A few milliseconds, or a great many of them."""
        chance = self._chances[kind]
        return self.slowness * chance.choice((0.0002, 0.001, 0.001, 0.004, 0.02))

    def _thread_seconds(self, kind: str) -> float:
        if kind == "fetch":
            return self._chances["thread"].choice((0.001, 0.05, 0.5, 3.0))
        return self.moment("thread")

    # ── control ─────────────────────────────────────────────────────────────────────────────────
    def start_control(self, starting_seconds: float) -> None:
        """The supervisor starts it."""
        self.lives += 1
        self.control = Control(self, self.lives)
        self.control.process.begin(self.control.live(starting_seconds))

    def kill_control(self) -> None:
        """It is gone, and comes back after a while."""
        control, self.control = self.control, None
        if control is None:
            return
        self.say("control is killed")
        control.kill()
        self.host.building.clear()  # who builds for a control that is gone ends
        self.processes.append(control.process)
        self.watch.turns.clear()
        self.saved.clear()
        seconds = self._chances["crash"].choice((0.2, 1.0, 1.0, 4.0, 30.0, 600.0))
        if self._chances["crash"].random() < 0.6:
            self._strike(within_seconds=min(seconds, 20.0))
        self.loop.call_later(
            seconds, self.start_control, self.moment("crash"), context=self.context.copy()
        )

    def pass_crash_point(self, point: str) -> None:
        """Control may be killed here, in the midst of what it does."""
        faults = self.faults
        if not faults.crash_chance or self._chances["crash"].random() >= faults.crash_chance:
            return
        control = self.control
        if control is None or current_process() is not control.process:
            return
        self.say(f"at {point}:")
        self.kill_control()
        raise Killed(point)

    def call(self, service: str, operation: str, **members: Any) -> Any:
        """A call of the API. Raises AwsError, and Unreachable."""
        control = self.control
        if control is None or control.settled_at is None:
            raise Unreachable
        answers: list[Any] = []

        def perform() -> None:
            try:
                answers.append(control.call(service, operation, **members))
            except AwsError as refused:
                answers.append(refused)

        control.process.run(perform)
        if not answers:
            raise Unreachable
        if isinstance(answers[0], AwsError):
            raise answers[0]
        return answers[0]

    def record(self, name: str) -> EndpointRecord | None:
        """An endpoint as it is on record. Raises Unreachable."""
        if self.control is None or self.control.settled_at is None:
            raise Unreachable
        return self.control.record(name)

    def set_alarm(self, name: str, state: str) -> None:
        """An alarm changes, or is made. Raises Unreachable."""
        control = self.control
        if control is None or control.settled_at is None or control.store is None:
            raise Unreachable
        store = control.store

        def save() -> None:
            kept = AlarmState(StateValue(state), since=control.clock.now())
            document = {"AlarmName": name, "state": asdict(kept)}
            with store.transaction(by="alarms") as transaction:
                transaction.alarms.save(ACCOUNT, REGION, name, state=state, document=document)

        self.say(f"alarm {name}: {state}")
        control.process.run(save)

    # ── what befalls ────────────────────────────────────────────────────────────────────────────
    async def befall(self) -> None:
        """One thing after the other, until cancelled."""
        chance = self._chances["befall"]
        while True:
            await asyncio.sleep(chance.expovariate(1 / self.faults.pause_seconds))
            kinds = sorted(self.faults.kinds - {"crash point", "hand control", "refused call"})
            if kinds:
                self._befall(chance.choice(kinds), chance)

    def _befall(self, kind: str, chance: random.Random) -> None:
        host, alive = self.host, self.host.alive()
        if kind == "kill control":
            self.kill_control()
        elif kind == "death" and alive:
            self._kill([chance.choice(alive)])
        elif kind == "fleet death" and alive:
            fleet = chance.choice(alive).rpartition("/")[0]
            self._kill([one for one in alive if one.rpartition("/")[0] == fleet])
        elif kind == "illness" and alive:
            self._illness(chance.choice(alive), chance)
        elif kind == "host restart" and chance.random() < 0.3:
            self._restart_host(chance)
        elif kind == "worker death":
            self._restart_worker(chance.randrange(len(self.supervisor.workers)), chance)
        elif kind == "worker disconnect":
            worker = chance.choice(self.supervisor.workers)
            worker.process.run(worker.disconnect)
        elif kind == "clock step":
            self.machine.wrong_by += chance.choice((-86_400.0, -3_600.0, -5.0, 5.0, 3_600.0, 9e4))
            self.say(f"the machine's clock is set {self.machine.wrong_by:+.0f} s wrong")
        elif kind == "full host":
            self._for_a_while(chance.uniform(1, 40), host.be_full, True, False)
        elif kind == "storage away":
            self._for_a_while(chance.uniform(1, 40), self._set_storage_away, True, False)
        elif kind == "slow":
            self._for_a_while(chance.uniform(1, 20), self._set_slowness, 25.0, 1.0)

    def _kill(self, instances: Sequence[str]) -> None:
        self.say(f"{', '.join(instances)} dies")
        for instance_id in instances:
            self.host.kill(instance_id)

    def _asked_to_end(self, instance_id: str) -> None:
        self.check(self.watch.asked_to_end, instance_id)
        if self._chances["crash"].random() < 0.1:
            self._strike(within_seconds=2.0)

    def _strike(self, *, within_seconds: float) -> None:
        """Misfortunes like company: at a moment that is bad already, those die who serve most."""
        kinds = self.faults.kinds & {"death", "fleet death"}
        if kinds:
            when = self._chances["befall"].uniform(0.0, within_seconds)
            context = self.context.copy()
            self.loop.call_later(when, self._kill_who_serves, kinds, context=context)

    def _kill_who_serves(self, kinds: frozenset[str]) -> None:
        shares = {
            fleet.fleet: fleet.share
            for worker in self.supervisor.serving()
            for route in worker.table.endpoints.values()
            for fleet in route.fleets
        }
        alive = [one for one in self.host.alive() if one.rpartition("/")[0] in shares]
        most = max(alive, key=lambda one: shares[one.rpartition("/")[0]], default=None)
        if most is not None and "fleet death" in kinds:
            self._kill(self.host.alive_of(f"{most.rpartition('/')[0]}/"))
        elif most is not None:
            self._kill([most])

    def _illness(self, instance_id: str, chance: random.Random) -> None:
        if not self.host.is_ready(instance_id):
            return
        handle = self.host.past[instance_id]
        outcome = chance.choice(("timed out", "503", "connection refused"))
        self.say(f"{instance_id} is ill: {outcome}")
        self.host.fall_ill(instance_id, outcome)

        def heal() -> None:
            if self.host.past.get(instance_id) is handle and handle.ill_since is not None:
                self.say(f"{instance_id} is well")
                self.host.get_well(instance_id)

        self.loop.call_later(chance.choice((0.5, 5.0, 20.0, 90.0)), heal)

    def _restart_host(self, chance: random.Random) -> None:
        self.say("the host restarts")
        self.kill_control()
        self.host.lose_everything(records_too=chance.random() < 0.5)
        for index in range(len(self.supervisor.workers)):
            self._restart_worker(index, chance)

    def _restart_worker(self, index: int, chance: random.Random) -> None:
        self.say(f"worker {index} dies")
        self.processes.append(self.supervisor.restart(index, chance.uniform(0.05, 2.0)))

    def _set_storage_away(self, away: bool) -> None:
        self.storage_away = away

    def _set_slowness(self, factor: float) -> None:
        self.slowness = factor

    def _for_a_while(
        self, seconds: float, change: Callable[[Any], None], during: Any, after: Any
    ) -> None:
        self.say(f"{change.__name__} {during} for {seconds:.0f} s")
        change(during)
        self.troubled_until = max(self.troubled_until, self.loop.time() + seconds + 15.0)
        self.loop.call_later(seconds, change, after)

    def be_calm(self) -> None:
        """No more faults; what is ill gets well, who can start does."""
        self.say("calm")
        self.faults = Faults()
        self.host.be_full(False)
        self.storage_away, self.slowness = False, 1.0
        for instance_id in self.host.alive():
            if self.host.past[instance_id].ill_since is not None:
                self.host.get_well(instance_id)
        for nature in self.host.natures.values():
            nature.exits = 0.0 if nature.exits < 1.0 else 1.0
            nature.hangs = 0.0 if nature.hangs < 1.0 else 1.0


def _line(decision: Decision, facts: Facts) -> str:
    deployment = decision.deployment
    seen = " ".join(
        f"{fleet.partition('-')[2]}[{len(f.ready)} ready {len(f.starting)} starting "
        f"{len(f.unhealthy)} ill {len(f.gone)} gone {len(f.draining)} draining"
        f"{' failing' if f.failure else ''}]"
        for fleet, f in sorted(facts.fleets.items())
    )
    acts = ", ".join(f"{type(a).__name__} {getattr(a, 'ordinals', '')}" for a in decision.actions)
    return (
        f"{deployment.phase} {deployment.number}.{deployment.row} {deployment.step.doing}"
        f"{' real' if deployment.real else ''} held {deployment.held_seconds:.1f} "
        f"acked {dict(facts.shares) if facts.shares is not None else None} {seen} → {acts}"
        f"{' reason: ' + deployment.reason[:90] if deployment.reason else ''}"
    )
