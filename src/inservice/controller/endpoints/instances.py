"""Every instance that the runtime knows, and how each was last seen.

A turn of the controller decides from what is, so it needs a fresh sight of each instance without
waiting for a probe of each. One small task per instance looks again and again: often while the
instance starts, because every millisecond here is time to InService; once a second afterwards; and
at once when it ends, since a bake could end meanwhile and the old fleet be stopped. A change wakes
the endpoint that the instance belongs to. Nothing here is remembered over a crash of control: the
runtime's own records are, and `adopt` begins from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog

from inservice.clock import Clock
from inservice.ids import fleet_of, generation_of
from inservice.runtimes.base import Handle, InstanceState, LaunchSpec, Sight, WatchedRuntime

FIRST_LOOK_SECONDS = 0.01
"""An instance forked from a prepared process is ready within some tens of milliseconds."""

STARTING_LOOK_SECONDS_MAX = 0.25
"""A model that loads for minutes need not be asked more often than this."""

STEADY_LOOK_SECONDS = 1.0
"""How late it is noticed that an instance does not answer. The gateway avoids it meanwhile."""

log = structlog.get_logger()


@dataclass
class Watched:
    """One instance and its latest sight."""

    handle: Handle
    sight: Sight
    since: float  # epoch seconds: when it came into the state it is in
    task: asyncio.Task[None] | None = None
    retiring: bool = False
    restarts: int = 0  # launches in place of a dead one that this process has seen
    death: Sight | None = None  # how the instance was seen last that this one replaces


@dataclass
class Instances:
    """What runs. `on_change` is told the fleet id whenever an instance's state changes,
    `on_restart` what was launched in place of a dead one, and how that one was seen last."""

    runtime: WatchedRuntime
    clock: Clock
    on_change: Callable[[str], None]
    on_restart: Callable[[LaunchSpec, Sight], None] = lambda *_: None
    _watched: dict[str, dict[str, Watched]] = field(default_factory=dict)  # by fleet, by id
    _fleets: dict[str, set[str]] = field(default_factory=dict)
    """Fleets that have an instance, by generation: a turn looks at one endpoint's, however many
    endpoints there are."""

    async def adopt(self) -> None:
        """Take over what runs already. Before this returns, nothing may be decided."""
        handles = await self.runtime.handles()
        await asyncio.gather(*(self._adopt(handle) for handle in handles))

    async def _adopt(self, handle: Handle) -> None:
        known = await self.runtime.recover(handle)
        # One that died while nobody watched is looked at too: its record says how it died.
        sight = await self.runtime.look(handle)
        self._watch(known or handle, sight)
        log.info("instance found", instance=handle.instance_id, state=sight.state)

    async def launch(self, spec: LaunchSpec) -> None:
        """Start an instance and watch it; one that runs already is left alone."""
        watched = self._find(spec.instance_id)
        if watched is not None and watched.sight.state is not InstanceState.GONE:
            return
        handle = await self.runtime.launch(spec)
        if watched is not None:  # until now: how it ended is not forgotten for a launch that fails
            self._forget(watched)
        fresh = self._watch(handle, Sight(InstanceState.STARTING))
        log.info("instance launched", instance=spec.instance_id, pid=handle.pid)
        if watched is not None:
            fresh.restarts, fresh.death = watched.restarts + 1, watched.sight
            self.on_restart(spec, watched.sight)

    async def retire(self, instance_id: str, grace_seconds: float) -> None:
        """Stop an instance; returns when it is gone."""
        watched = self._find(instance_id)
        if watched is None or watched.retiring:
            return
        watched.retiring = True
        try:
            await self.runtime.retire(watched.handle, grace_seconds)
        except BaseException:
            watched.retiring = False  # it is still there: the next turn asks for it again
            raise
        self._forget(watched)
        log.info("instance retired", instance=instance_id)
        self.on_change(fleet_of(instance_id))

    def of_fleet(self, fleet: str) -> Iterator[Watched]:
        """The instances of a fleet, in no particular order."""
        yield from list(self._watched.get(fleet, {}).values())

    def fleets(self) -> set[str]:
        """Every fleet that has an instance, also of endpoints that are no more."""
        return set(self._watched)

    def fleets_of(self, generation: str) -> frozenset[str]:
        """Every fleet of one endpoint that has an instance."""
        return frozenset(self._fleets.get(generation, ()))

    def all(self) -> list[Watched]:
        """Everything watched."""
        return [watched for fleet in self._watched.values() for watched in fleet.values()]

    async def close(self) -> None:
        """Stop watching; the instances run on."""
        tasks = [watched.task for watched in self.all() if watched.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── watching ────────────────────────────────────────────────────────────────────────────────
    def _watch(self, handle: Handle, sight: Sight) -> Watched:
        watched = Watched(handle, sight, self.clock.now())
        name = fleet_of(handle.instance_id)
        self._watched.setdefault(name, {})[handle.instance_id] = watched
        self._fleets.setdefault(generation_of(name), set()).add(name)
        watched.task = asyncio.create_task(self._look_again_and_again(watched))
        return watched

    def _forget(self, watched: Watched) -> None:
        if watched.task is not None:
            watched.task.cancel()
        instance_id = watched.handle.instance_id
        name = fleet_of(instance_id)
        fleet = self._watched.get(name, {})
        if fleet.get(instance_id) is watched:
            del fleet[instance_id]
            if not fleet:
                del self._watched[name]
                siblings = self._fleets[generation_of(name)]
                siblings.discard(name)
                if not siblings:
                    del self._fleets[generation_of(name)]

    def _find(self, instance_id: str) -> Watched | None:
        return self._watched.get(fleet_of(instance_id), {}).get(instance_id)

    async def _look_again_and_again(self, watched: Watched) -> None:
        ended = asyncio.create_task(self.runtime.ended(watched.handle))
        try:
            pause = FIRST_LOOK_SECONDS
            while watched.sight.state is not InstanceState.GONE:
                await self._sleep(pause, ended)
                pause = await self._look(watched, pause)
        finally:
            ended.cancel()

    async def _sleep(self, seconds: float, ended: asyncio.Task[None]) -> None:
        """Until it is time to look again, or there is something to see."""
        sleeping = asyncio.create_task(self.clock.sleep(seconds))
        waited_for = {sleeping} if ended.done() else {sleeping, ended}
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()

    async def _look(self, watched: Watched, pause: float) -> float:
        """Look once; how long to wait before the next time."""
        try:
            sight = await self.runtime.look(watched.handle)
        except Exception:
            # The last sight stands: not to have seen is no reason to think it gone.
            log.exception("instance not seen", instance=watched.handle.instance_id)
            return STEADY_LOOK_SECONDS
        changed = sight.state is not watched.sight.state
        watched.sight = sight
        if changed:
            watched.since = self.clock.now()
            log.info("instance changed", instance=watched.handle.instance_id, state=sight.state)
            self.on_change(fleet_of(watched.handle.instance_id))
        starting = sight.state is InstanceState.STARTING
        return min(pause * 1.3, STARTING_LOOK_SECONDS_MAX) if starting else STEADY_LOOK_SECONDS
