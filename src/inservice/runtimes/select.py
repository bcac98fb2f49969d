"""Which runtime runs what: by the image for what is to be launched, by the handle for what runs.

    an environment     is run as processes of this host
    an OCI image       is run as a container, where an engine is
    not runnable       is run by nobody, and why is said

A server may be told otherwise: `process` never asks an engine for anything, and `oci` runs AWS's
own images as the containers that they are, too. What runs already goes on as it is: an instance is
asked for where it was started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from inservice.images.base import EnvironmentImage, Images, NotRunnable, OciImage
from inservice.runtimes.base import (
    EngineMissing,
    Handle,
    ImageNotRunnable,
    InstanceState,
    LaunchSpec,
    PreparedRuntime,
    Sight,
    WatchedRuntime,
    only_container,
)
from inservice.runtimes.logins import DOCKER_HUB, registry_of

AUTO: Final = "auto"
PROCESS: Final = "process"
OCI: Final = "oci"


class Stoppable(WatchedRuntime, Protocol):
    """A runtime that can end all that it runs."""

    async def shut_down(self, grace_seconds: float) -> None:
        """End every instance and what was started to run them."""
        ...


class Processes(Stoppable, PreparedRuntime, Protocol):
    """The runtime of environments."""


class SelectedRuntime:
    """Implements `runtimes.base.WatchedRuntime` and `PreparedRuntime` over those of a host."""

    def __init__(
        self, images: Images, processes: Processes, containers: Stoppable, wanted: str = AUTO
    ) -> None:
        """`wanted` is one of AUTO, PROCESS and OCI."""
        self._images = images
        self._processes = processes
        self._containers = containers
        self._wanted = wanted
        self._all: dict[str, Stoppable] = {PROCESS: processes, OCI: containers}

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start it with the runtime of its image. Raises what that one raises, and
        ImageNotRunnable."""
        resolved = self._images.resolve(only_container(spec.workload).image)
        try:
            return await self._all[self.runtime_of(resolved.uri)].launch(spec)
        except EngineMissing as missing:
            if isinstance(resolved, OciImage):  # what the catalogue knows is said first
                words = (resolved.why, str(missing), resolved.help)
                raise ImageNotRunnable(" ".join(filter(None, words))) from missing
            raise

    def runtime_of(self, image: str) -> str:
        """PROCESS or OCI. Raises ImageNotRunnable."""
        match self._images.resolve(image):
            case NotRunnable(why=why, help=advice):
                raise ImageNotRunnable(f"{why} {advice}".strip())
            case OciImage() if self._wanted == PROCESS:
                raise ImageNotRunnable(
                    f"The image '{image}' is run by a container engine, and this server was told "
                    "to use none: INSERVICE_RUNTIME=process."
                )
            case EnvironmentImage() if self._wanted == OCI and registry_of(image) != DOCKER_HUB:
                return OCI  # a name without a registry is one of ours: nobody could pull it
            case EnvironmentImage():
                return PROCESS
            case OciImage():
                return OCI

    async def handles(self) -> Sequence[Handle]:
        """Of all runtimes."""
        found = await asyncio.gather(*(each.handles() for each in self._all.values()))
        return [handle for handles in found for handle in handles]

    async def recover(self, handle: Handle) -> Handle | None:
        """See `Runtime`."""
        owner = self._all.get(handle.runtime)
        return None if owner is None else await owner.recover(handle)

    async def look(self, handle: Handle) -> Sight:
        """See `Runtime`."""
        owner = self._all.get(handle.runtime)
        return Sight(InstanceState.GONE) if owner is None else await owner.look(handle)

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        """See `WatchedRuntime`."""
        owner = self._all.get(handle.runtime)
        return Sight(InstanceState.GONE) if owner is None else await owner.next_sight(handle, last)

    async def retire(self, handle: Handle, grace_seconds: float) -> None:
        """See `Runtime`."""
        owner = self._all.get(handle.runtime)
        if owner is not None:
            await owner.retire(handle, grace_seconds)

    async def close(self) -> None:
        """See `WatchedRuntime`."""
        await asyncio.gather(*(each.close() for each in self._all.values()))

    async def prepare(self, image: str | None = None) -> None:
        """See `PreparedRuntime`. A container image is pulled when it is deployed, as on AWS: who
        makes a model has not asked for gigabytes yet."""
        if image is None or self.runtime_of(image) == PROCESS:
            await self._processes.prepare(image)

    async def shut_down(self, grace_seconds: float) -> None:
        """End every instance of all, and what runs them. One that cannot be ended keeps none of the
        others running; then it raises, at the end."""
        ending = (each.shut_down(grace_seconds) for each in self._all.values())
        for failed in await asyncio.gather(*ending, return_exceptions=True):
            if failed is not None:
                raise failed
