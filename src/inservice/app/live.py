"""The server as it runs, for the operations that show it and the metrics that measure it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inservice.app.capacity import Capacity
from inservice.app.runtimes import HostRuntimes
from inservice.artifacts.errors import ArtifactError, ArtifactForbidden, ArtifactMissing
from inservice.artifacts.sources import Rights
from inservice.artifacts.store import ArtifactStore
from inservice.blobs.disk.beside import BlobsBeside
from inservice.channel.publishing import Gateways
from inservice.config import ANY_ROLE, OFF, Settings
from inservice.controller.endpoints import explain
from inservice.controller.endpoints.instances import Instances, Watched
from inservice.controller.kit.tables import Tables
from inservice.errors import ServiceUnavailable
from inservice.hosting.model import ArtifactSource, Model
from inservice.ids import fleet_of
from inservice.images.base import KeptImages
from inservice.instance_logs.base import LogGroups
from inservice.operations.live import (
    CapacitySeen,
    DataSeen,
    EngineSeen,
    InstanceSeen,
    ProcessSeen,
    StorageSeen,
)
from inservice.placement.place import Rules
from inservice.runtimes.base import InstanceState, Sight
from inservice.runtimes.select import PROCESS
from inservice.telemetry.base import RunningInstance
from inservice.telemetry.names import VariantKey
from inservice.telemetry.opening import were_set_aside
from inservice.telemetry.recorder import Recorder


@dataclass(frozen=True, slots=True)
class LiveServer:
    """Implements `operations.live.Live`."""

    settings: Settings
    started_at: float  # epoch seconds: when control came up
    instances: Instances
    gateways: Gateways
    tables: Tables
    metrics: Recorder
    logs: LogGroups
    runtimes: HostRuntimes
    host: Capacity
    artifacts: ArtifactStore
    images: KeptImages

    def data_seen(self, model: Model, source: ArtifactSource) -> DataSeen:
        """See `Live`."""
        role = model.document.get("ExecutionRoleArn")
        try:
            is_here = self.artifacts.glance(
                source.uri,
                data_type=source.data_type,
                compression=source.compression,
                rights=Rights(model.account, model.region, role, model.arn),
            )
        except ArtifactMissing:
            return DataSeen.MISSING
        except ArtifactForbidden:
            return DataSeen.FORBIDDEN
        except ArtifactError as error:
            raise ServiceUnavailable(error.detail) from error
        return DataSeen.THERE if is_here else DataSeen.ELSEWHERE

    @property
    def is_strict(self) -> bool:
        """See `Live`."""
        return self.settings.strict

    @property
    def takes_unknown_roles(self) -> bool:
        """As it is set."""
        return self.settings.execution_roles == ANY_ROLE

    @property
    def own_account(self) -> str:
        """As the settings have it."""
        return self.settings.account_id

    def isolation(self) -> tuple[str, str, str]:
        """As the latest launch found it."""
        processes = self.runtimes.processes
        return processes.isolation, processes.unprotected, processes.unplaced

    def engine(self) -> EngineSeen:
        """As it was found, or as it would be."""
        if self.settings.runtime == PROCESS:
            return EngineSeen(note="none is used, since INSERVICE_RUNTIME=process says so.")
        seen = self.runtimes.engine.glance()
        if isinstance(seen, str):
            return EngineSeen(note=seen)
        return EngineSeen(seen.name, seen.version, str(seen.socket), is_rootless=seen.is_rootless)

    @property
    def log_bytes_max(self) -> int:
        """As it is set."""
        return self.settings.log_bytes_max

    def processes(self) -> Sequence[ProcessSeen]:
        """What the supervisor says that it keeps running."""
        document = msgspec.json.decode((self.settings.run_dir / "processes.json").read_bytes())
        return [
            ProcessSeen(child["name"], child["pid"], child["started_at"])
            for child in document["children"]
        ]

    def instances_seen(self) -> Sequence[InstanceSeen]:
        """Every instance on this host."""
        return [_seen(watched) for watched in self.instances.all()]

    def storage(self) -> StorageSeen | None:
        """As the storage process told last."""
        told = self.gateways.storage
        if told is None:
            return None
        return StorageSeen(told.buckets, told.objects, told.bytes, told.uploads, told.quota_bytes)

    def buckets_of(self, account_id: str) -> int:
        """As the storage's records have it."""
        return len(BlobsBeside(self.settings.storage_dir).buckets(account_id))

    def bucket_tags(self, account_id: str, region: str) -> Mapping[str, Mapping[str, str]]:
        """As the storage's records have it."""
        if self.settings.storage == OFF:
            return {}
        return {
            bucket.name: msgspec.json.decode(bucket.settings["tagging"])
            for bucket in BlobsBeside(self.settings.storage_dir).buckets(account_id)
            if bucket.region == region and "tagging" in bucket.settings
        }

    def metrics_set_aside(self) -> Sequence[Path]:
        """On SQLite; PostgreSQL looks after its own."""
        return were_set_aside(self.settings.data_dir / "metrics.db")

    @property
    def placement_rules(self) -> Rules:
        """As it is set."""
        return self.host.rules

    def capacity(self) -> CapacitySeen:
        """As the driver of the GPUs, the kernel and the claims have it."""
        return self.host.seen()

    def served(self) -> Collection[str]:
        """As the workers have acknowledged."""
        return self.tables.served()

    def variants(self) -> dict[str, VariantKey]:
        """Whose metrics an instance's or an invocation's are, by fleet, of all that serve."""
        return {
            fleet.fleet: VariantKey(
                route.account, route.region, route.name, fleet.variant, fleet.config_name
            )
            for route in self.gateways.table.endpoints.values()
            for fleet in route.fleets
        }

    def running(self) -> list[RunningInstance]:
        """The processes whose load is measured."""
        variants = self.variants()
        return [
            RunningInstance(
                variant,
                watched.handle.pid,
                watched.handle.started_at,
                watched.sight.ready_at,
                self.host.devices_of(watched.handle.instance_id),
            )
            for watched in self.instances.all()
            if (variant := variants.get(fleet_of(watched.handle.instance_id)))
            and watched.sight.state != InstanceState.GONE
        ]


def _seen(watched: Watched) -> InstanceSeen:
    """An instance as the operations show it: while it is well, what it prints is in its log."""
    sight, death = watched.sight, watched.death
    told = death if death is not None and not sight.last_lines else sight
    return InstanceSeen(
        id=watched.handle.instance_id,
        fleet=fleet_of(watched.handle.instance_id),
        pid=watched.handle.pid,
        runtime=watched.handle.runtime,
        state=sight.state,
        started_at=watched.handle.started_at,
        is_draining=watched.retiring,
        restarts=watched.restarts,
        ending=_ending(sight if sight.state is InstanceState.GONE else death),
        last_line=explain.in_a_line(told),
    )


def _ending(sight: Sight | None) -> str:
    """How an instance ended, in two words."""
    if sight is None or sight.state is not InstanceState.GONE:
        return ""
    if sight.out_of_memory:
        return "out of memory"
    return sight.signal or ("" if sight.exit_code is None else f"exit code {sight.exit_code}")
