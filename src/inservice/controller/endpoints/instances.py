"""Every instance that the runtime knows, and how each was last seen.

A turn of the controller decides from what is, so it needs a fresh sight of each instance without
waiting for a probe of each. The runtime watches, its host pings; here one small task for each
instance waits for what is told of it, and a change wakes the endpoint that the instance belongs to.
An instance that is well costs nothing here. Nothing is remembered over a crash of control: the
runtime's own records are, and `adopt` begins from them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog

from inservice.clock import Clock
from inservice.ids import fleet_of, generation_of, ordinal_of
from inservice.routing.table import InstanceRoute
from inservice.runtimes.base import Handle, InstanceState, LaunchSpec, Sight, WatchedRuntime

UNSEEN_SECONDS = 1.0
"""Until an instance that could not be watched, for a reason nobody foresaw, is tried again."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Watched:
    """One instance and its latest sight."""

    handle: Handle
    listed: InstanceRoute  # as it is in the table while it is ready
    ordinal: int  # within its fleet
    sight: Sight
    since: float  # by the clock of control: when it came into the state it is in
    started_at: float  # by the same clock, where that of the handle is the machine's
    ready_at: float | None = None  # by the same clock: when it answered first
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
        seen = Counter(watched.sight.state.value for watched in self.all())
        log.info("instances found", **seen)

    async def _adopt(self, handle: Handle) -> None:
        # One that died while nobody watched is seen too: its record says how it died.
        sight = await self.runtime.next_sight(handle, None)
        self._watch(handle, sight)
        if sight.state is not InstanceState.READY:
            log.info("instance found", instance=handle.instance_id, state=sight.state)

    async def launch(self, spec: LaunchSpec) -> None:
        """Start an instance and watch it; one that runs already is left alone."""
        watched = self._find(spec.instance_id)
        if watched is not None and watched.sight.state is not InstanceState.GONE:
            return
        handle = await self.runtime.launch(spec)
        # Only now: how the last one ended is not forgotten for a launch that fails, and while the
        # files of this one were fetched, the last one may have been retired.
        dead = self._find(spec.instance_id)
        if dead is not None:
            self._forget(dead)
        fresh = self._watch(handle, Sight(InstanceState.STARTING))
        log.info("instance launched", instance=spec.instance_id, pid=handle.pid)
        if dead is not None:
            fresh.restarts, fresh.death = dead.restarts + 1, dead.sight
            self.on_restart(spec, dead.sight)

    async def retire(self, instance_id: str, grace_seconds: float) -> None:
        """Stop an instance; returns when it is gone."""
        watched = self._find(instance_id)
        if watched is None or watched.retiring:
            return
        watched.retiring = True
        if watched.task is not None:
            watched.task.cancel()  # its end is no news, and how it came to it nobody reads
        try:
            await self.runtime.retire(watched.handle, grace_seconds)
        except Exception:
            watched.retiring = False  # it is still there: the next turn asks for it again
            watched.task = asyncio.create_task(self._follow(watched))
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
        now = self.clock.now()
        watched = Watched(
            handle,
            InstanceRoute(handle.instance_id, handle.address),
            ordinal_of(handle.instance_id),
            sight,
            now,
            now - sight.age_seconds,
        )
        if sight.ready_at is not None:
            watched.ready_at = watched.started_at + max(0.0, sight.ready_at - handle.started_at)
        name = fleet_of(handle.instance_id)
        self._watched.setdefault(name, {})[handle.instance_id] = watched
        self._fleets.setdefault(generation_of(name), set()).add(name)
        watched.task = asyncio.create_task(self._follow(watched))
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

    async def _follow(self, watched: Watched) -> None:
        """Until its end."""
        while watched.sight.state is not InstanceState.GONE:
            try:
                sight = await self.runtime.next_sight(watched.handle, watched.sight)
            except Exception:
                # The last sight stands: not to have seen is no reason to think it gone.
                log.exception("instance not seen", instance=watched.handle.instance_id)
                await self.clock.sleep(UNSEEN_SECONDS)
                continue
            before, watched.sight = watched.sight, sight
            if sight.ready_at is not None and watched.ready_at is None:
                watched.ready_at = self.clock.now()
            if sight.state is not before.state:
                watched.since = self.clock.now()
                log.info("instance changed", instance=watched.handle.instance_id, state=sight.state)
                self.on_change(fleet_of(watched.handle.instance_id))
            elif sight.last_lines[-1:] != before.last_lines[-1:]:
                # What one that is not ready says for itself is shown with its endpoint.
                self.on_change(fleet_of(watched.handle.instance_id))
