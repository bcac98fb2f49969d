"""The host: instances that boot, exit, hang, ail and die, and the truth about each of them.

It is `testing.runtime`, which the contract of runtimes holds to the real one, with a nature for
each fleet and a memory of what was so how long ago: the controller may be late to know it.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from inservice.clock import Clock
from inservice.runtimes.base import (
    Assets,
    EnvironmentUnavailable,
    Handle,
    LaunchSpec,
    Sight,
)
from inservice.runtimes.launching import seen_through
from inservice.testing.runtime import Build, FakeHost, FakeRuntime, Script

PING_SECONDS = 2.0
"""What a look takes at an instance that does not answer."""


@dataclass(slots=True)
class Nature:
    """How the instances of a fleet behave when they are launched."""

    boot_seconds: tuple[float, float] = (0.2, 3.0)
    exits: float = 0.0  # chance that a start exits
    hangs: float = 0.0  # chance that a start never becomes ready
    impossible: bool = False  # the artifact is gone: nothing can be launched any more
    drain_seconds_max: float = 4.0
    unbuildable: bool = False  # the environment that the fleet needs can never be had


BUILDING_HISTORIES, BUILDING_CHANCE = 6, 0.35
"""In every sixth history so many fleets need an environment that is not there yet. What befalls the
others is what did before there were environments, and names the bugs that it named."""


@dataclass(slots=True)
class Past:
    """What an instance has been through; times are of the steady clock."""

    ready_at: float  # when it is ready, unless something comes between
    ill_since: float | None = None
    well_since: float | None = None  # after an illness
    lost_at: float | None = None  # when it was last ready, if it is no more
    asked_at: float | None = None  # to end
    was_ready: bool = False


class Host(FakeHost):
    """What outlives control, and what nobody ordered."""

    def __init__(self, clock: Clock, seed: int) -> None:
        super().__init__(clock)
        self.seed = seed
        self.natures: dict[str, Nature] = {}
        self.past: dict[str, Past] = {}
        self.deaths = 0  # that nobody ordered
        self.lost: set[str] = set()  # with their records, when the host restarted
        self._drawn: set[str] = set()  # fleets of which it is settled if theirs can be had
        self._dead: list[tuple[float, str]] = []
        self.effects = 0  # launches, ends and forgettings
        self.is_faulty: Callable[[], bool] = lambda: False  # whether anything goes wrong now
        self.on_start: Callable[[str], None] = lambda _: None
        self.on_ask: Callable[[str], None] = lambda _: None

    def nature(self, fleet: str) -> Nature:
        """How a fleet's instances behave: `<generation>-<number>-<variant>`, the generation being
        whichever it is."""
        return self.natures.setdefault(fleet.partition("-")[2], Nature())

    # ── what control does ──
    def what_to_build(self, spec: LaunchSpec) -> tuple[str, Build] | None:
        """An environment of the fleet's own; now and then it cannot be had."""
        fleet = spec.instance_id.rpartition("/")[0]
        chance = random.Random(f"{self.seed} build {fleet.partition('-')[2]}")
        if self.seed % BUILDING_HISTORIES != 4 or chance.random() >= BUILDING_CHANCE:
            return None
        seconds = chance.choice((1.0, 20.0, 60.0, 300.0))
        nature = self.nature(fleet)
        if fleet not in self._drawn and self.is_faulty() and chance.random() < 0.25:
            nature.unbuildable = True
        self._drawn.add(fleet)
        fails = EnvironmentUnavailable("No matching distribution.") if nature.unbuildable else None
        return fleet, Build(seconds, fails)

    def start(self, spec: LaunchSpec) -> object:  # type: ignore[override]
        """A new instance by its fleet's nature."""
        self.on_start(spec.instance_id)
        fleet = spec.instance_id.rpartition("/")[0]
        nature = self.nature(fleet)
        count = sum(one.instance_id == spec.instance_id for one in self.launches)
        chance = random.Random(f"{self.seed} {spec.instance_id} {count}")
        boot = chance.uniform(*nature.boot_seconds)
        fate = chance.random()
        script = Script(boot, retires_after_seconds=chance.uniform(0, nature.drain_seconds_max))
        if fate < nature.exits:
            script = replace(script, ready_after_seconds=None, dies_after_seconds=boot)
        elif fate < nature.exits + nature.hangs:
            script = replace(script, ready_after_seconds=None)
        self._scripts = [("*", script)]
        instance = super().start(spec)
        hopeless = script.ready_after_seconds is None
        ready_at = float("inf") if hopeless else self.clock.now() + boot
        self.past[spec.instance_id] = Past(ready_at)
        self.effects += 1
        return instance

    def ask_to_end(self, instance: object, grace_seconds: float) -> None:
        """SIGTERM. From then on it finishes what it has, and answers nobody else."""
        instance_id: str = instance.handle.instance_id  # type: ignore[attr-defined]
        past = self.past[instance_id]
        if past.asked_at is None:
            self.on_ask(instance_id)
            self._lose(instance_id)
            past.asked_at = self.clock.now()
            self.effects += 1
        super().ask_to_end(instance, grace_seconds)  # type: ignore[arg-type]

    def forget(self, instance_id: str) -> None:
        """Its record goes."""
        super().forget(instance_id)
        self.past.pop(instance_id, None)
        self.effects += 1

    # ── what nobody ordered ──
    def kill(self, instance_id: str) -> None:
        """It dies."""
        self._lose(instance_id)
        self.die(instance_id)
        self.deaths += 1

    def lose_everything(self, *, records_too: bool) -> None:
        """The host restarts."""
        for instance_id in self.alive():
            self.kill(instance_id)
        if records_too:
            for handle in self.records():
                self.lost.add(handle.instance_id)
                self.forget(handle.instance_id)

    def fall_ill(self, instance_id: str, outcome: str) -> None:
        """It fails its health checks."""
        self._lose(instance_id)
        self.past[instance_id].ill_since = self.clock.now()
        self.ail(instance_id, outcome)

    def get_well(self, instance_id: str) -> None:
        """It passes them again."""
        past = self.past[instance_id]
        past.ill_since, past.well_since = None, self.clock.now()
        self.ail(instance_id, None)

    def be_full(self, full: bool) -> None:
        """No process can be started here for a while."""
        self.refuses_to_launch = "the host is full" if full else None
        self.refuses_because = OSError(errno.EMFILE, os.strerror(errno.EMFILE)) if full else None

    def _lose(self, instance_id: str) -> None:
        if self.is_ready(instance_id):
            self._dead.append((self.clock.now(), instance_id))
            past = self.past[instance_id]
            past.was_ready, past.lost_at = True, self.clock.now()

    # ── the truth ──
    def is_ready(self, instance_id: str) -> bool:
        """Whether it answers invocations at this moment."""
        past = self.past.get(instance_id)
        return (
            past is not None
            and self.find_running(instance_id) is not None
            and past.asked_at is None
            and past.ill_since is None
            and past.ready_at <= self.clock.now()
        )

    def was_ready_within(self, instance_id: str, seconds: float) -> bool:
        """Whether it answered at some moment of the last so many seconds."""
        past = self.past.get(instance_id)
        if past is None:
            return False
        lost_lately = past.lost_at is not None and past.lost_at >= self.clock.now() - seconds
        return lost_lately or self.is_ready(instance_id)

    def is_ready_for(self, instance_id: str, seconds: float) -> bool:
        """Whether it has answered at every moment of the last so many seconds."""
        past = self.past.get(instance_id)
        if past is None or not self.is_ready(instance_id):
            return False
        return max(past.ready_at, past.well_since or 0.0) <= self.clock.now() - seconds

    def was_ever_ready(self, instance_id: str) -> bool:
        """Whether it answered at any moment of its life."""
        past = self.past.get(instance_id)
        return past is not None and (past.was_ready or self.is_ready(instance_id))

    def age(self, instance_id: str) -> float:
        """Seconds since its launch, if it runs."""
        instance = self.find_running(instance_id)
        return 0.0 if instance is None else self.clock.now() - instance.born_at

    def address(self, instance_id: str) -> str | None:
        """Where the present one of this id listens, if it runs."""
        instance = self.find_running(instance_id)
        return None if instance is None else instance.handle.address

    def ill_for(self, instance_id: str) -> float:
        """Seconds since it was last ready, if it is not."""
        past = self.past.get(instance_id)
        since = past and (past.lost_at if past.lost_at is not None else past.ill_since)
        return 0.0 if not since else self.clock.now() - since

    def lately_dead(self, seconds: float) -> set[str]:
        """The instances that were ready and stopped being so within so many seconds."""
        since = self.clock.now() - seconds
        self._dead = [(at, one) for at, one in self._dead if at >= since]
        return {one for _, one in self._dead}

    def alive_of(self, prefix: str) -> list[str]:
        """The instances that run and whose ids begin so."""
        return [instance_id for instance_id in self.alive() if instance_id.startswith(prefix)]


class Runtime(FakeRuntime):
    """The runtime as control has it: commands take a moment, and a look may take seconds."""

    def __init__(self, host: Host, seconds: Callable[[], float], assets: Assets) -> None:
        super().__init__(host, assets)
        self._of = host
        self._seconds = seconds

    async def launch(self, spec: LaunchSpec) -> Handle:
        await self._of.clock.sleep(self._seconds())
        handle = await super().launch(spec)
        return await seen_through(self._told(handle))

    async def _told(self, handle: Handle) -> Handle:
        await self._of.clock.sleep(self._seconds())
        return handle

    async def handles(self) -> Sequence[Handle]:
        await self._of.clock.sleep(self._seconds())
        return await super().handles()

    async def look(self, handle: Handle) -> Sight:
        instance = self._of.find(handle)
        if instance is not None and instance.ailing == "timed out":
            await self._of.clock.sleep(PING_SECONDS)
        return await super().look(handle)
