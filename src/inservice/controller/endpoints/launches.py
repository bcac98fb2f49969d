"""Launching: the instances of a fleet, one after the other, by a task that each fleet has.

A launch takes as long as the download of an artifact takes, and a turn must not wait. The first
instance of a fleet waits for its files; the runtime finds them for all others. Nothing of the task
survives a crash and nothing has to: the ordinals are still missing then, the next turn asks for
them again, and what had been fetched or started is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from inservice.clock import Clock, Due
from inservice.controller.endpoints import shortages
from inservice.controller.endpoints.instances import Instances
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.fleet import Fleet
from inservice.runtimes.base import (
    AssetUnavailable,
    EnvironmentUnavailable,
    ImageNotRunnable,
    InsufficientCapacity,
    LaunchFailed,
    LaunchSpec,
)
from inservice.threads import Threads
from inservice.workload.of_model import workload_of

RETRY_SECONDS = 10.0
"""How soon a fleet that could not start is tried again, where it has to be: a serving fleet whose
instance died while the artifact store is away."""

LONG_SECONDS = 2.0
"""What is over sooner is no phase of its own: a package that was in the cache, an image that was
there."""

TOLD_CHARACTERS_MAX = 300
"""Of what a launch is at: it is a line of a status."""

Environment = Callable[[Endpoint, Fleet, str], Mapping[str, str]]
"""What is set for an instance beside its model's own environment. It is asked in a thread."""

log = structlog.get_logger()


_REFUSALS = (
    *(ImageNotRunnable, AssetUnavailable, EnvironmentUnavailable),
    *(InsufficientCapacity, LaunchFailed),
)
"""What a launch fails with that has words fit for a FailureReason."""


def phase_of(clause: str) -> str:
    """What is done, without how far it is."""
    return clause.partition(": ")[0]


@dataclass
class _Launch:
    ordinals: set[int]
    patient: bool  # what passes is waited for, be it another's trouble
    unwanted: Due = field(default_factory=Due)
    short_of: str | None = None  # what the host lacks, while the launch waits for that
    told: tuple[str, float] | None = None  # what it is at, and since when; replaced as a whole
    task: asyncio.Task[None] | None = None
    begun: bool = False  # a task that is cancelled before is never run, not even to its end

    def cancel(self) -> None:
        """It is not wanted any more. An instance that is being started is seen through; nothing
        more is fetched, and no other one is started."""
        self.unwanted.set()
        if self.task is not None and self.begun:
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    at: float
    passes: bool  # another's trouble: the next try may do, with nothing mended


@dataclass
class Launches:
    """Launches under way, and fleets that could not be launched."""

    instances: Instances
    clock: Clock
    on_change: Callable[[str], None]
    environment: Environment | None = None
    _threads: Threads = field(default_factory=lambda: Threads("environment"))
    _under_way: dict[str, _Launch] = field(default_factory=dict)
    _failures: dict[str, _Failure] = field(default_factory=dict)

    def under_way(self, fleet: str) -> frozenset[int]:
        """Ordinals whose launch was begun and that are no instances yet."""
        launch = self._under_way.get(fleet)
        return frozenset(launch.ordinals) if launch else frozenset()

    def waits_for(self, fleet: str) -> str | None:
        """What a launch under way waits for, if the host is short of something just now."""
        launch = self._under_way.get(fleet)
        return launch.short_of if launch else None

    def note(self, fleet: str) -> str | None:
        """What a launch under way is at, or waits for, in a clause; None if it does not take long
        yet."""
        launch = self._under_way.get(fleet)
        told = launch.told if launch else None
        return told[0] if told and self._is_long(told) else self.waits_for(fleet)

    def phase(self, fleet: str) -> str | None:
        """What a launch under way has been at for long, without how far it is."""
        launch = self._under_way.get(fleet)
        told = launch.told if launch else None
        return phase_of(told[0]) if told and self._is_long(told) else None

    def _is_long(self, told: tuple[str, float]) -> bool:
        return self.clock.now() - told[1] >= LONG_SECONDS

    def failure(self, fleet: str, *, patient: bool = False) -> str | None:
        """Why the fleet could not be launched at the last try. Whoever is `patient` has no failure
        in what may pass."""
        failure = self._failures.get(fleet)
        return None if failure is None or (patient and failure.passes) else failure.reason

    def begin(
        self, endpoint: Endpoint, fleet: Fleet, ordinals: Iterable[int], *, patient: bool = False
    ) -> None:
        """See to it that these instances are started; returns at once."""
        failure = self._failures.get(fleet.id)
        if patient and failure is not None and failure.passes:
            failure = None
        if failure is not None and self.clock.now() < failure.at + RETRY_SECONDS:
            return
        launch = self._under_way.get(fleet.id)
        if launch is not None:
            return  # the next turn asks again for what this one does not bring
        launch = self._under_way[fleet.id] = _Launch(set(ordinals), patient)
        launch.task = asyncio.create_task(self._launch(endpoint, fleet, launch))

    def give_up(self, fleet: str) -> None:
        """Stop launching a fleet that is not wanted any more, and fetching for it."""
        self._failures.pop(fleet, None)
        if launch := self._under_way.get(fleet):
            launch.cancel()

    async def close(self) -> None:
        """Stop launching."""
        tasks = []
        for launch in self._under_way.values():
            launch.cancel()
            if launch.task is not None:
                tasks.append(launch.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _launch(self, endpoint: Endpoint, fleet: Fleet, launch: _Launch) -> None:
        launch.begun = True
        try:
            await self._start_when_there_is_room(endpoint, fleet, launch)
            self._failures.pop(fleet.id, None)
        except _REFUSALS as failed:
            self._remember(fleet, str(failed), failed)
        except OSError as failed:
            self._remember(fleet, f"The instance could not be started: {failed}.", failed)
        except Exception as bug:  # without a reason it would be Creating for ever
            log.exception("launch failed", fleet=fleet.id)
            self._remember(fleet, f"The instance could not be started: {bug!r}.", bug)
        finally:
            del self._under_way[fleet.id]
            self.on_change(fleet.id)

    async def _start_when_there_is_room(
        self, endpoint: Endpoint, fleet: Fleet, launch: _Launch
    ) -> None:
        """A shortage of the host passes, so it fails nothing, and to the `patient` neither does a
        storage, or an index of packages, that is away: only the deployment's own time ends the
        waiting."""
        tries = 0
        while not launch.unwanted.is_set():
            try:
                await self._start(endpoint, fleet, launch)
            except Exception as failed:
                tries += 1
                short_of = shortages.shortage(failed)
                if short_of is None and launch.patient:
                    short_of = shortages.trouble_of_others(failed)
                if short_of is None:
                    raise
                await self._wait_for_room(fleet, launch, short_of, shortages.pause(tries))
            else:
                return

    async def _wait_for_room(
        self, fleet: Fleet, launch: _Launch, short_of: str, seconds: float
    ) -> None:
        log.warning("launch waits", fleet=fleet.id, because=short_of, seconds=seconds)
        if launch.short_of != short_of:
            launch.short_of = short_of
            self.on_change(fleet.id)
        await self.clock.wait(launch.unwanted, self.clock.now() + seconds)

    def _remember(self, fleet: Fleet, reason: str, error: Exception) -> None:
        log.warning("fleet cannot start", fleet=fleet.id, reason=reason)
        passes = shortages.trouble_of_others(error) is not None
        self._failures[fleet.id] = _Failure(reason, self.clock.now(), passes)

    async def _start(self, endpoint: Endpoint, fleet: Fleet, launch: _Launch) -> None:
        if fleet.model is None:
            raise ImageNotRunnable(f"Fleet {fleet.id} has no model to run.")
        workload = workload_of(fleet.model, fleet.id, fleet.variant.instance_type)
        for ordinal in sorted(launch.ordinals):
            if launch.unwanted.is_set():
                return
            instance_id = fleet.instance_id(ordinal)
            more: Mapping[str, str] = {}
            if self.environment is not None:
                more = await self._threads.run(self.environment, endpoint, fleet, instance_id)
            spec = LaunchSpec(
                instance_id=instance_id,
                account=endpoint.account,
                region=endpoint.region,
                endpoint=endpoint.name,
                variant=fleet.variant.name,
                workload=workload,
                download_timeout_seconds=fleet.variant.download_timeout_seconds,
                environment=more,
                tell=lambda clause: self._hear(launch, clause),
            )
            try:
                await self.instances.launch(spec)
            finally:
                launch.told = None
            launch.ordinals.discard(ordinal)

    def _hear(self, launch: _Launch, clause: str) -> None:
        """In any thread: one assignment, and nothing else."""
        before, clause = launch.told, clause[:TOLD_CHARACTERS_MAX]
        goes_on = before is not None and phase_of(before[0]) == phase_of(clause)
        launch.told = (clause, before[1] if before and goes_on else self.clock.now())
