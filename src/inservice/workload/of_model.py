"""What a fleet runs, from the record of its model."""

from __future__ import annotations

from collections.abc import Mapping

from inservice.contract import SUBMIT_DIRECTORY
from inservice.hosting.instance_types import resources_of
from inservice.hosting.model import (
    ArtifactSource,
    CompressionType,
    ContainerDefinition,
    Model,
    S3DataType,
)
from inservice.ids import pins_of
from inservice.workload.asset import Asset
from inservice.workload.container import Container, Workload

PRIMARY = "primary"
"""What a container is called that was given no ContainerHostname, in AWS's messages too."""


def workload_of(model: Model, fleet: str, instance_type: str | None = None) -> Workload:
    """What the fleet of this id runs, on instances of a type. Of two fleets of one model each has
    its own pins: the object behind a URI may have changed between them, and then each keeps what it
    began with."""
    pins = pins_of(fleet)
    return Workload(
        containers=tuple(_container(definition, pins, model) for definition in model.containers),
        network_isolation=model.network_isolation,
        resources=resources_of(instance_type),
    )


def _container(definition: ContainerDefinition, pins: tuple[str, str], model: Model) -> Container:
    model_pin, code_pin = pins
    artifact = definition.artifact
    return Container(
        name=definition.hostname or PRIMARY,
        image=definition.image,
        environment=definition.environment,
        model=None if artifact is None else _asset(artifact, model_pin, model),
        code=_code(definition.environment, code_pin, model),
    )


def _asset(source: ArtifactSource, pin: str, model: Model, *, or_directory: bool = False) -> Asset:
    return Asset(
        source,
        pin,
        model.account,
        or_directory=or_directory,
        region=model.region,
        model=model.arn,
        role=model.document.get("ExecutionRoleArn"),
    )


def _code(environment: Mapping[str, str], pin: str, model: Model) -> Asset | None:
    """The code, if it is in a place of its own: an archive, or a directory of the host, which is
    kept like an archive, so that a fleet's instances all run the same code. A plain path is the
    model process's to read, with what rights it has."""
    place = environment.get(SUBMIT_DIRECTORY, "").strip()
    if not place.startswith(("s3://", "file://")):
        return None
    archive = ArtifactSource(place, S3DataType.S3_OBJECT, CompressionType.GZIP)
    return _asset(archive, pin, model, or_directory=place.startswith("file://"))
