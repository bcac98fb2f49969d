"""Launching: the artifact first, once for a whole fleet, then the instances.

A launch takes as long as a download takes, and a turn must not wait, so each fleet has a task of
its own. Nothing of it survives a crash and nothing has to: the ordinals are still missing then, the
next turn asks for them again, and what had been fetched or started is found.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import structlog

from inservice.artifacts.base import Artifacts
from inservice.artifacts.errors import ArtifactError
from inservice.clock import Clock
from inservice.controller.endpoints import shortages
from inservice.controller.endpoints.instances import Instances
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.fleet import Fleet
from inservice.hosting.model import (
    ArtifactSource,
    CompressionType,
    ContainerDefinition,
    S3DataType,
)
from inservice.ids import pins_of
from inservice.runtimes.base import ImageNotRunnable, LaunchFailed, LaunchSpec
from inservice.threads import Threads

RETRY_SECONDS = 10.0
"""How soon a fleet that could not start is tried again, where it has to be: a serving fleet whose
instance died while the artifact store is away."""

FETCHES_MAX = 32
"""Fetches at once. They have threads of their own: a download may take an hour, and the store
is not to wait for it."""

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
"""Where AWS's framework containers find the user's code. The SageMaker SDK sets it to an archive,
in S3 or in local mode a file's, which the container fetches; here the host does, with the checks
that every artifact gets."""

log = structlog.get_logger()


@dataclass
class _Launch:
    ordinals: set[int]
    cancelled: threading.Event = field(default_factory=threading.Event)
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)  # the same, to be waited for
    short_of: str | None = None  # what the host lacks, while the launch waits for that
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """It is not wanted any more."""
        self.cancelled.set()
        self.unwanted.set()


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    at: float


@dataclass
class Launches:
    """Launches under way, and fleets that could not be launched."""

    instances: Instances
    artifacts: Artifacts
    clock: Clock
    on_change: Callable[[str], None]
    _under_way: dict[str, _Launch] = field(default_factory=dict)
    _failures: dict[str, _Failure] = field(default_factory=dict)
    _threads: Threads = field(default_factory=lambda: Threads("fetch", FETCHES_MAX))

    def under_way(self, fleet: str) -> frozenset[int]:
        """Ordinals whose launch was begun and that are no instances yet."""
        launch = self._under_way.get(fleet)
        return frozenset(launch.ordinals) if launch else frozenset()

    def waits_for(self, fleet: str) -> str | None:
        """What a launch under way waits for, if the host is short of something just now."""
        launch = self._under_way.get(fleet)
        return launch.short_of if launch else None

    def failure(self, fleet: str) -> str | None:
        """Why the fleet could not be launched at the last try."""
        failure = self._failures.get(fleet)
        return failure.reason if failure else None

    def begin(self, endpoint: Endpoint, fleet: Fleet, ordinals: Iterable[int]) -> None:
        """See to it that these instances are started; returns at once."""
        failure = self._failures.get(fleet.id)
        if failure is not None and self.clock.now() < failure.at + RETRY_SECONDS:
            return
        launch = self._under_way.get(fleet.id)
        if launch is not None:
            return  # the next turn asks again for what this one does not bring
        launch = self._under_way[fleet.id] = _Launch(set(ordinals))
        launch.task = asyncio.create_task(self._launch(endpoint, fleet, launch))

    def give_up(self, fleet: str) -> None:
        """Stop fetching for a fleet that is not wanted any more."""
        self._failures.pop(fleet, None)
        if launch := self._under_way.get(fleet):
            launch.cancel()

    async def close(self) -> None:
        """Stop fetching."""
        tasks = []
        for launch in self._under_way.values():
            launch.cancel()
            if launch.task is not None:
                tasks.append(launch.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.close()

    async def _launch(self, endpoint: Endpoint, fleet: Fleet, launch: _Launch) -> None:
        try:
            await self._fetch_and_start_when_there_is_room(endpoint, fleet, launch)
            self._failures.pop(fleet.id, None)
        except ArtifactError as failed:
            self._remember(fleet, failed.reason)
        except (ImageNotRunnable, LaunchFailed) as failed:
            self._remember(fleet, str(failed))
        except OSError as failed:
            self._remember(fleet, f"The instance could not be started: {failed}.")
        except Exception as bug:  # without a reason it would be Creating for ever
            log.exception("launch failed", fleet=fleet.id)
            self._remember(fleet, f"The instance could not be started: {bug!r}.")
        finally:
            del self._under_way[fleet.id]
            self.on_change(fleet.id)

    async def _fetch_and_start_when_there_is_room(
        self, endpoint: Endpoint, fleet: Fleet, launch: _Launch
    ) -> None:
        """A shortage of the host passes, so it fails nothing: only the deployment's own time ends
        the waiting."""
        tries = 0
        while not launch.cancelled.is_set():
            try:
                await self._fetch_and_start(endpoint, fleet, launch)
            except Exception as failed:
                tries += 1
                short_of = shortages.shortage(failed)
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

    def _remember(self, fleet: Fleet, reason: str) -> None:
        log.warning("fleet cannot start", fleet=fleet.id, reason=reason)
        self._failures[fleet.id] = _Failure(reason, self.clock.now())

    async def _fetch_and_start(self, endpoint: Endpoint, fleet: Fleet, launch: _Launch) -> None:
        if fleet.model is None:
            raise ImageNotRunnable(f"Fleet {fleet.id} has no model to run.")
        container = fleet.model.containers[0]
        model_pin, code_pin = pins_of(fleet.id)
        model_dir = code_dir = None
        if container.artifact is not None:
            model_dir = await self._fetch(container.artifact, model_pin, fleet, launch)
        environment = dict(container.environment)
        if (source := await self._code_source(environment)) is not None:
            code_dir = await self._fetch(source, code_pin, fleet, launch)
            environment[SUBMIT_DIRECTORY] = code_dir.as_uri()
        for ordinal in sorted(launch.ordinals):
            if launch.cancelled.is_set():
                return
            await self.instances.launch(
                _spec(endpoint, fleet, container, ordinal, model_dir, code_dir, environment)
            )
            launch.ordinals.discard(ordinal)

    async def _code_source(self, environment: Mapping[str, str]) -> ArtifactSource | None:
        """Where the code is, if it is a place of its own: an archive, or a directory of this host,
        which is kept like an archive, so that a fleet's instances all run the same code. A plain
        path is the model process's to read, with what rights it has."""
        place = environment.get(SUBMIT_DIRECTORY, "").strip()
        if not place.startswith(("s3://", "file://")):
            return None
        archive = ArtifactSource(place, S3DataType.S3_OBJECT, CompressionType.GZIP)
        if place.startswith("s3://"):
            return archive
        path = Path("/" + unquote(place.removeprefix("file://").partition("/")[2]))
        if not await self._threads.run(path.is_dir):
            return archive
        return ArtifactSource(f"{place.rstrip('/')}/", S3DataType.S3_PREFIX, CompressionType.NONE)

    async def _fetch(self, source: ArtifactSource, pin: str, fleet: Fleet, launch: _Launch) -> Path:
        fetch = partial(
            self.artifacts.fetch,
            source.uri,
            data_type=source.data_type,
            compression=source.compression,
            pin=pin,
            deadline=time.monotonic() + fleet.variant.download_timeout_seconds,
            cancelled=launch.cancelled,
        )
        return (await self._threads.run(fetch)).path


def _spec(
    endpoint: Endpoint,
    fleet: Fleet,
    container: ContainerDefinition,
    ordinal: int,
    model_dir: Path | None,
    code_dir: Path | None,
    environment: Mapping[str, str],
) -> LaunchSpec:
    return LaunchSpec(
        instance_id=fleet.instance_id(ordinal),
        account=endpoint.account,
        region=endpoint.region,
        endpoint=endpoint.name,
        variant=fleet.variant.name,
        image=container.image,
        container=container.hostname or "primary",
        model_dir=model_dir,
        code_dir=code_dir,
        environment=environment,
        network_isolation=bool(fleet.model and fleet.model.network_isolation),
    )
