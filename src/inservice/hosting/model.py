"""A model: the image that serves, the artifact it loads, the environment it sees.

A model is only a record. Nothing is fetched before an endpoint is deployed, and a deployment keeps
its own copy of the record, so deleting a model never breaks what serves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from inservice.errors import NotImplementedYet, ValidationException
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.fields import refuse_unsupported
from inservice.values import Document

ENVIRONMENT_BYTES_MAX = 32 * 1024
"""Keys and values of all containers of a model together, as AWS counts them."""

_PATH_PART_BYTES_MAX = 255
"""The longest file name of every file system that an artifact can be unpacked on."""


class S3DataType(StrEnum):
    """One object, or everything under a prefix."""

    S3_PREFIX = "S3Prefix"
    S3_OBJECT = "S3Object"


class CompressionType(StrEnum):
    """A gzip-compressed tar to be unpacked, or files as they are."""

    NONE = "None"
    GZIP = "Gzip"


@dataclass(frozen=True, slots=True)
class ArtifactSource:
    """Where the artifact is. A ModelDataUrl is an S3Object of type Gzip."""

    uri: str
    data_type: S3DataType
    compression: CompressionType

    @classmethod
    def of_container(cls, container: Document) -> Self | None:
        """What a container definition says, in either of its two ways; None if it has no artifact.

        Raises ValidationException for both ways at once, and for a source that could never be
        unpacked; NotImplementedYet for one that is not fetched here.
        """
        url = container.get("ModelDataUrl")
        source = container.get("ModelDataSource", {}).get("S3DataSource")
        if url is not None and source is not None:
            raise ValidationException(
                "Specify only one of ModelDataUrl and ModelDataSource in container definition."
            )
        if url is not None:
            _check_scheme("ModelDataUrl", url)
        if source is not None:
            _check_scheme("ModelDataSource.S3DataSource.S3Uri", source["S3Uri"])
        if url is not None:
            return cls(url, S3DataType.S3_OBJECT, CompressionType.GZIP)
        if source is None:
            return None
        _check_source(source)
        return cls(
            source["S3Uri"],
            S3DataType(source["S3DataType"]),
            CompressionType(source["CompressionType"]),
        )


@dataclass(frozen=True, slots=True)
class ContainerDefinition:
    """What runs in one container of an instance."""

    hostname: str | None  # ContainerHostname; has no effect on a model of one container
    image: str
    artifact: ArtifactSource | None  # None: the image carries its model
    environment: Mapping[str, str]
    document: Document

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """Raises ValidationException for what AWS refuses in one container definition."""
        if ("Image" in document) == ("ModelPackageName" in document):
            raise ValidationException(
                "Specify one of either Image and Model Data URL or ModelPackageName "
                "in container definition."
            )
        return cls(
            hostname=document.get("ContainerHostname"),
            image=document.get("Image", ""),
            artifact=ArtifactSource.of_container(document),
            environment=document.get("Environment", {}),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it was created. There is no update: another model has another name."""

    account: str
    region: str
    name: str
    arn: str
    created_at: float  # epoch seconds
    containers: tuple[ContainerDefinition, ...]  # exactly one for now
    network_isolation: bool
    document: Document  # CreateModel's members without Tags

    @classmethod
    def from_document(cls, document: Document, *, account: str, region: str, now: float) -> Self:
        """The model that a CreateModel request asks for.

        Raises ValidationException for what AWS refuses too, then NotImplementedYet for what
        InService does not support yet.
        """
        containers = tuple(ContainerDefinition.from_document(d) for d in _definitions(document))
        _check_environment(containers)
        refuse_unsupported("CreateModelInput", document)
        if len(containers) > 1:
            raise NotImplementedYet(
                "more than one element in 'Containers'", "an instance runs one container"
            )
        name = document["ModelName"]
        return cls(
            account=account,
            region=region,
            name=name,
            arn=str(ResourceArn(ResourceKind.MODEL, account, region, name)),
            created_at=now,
            containers=containers,
            network_isolation=document.get("EnableNetworkIsolation", False),
            document=document,
        )


def _definitions(document: Document) -> Sequence[Document]:
    """PrimaryContainer or Containers, whichever was given."""
    primary, several = document.get("PrimaryContainer"), document.get("Containers")
    if primary is not None and several:
        raise ValidationException("Specify only one of PrimaryContainer and Containers.")
    if primary is not None:
        return (primary,)
    if several:
        return tuple(several)
    raise ValidationException("Specify one of PrimaryContainer and Containers.")


def _check_environment(containers: Sequence[ContainerDefinition]) -> None:
    size_bytes = sum(
        len(key.encode()) + len(value.encode())
        for container in containers
        for key, value in container.environment.items()
    )
    if size_bytes > ENVIRONMENT_BYTES_MAX:
        raise ValidationException(
            f"The Environment maps of all containers take {size_bytes} bytes together; "
            f"the limit is {ENVIRONMENT_BYTES_MAX}."
        )


def _check_scheme(member: str, uri: str) -> None:
    """AWS's pattern lets https:// pass; here nothing could be read from it, so say so at once."""
    if uri.startswith("https://"):
        raise NotImplementedYet(
            f"the value '{uri}' at '{member}'",
            "name the object as s3://bucket/key, or a file of this host as file:///path",
        )


def _check_source(source: Document) -> None:
    """What AWS documents about the parts of an S3Uri; the object itself is not looked at."""
    uri, data_type = source["S3Uri"], source["S3DataType"]
    if data_type == S3DataType.S3_PREFIX and source["CompressionType"] == CompressionType.GZIP:
        raise ValidationException(
            "CompressionType Gzip needs S3DataType S3Object: a prefix names no archive to unpack."
        )
    if data_type == S3DataType.S3_PREFIX and not uri.endswith("/"):
        raise ValidationException(
            f"S3Uri '{uri}' must end with a forward slash when S3DataType is S3Prefix."
        )
    _, _, rest = uri.partition("://")
    _, _, key = rest.partition("/")
    parts = key.removesuffix("/").split("/") if key else []
    if any(not _is_path_part(part) for part in parts):
        raise ValidationException(
            f"S3Uri '{uri}' has a part that cannot be a file name: empty, blank, '.', '..', "
            f"longer than {_PATH_PART_BYTES_MAX} bytes, or with a NUL in it."
        )


def _is_path_part(part: str) -> bool:
    return (
        bool(part.strip())
        and part not in {".", ".."}
        and "\0" not in part
        and len(part.encode()) <= _PATH_PART_BYTES_MAX
    )
