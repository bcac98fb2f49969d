"""What an operation may ask of the running server, beside its records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from inservice.hosting.model import ArtifactSource, Model
from inservice.images.base import KeptImages
from inservice.instance_logs.base import LogGroups
from inservice.placement.host import Claim, Host
from inservice.placement.place import Rules
from inservice.telemetry.base import Metrics


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """Control or a gateway worker."""

    name: str
    pid: int
    started_at: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """One instance as it was last seen."""

    id: str
    fleet: str
    pid: int
    state: str  # runtimes.base.InstanceState's words
    started_at: float  # epoch seconds
    is_draining: bool = False  # finishing what it has, getting nothing new
    restarts: int = 0  # launches in place of a dead one, since control came up
    ending: str = ""  # how it ended, or, of one that lives, how the one before it did
    runtime: str = "process"  # which driver runs it
    last_line: str = ""  # what it printed last, while it is not well; or the one before it


@dataclass(frozen=True, slots=True)
class StorageSeen:
    """What the storage process holds, as it told last."""

    buckets: int
    objects: int
    bytes: int  # of objects and parts
    uploads: int  # in parts, under way
    quota_bytes: int  # 0: what the volume has


@dataclass(frozen=True, slots=True)
class CapacitySeen:
    """What the host has for instances, and who holds it."""

    host: Host
    claims: tuple[Claim, ...]
    rules: Rules


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """What runs container images on this host."""

    name: str = ""  # "Podman", "Docker"; "": none was asked for anything yet
    version: str = ""
    socket: str = ""
    is_rootless: bool = False
    note: str = ""  # a sentence, where none answers: why, or when one would


class DataSeen(Enum):
    """What is seen of a model's data when the model is made."""

    ELSEWHERE = "elsewhere"  # in no bucket of this server: nobody was asked
    THERE = "there"
    MISSING = "missing"
    FORBIDDEN = "forbidden"  # to the model's role; or that it is missing is


class Live(Protocol):
    """The server as it runs."""

    @property
    def started_at(self) -> float:
        """When control came up, epoch seconds."""
        ...

    @property
    def log_bytes_max(self) -> int:
        """What clients may write with PutLogEvents, as it is kept."""
        ...

    @property
    def takes_unknown_roles(self) -> bool:
        """Whether an execution role that is not known here is accepted."""
        ...

    @property
    def is_strict(self) -> bool:
        """Whether a field that would have no effect here is refused."""
        ...

    def data_seen(self, model: Model, source: ArtifactSource) -> DataSeen:
        """Whether model data can be read as the model's execution role. It may block. Raises
        ServiceUnavailable."""
        ...

    @property
    def own_account(self) -> str:
        """The id of the account that this server is of: its root is who runs the server."""
        ...

    def processes(self) -> Sequence[ProcessSeen]:
        """Control and the gateway workers that the supervisor keeps."""
        ...

    def instances_seen(self) -> Sequence[InstanceSeen]:
        """Every instance on this host."""
        ...

    def storage(self) -> StorageSeen | None:
        """What objects there are; None of a server that keeps none, or has not heard yet."""
        ...

    def buckets_of(self, account_id: str) -> int:
        """How many an account has, also where they are not served now. It may block. Raises
        ServiceUnavailable."""
        ...

    def bucket_tags(self, account_id: str, region: str) -> Mapping[str, Mapping[str, str]]:
        """The buckets of an account in a region that have tags, with these; none where no objects
        are served. It may block. Raises ServiceUnavailable."""
        ...

    def metrics_set_aside(self) -> Sequence[Path]:
        """Files of metrics that were damaged, as long as nobody removes them."""
        ...

    def isolation(self) -> tuple[str, str, str]:
        """As whom instances run, a level of `runtimes.process.isolation`, why they run with all the
        rights of this server if that is so, and why they do not find their files where a container
        does if that is so. All empty before the first launch."""
        ...

    @property
    def placement_rules(self) -> Rules:
        """What this server makes of instance types."""
        ...

    def capacity(self) -> CapacitySeen:
        """What the host has, as it is now. It may block for a moment."""
        ...

    def engine(self) -> EngineSeen:
        """The container engine of this host. It may block for a moment."""
        ...

    def served(self) -> Collection[str]:
        """Ids of the instances that every gateway worker may choose now."""
        ...

    @property
    def metrics(self) -> Metrics:
        """Every metric, and the history of alarms."""
        ...

    @property
    def logs(self) -> LogGroups:
        """What the instances wrote."""
        ...

    @property
    def images(self) -> KeptImages:
        """What images mean here, and what there is of them."""
        ...
