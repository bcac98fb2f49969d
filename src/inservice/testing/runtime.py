"""A runtime with nothing behind it: instances that start, ail and die by script and by clock.

Held to the same contract suite as the runtimes that run things (tests/contracts/test_runtime.py).

    host = FakeHost(clock)
    host.script("new/*", Script(ready_after_seconds=3, dies_after_seconds=60))
    runtime = FakeRuntime(host)      # throw it away and make another: control has crashed
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from inservice.clock import Clock, Due
from inservice.runtimes.base import (
    Assets,
    Handle,
    ImageNotRunnable,
    InstanceState,
    LaunchFailed,
    LaunchSpec,
    NoAssets,
    Probe,
    Sight,
    only_container,
)

UNRUNNABLE = "example.com/unknown:1"
"""The image that the fake refuses."""

_FIRST_SECONDS = 0.01
_STARTING_SECONDS_MAX = 0.25
_STEADY_SECONDS = 1.0
"""Between pings of one that starts, at first and at most, and of one that has started."""


@dataclass(frozen=True, slots=True)
class Script:
    """How an instance behaves, in seconds after its launch. The default is ready at once."""

    ready_after_seconds: float | None = 0.0  # None: never answers 200
    dies_after_seconds: float | None = None  # None: lives until it is retired
    exit_code: int | None = 1  # how it dies by itself
    signal: str | None = None
    out_of_memory: bool = False
    last_lines: tuple[str, ...] = ()
    not_ready: str = "not listening yet"  # the outcome of a probe before it is ready
    retires_after_seconds: float = 0.0  # from SIGTERM; longer than the grace means SIGKILL


@dataclass(slots=True, eq=False)
class _Instance:
    handle: Handle
    script: Script
    born_at: float  # by the steady clock, where the handle has the wall's
    end: Due = field(default_factory=Due)  # it is dead, or forgotten
    asked: bool = False  # to end
    kill_at: float = math.inf  # when it ends, once it was asked to
    ailing: str | None = None
    ready_at: float | None = None  # when a look first saw 200
    dead: Sight | None = None
    probes: deque[Probe] = field(default_factory=lambda: deque(maxlen=8))


@dataclass(frozen=True, slots=True)
class Build:
    """What it takes until instances of an image can be launched, the first time."""

    seconds: float
    fails: Exception | None = None
    """With what it ends each time, instead of being done."""


def _dies_at(instance: _Instance) -> float:
    after = instance.script.dies_after_seconds
    return math.inf if after is None else instance.born_at + after


class FakeHost:
    """What outlives control: the instances, and the records of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.launches: list[LaunchSpec] = []
        """Every launch that started something, in order."""
        self.refuses_to_launch: str | None = None
        """Set to have launches fail with this reason."""
        self.refuses_because: OSError | None = None
        """And because of this."""
        self.builds: dict[str, Build] = {}
        """By image: what has to be built before it can be launched."""
        self.built: set[str] = set()
        """Images that have been, and are not built again."""
        self.building: dict[object, str] = {}
        """Builds under way, and of which fleet an instance wants each."""
        self._instances: dict[str, _Instance] = {}
        self._scripts: list[tuple[str, Script]] = []
        self._pids = itertools.count(100)

    def script(self, pattern: str, script: Script) -> None:
        """Have the instances launched from now on whose id matches (as file names do) behave so.

        Of several patterns that match, the one given last counts.
        """
        self._scripts.append((pattern, script))

    def what_to_build(self, spec: LaunchSpec) -> tuple[str, Build] | None:
        """What has to be built for an instance, by its name, if anything has."""
        image = only_container(spec.workload).image
        build = self.builds.get(image)
        return None if build is None else (image, build)

    async def build(self, spec: LaunchSpec) -> None:
        """Have what an instance needs, now or found. Cancelled, nothing is left of it."""
        found = self.what_to_build(spec)
        if found is None or found[0] in self.built:
            return
        name, build = found
        under_way = object()
        self.building[under_way] = spec.instance_id.rpartition("/")[0]
        try:
            spec.tell(f"building the environment of {name}: installing 3 packages")
            await self.clock.sleep(build.seconds)
        finally:
            self.building.pop(under_way, None)
        if build.fails is not None:
            raise build.fails
        self.built.add(name)

    def die(
        self, instance_id: str, *, exit_code: int | None = None, signal: str = "SIGKILL"
    ) -> None:
        """End a running instance now: by an exit code if one is given, else by the signal."""
        instance = self._instances[instance_id]
        self._end(instance, exit_code, None if exit_code is not None else signal)

    def ail(self, instance_id: str, outcome: str | None = "timed out") -> None:
        """Have every probe of a running instance end so; None makes it well again."""
        self._instances[instance_id].ailing = outcome

    def alive(self) -> list[str]:
        """The ids of the instances that run now, sorted."""
        return sorted(i for i, instance in self._instances.items() if not self.ended(instance))

    def ended(self, instance: _Instance) -> bool:
        """Whether it is dead; its scripted death happens here, when somebody looks."""
        now, script = self.clock.now(), instance.script
        if instance.dead is None and now >= _dies_at(instance):
            self._end(instance, script.exit_code, script.signal)
        if instance.dead is None and now >= instance.kill_at:
            self._end(instance, 0, None)
        return instance.dead is not None

    def ends_at(self, instance: _Instance) -> float:
        """When it will be dead, as far as its script and who asked it to end have settled that."""
        return min(_dies_at(instance), instance.kill_at)

    def ask_to_end(self, instance: _Instance, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL after the grace: it ends whether or not anybody waits for that."""
        instance.asked = True
        after = min(instance.script.retires_after_seconds, grace_seconds)
        instance.kill_at = min(instance.kill_at, self.clock.now() + after)

    def find(self, handle: Handle) -> _Instance | None:
        """The instance that the handle speaks of, if it is on record."""
        instance = self._instances.get(handle.instance_id)
        return instance if instance is not None and instance.handle == handle else None

    def runs(self, handle: Handle) -> bool:
        """Whether the instance that the handle speaks of runs."""
        instance = self.find(handle)
        return instance is not None and not self.ended(instance)

    def find_running(self, instance_id: str) -> _Instance | None:
        """The instance of this id, if it runs."""
        instance = self._instances.get(instance_id)
        return None if instance is None or self.ended(instance) else instance

    def start(self, spec: LaunchSpec) -> _Instance:
        """A new instance by its script."""
        if self.refuses_to_launch is not None:
            raise LaunchFailed(self.refuses_to_launch) from self.refuses_because
        scripts = (
            s for pattern, s in reversed(self._scripts) if fnmatchcase(spec.instance_id, pattern)
        )
        pid = next(self._pids)
        handle = Handle(
            instance_id=spec.instance_id,
            runtime="fake",
            address=f"unix:/fake/{pid}.sock",
            pid=pid,
            started_at=self.clock.wall(),
            log_path=None,
            identity={"start_ticks": str(pid)},
        )
        instance = _Instance(handle, next(scripts, Script()), self.clock.now())
        self._instances[spec.instance_id] = instance
        self.launches.append(spec)
        return instance

    def forget(self, instance_id: str) -> None:
        """Remove its record."""
        self._instances.pop(instance_id).end.set()

    def records(self) -> list[Handle]:
        """Every handle on record."""
        return [instance.handle for _, instance in sorted(self._instances.items())]

    def _end(self, instance: _Instance, exit_code: int | None, signal: str | None) -> None:
        script = instance.script
        instance.end.set()
        instance.dead = Sight(
            InstanceState.GONE,
            ready_at=instance.ready_at,
            age_seconds=self.clock.now() - instance.born_at,
            exit_code=exit_code,
            signal=signal,
            out_of_memory=script.out_of_memory,
            last_lines=script.last_lines,
            probes=tuple(instance.probes),
        )


class FakeRuntime:
    """Implements `runtimes.base.WatchedRuntime` over a FakeHost."""

    def __init__(self, host: FakeHost, assets: Assets | None = None) -> None:
        self._host = host
        self._assets = assets or NoAssets()

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start by script, or find it running, once what it needs has been fetched and built."""
        container = only_container(spec.workload)
        if container.image == UNRUNNABLE:
            raise ImageNotRunnable(f"The image '{UNRUNNABLE}' cannot run here: it is the fake's.")
        for asset in container.assets:
            await self._assets.fetch(asset, spec.download_timeout_seconds)
        await self._host.build(spec)
        running = self._host.find_running(spec.instance_id)
        return (running or self._host.start(spec)).handle

    async def handles(self) -> Sequence[Handle]:
        """Every instance on record."""
        return self._host.records()

    async def recover(self, handle: Handle) -> Handle | None:
        """The handle, if its instance runs."""
        return handle if self._host.runs(handle) else None

    async def look(self, handle: Handle) -> Sight:
        """What the script says about now."""
        instance = self._host.find(handle)
        if instance is None:
            return Sight(InstanceState.GONE)
        if self._host.ended(instance):
            assert instance.dead is not None
            return instance.dead
        outcome = self._outcome(instance)
        probe, probes = Probe(self._host.clock.wall(), outcome, 0.1), instance.probes
        probes.extend(probes.pop().before(probe) if probes else (probe,))
        if outcome == "200":
            instance.ready_at = instance.ready_at or self._host.clock.wall()
            state = InstanceState.READY
        else:
            state = InstanceState.UNHEALTHY if instance.ready_at else InstanceState.STARTING
        return Sight(
            state,
            ready_at=instance.ready_at,
            age_seconds=self._host.clock.now() - instance.born_at,
            last_lines=() if state is InstanceState.READY else instance.script.last_lines,
            probes=tuple(instance.probes),
            phases={"fork": 0.0},
        )

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """Soon after it changed, by script or not: it is pinged as a host pings, ever more seldom,
        and its end is told at once."""
        clock = self._host.clock
        while last is not None and self._host.runs(handle):
            instance = self._host.find(handle)
            assert instance is not None
            pause = _STEADY_SECONDS
            if last.state is InstanceState.STARTING:
                age = clock.now() - instance.born_at
                pause = min(max(_FIRST_SECONDS, age * 0.3), _STARTING_SECONDS_MAX)
            await clock.wait(instance.end, min(clock.now() + pause, self._host.ends_at(instance)))
            sight = await self.look(handle)
            if sight.state is not last.state:
                return sight
            if sight.state is not InstanceState.READY and sight.probes != last.probes:
                return sight
        return await self.look(handle)

    async def close(self) -> None:
        """Nothing watches here."""

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """Wait as long as the script takes to end, the grace at most; then forget it."""
        instance = self._host.find(handle)
        if instance is None:
            return
        if not self._host.ended(instance):
            self._host.ask_to_end(instance, grace_seconds)
            while not self._host.ended(instance):
                pause = self._host.ends_at(instance) - self._host.clock.now()
                await self._host.clock.sleep(max(0.0, pause))
        if self._host.find(handle) is instance:
            self._host.forget(handle.instance_id)

    def _outcome(self, instance: _Instance) -> str:
        if instance.ailing is not None:
            return instance.ailing
        if instance.asked:
            return "connection refused"
        after = instance.script.ready_after_seconds
        ready = after is not None and self._host.clock.now() >= instance.born_at + after
        return "200" if ready else instance.script.not_ready
