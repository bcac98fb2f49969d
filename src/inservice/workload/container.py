"""What an instance consists of: its containers, and what holds for all of them.

On AWS an instance runs one container, or two to fifteen that make a pipeline. There are no
pipelines here yet, so a workload that comes from a model has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inservice.hosting.resources import NO_TYPE, Resources
from inservice.workload.asset import Asset


@dataclass(frozen=True, slots=True)
class Container:
    """One server process, made from an image."""

    name: str  # ContainerHostname, or "primary": what AWS's messages call it
    image: str  # as the container definition gave it
    environment: Mapping[str, str]  # as it was given; reaches the model only
    model: Asset | None = None  # None: the image carries its model
    code: Asset | None = None
    """The user's code, where `environment` says that it is in a place of its own. Where it runs,
    that variable names the directory that this was fetched to."""

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All that has to be fetched before it can start."""
        return tuple(asset for asset in (self.model, self.code) if asset is not None)


@dataclass(frozen=True, slots=True)
class Workload:
    """All that an instance of a fleet runs. Equal workloads are served alike, on whatever host."""

    containers: tuple[Container, ...]
    network_isolation: bool = False  # EnableNetworkIsolation, of all of them
    resources: Resources = NO_TYPE
    """What the instance has for all of them together, by its type."""
