"""Where artifacts come from: what a URI may be, and what every kind of storage has to answer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

from inservice.artifacts.errors import LimitExceeded, SourceRefused, StorageFailed, shown
from inservice.artifacts.gunzip import ByteReader
from inservice.artifacts.limits import GIB, Limits, Watch

Progress = Callable[[int, int], None]
"""Told (bytes so far, bytes in all) as packed bytes arrive. Called in the fetching thread."""

DATA_TYPES = ("S3Object", "S3Prefix")
COMPRESSIONS = ("Gzip", "None")


@dataclass(frozen=True, slots=True)
class Item:
    """One object or file to read."""

    name: str  # for errors: the key, or the path
    relative: str  # where it goes below the model's directory
    size_bytes: int
    version: str  # an ETag or its like; reading another version fails


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source held when it was looked up."""

    objects: tuple[Item, ...]  # at least one
    version: str  # equal for two look-ups if, and only if, every object is the same

    def check(self, limits: Limits) -> None:
        """Refuse before anything is transferred. Raises LimitExceeded, StorageFailed."""
        if len(self.objects) > limits.entries_max:
            raise LimitExceeded(
                f"There are more than {limits.entries_max:,} objects below the prefix."
            )
        for item in self.objects:
            if item.size_bytes < 0:  # reading up to it would never end
                raise StorageFailed(f'The storage gave no size for "{shown(item.name)}".')
        size_bytes = sum(item.size_bytes for item in self.objects)
        if size_bytes > limits.packed_bytes_max:
            raise LimitExceeded(
                f"It has {size_bytes:,} bytes; this server takes at most "
                f"{limits.packed_bytes_max / GIB:g} GiB per model."
            )


class InPlace:
    """A file of ours that holds all of one object, read where it is. Who needs the file itself may
    share it: it is never written to."""

    def __init__(self, descriptor: int, watch: Watch) -> None:
        """The descriptor stays its owner's to close."""
        self.descriptor = descriptor
        self._watch = watch

    def read(self, size: int, /) -> bytes:
        """See `ByteReader`. Raises StorageFailed."""
        self._watch.check()
        try:
            return os.read(self.descriptor, size)
        except OSError as error:
            raise StorageFailed(f"Reading an object failed: {error.strerror}.") from error


class Source(Protocol):
    """One URI in one storage, for one fetch."""

    def look(self) -> Listing:
        """What is there now. Raises ArtifactMissing, ArtifactForbidden, StorageFailed, …"""
        ...

    def open(self, item: Item) -> AbstractContextManager[ByteReader]:
        """Read one item from its start to its stated size, or raise ArtifactError. An `InPlace` may
        be shared."""
        ...


@dataclass(frozen=True, slots=True)
class Rights:
    """With whose rights something is read."""

    account: str = ""  # of the model; "": nobody's
    region: str = ""
    role: str | None = None
    """ARN of the execution role. Without one, and with one that is not known here, it is read as
    root of the account would."""
    model: str = field(default="", compare=False)  # its ARN, which a role may trust alone


NOBODYS = Rights()
"""Of who reads what needs none."""


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket, and a key or a prefix in it."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class FileLocation:
    """An absolute path on this host, not yet known to be in an allowed directory."""

    path: str


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch, checked against everything that needs no look at the storage."""

    uri: str
    data_type: str  # S3Object | S3Prefix, also for files: one, or a directory of them
    compression: str  # Gzip | None
    location: S3Location | FileLocation

    @property
    def prefix(self) -> bool:
        """Whether several objects are meant."""
        return self.data_type == "S3Prefix"


def parse(uri: str, *, data_type: str, compression: str) -> Request:
    """Judge a URI by AWS's rules for S3DataSource; ModelDataUrl is S3Object with Gzip.

    Raises SourceRefused.
    """
    if data_type not in DATA_TYPES or compression not in COMPRESSIONS:
        raise SourceRefused(
            f"S3DataType {shown(data_type)} with CompressionType {shown(compression)} is unknown.",
            uri=uri,
        )
    if data_type == "S3Prefix" and compression == "Gzip":
        raise SourceRefused(
            "CompressionType Gzip needs S3DataType S3Object: one archive, not a prefix.", uri=uri
        )
    if data_type == "S3Prefix" and not uri.endswith("/"):
        raise SourceRefused('An S3Prefix URI ends with "/".', uri=uri)
    if data_type == "S3Object" and uri.endswith("/"):
        raise SourceRefused(
            'An S3Object URI names one object and does not end with "/". For everything below a '
            "prefix use ModelDataSource with S3DataType S3Prefix and CompressionType None.",
            uri=uri,
        )
    return Request(uri, data_type, compression, _location(uri))


_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
"""A bucket may become part of a host name, so nothing else may be in it: `s3://169.254.169.254@x/`
and the like must not choose whom this server talks to."""


def _location(uri: str) -> S3Location | FileLocation:
    scheme, found, rest = uri.partition("://")
    if not found or scheme not in ("s3", "file"):
        raise SourceRefused(
            f'"{shown(scheme)}" is not a scheme that artifacts are read from. Use s3://bucket/key, '
            "or file:///path on the host that InService runs on.",
            uri=uri,
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in unquote(rest)):
        raise SourceRefused("The URI holds a control character.", uri=uri)
    if scheme == "file":
        return _file_location(uri, rest)
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise SourceRefused(f'"{shown(bucket)}" is not the name of a bucket.', uri=uri)
    if not key:
        raise SourceRefused("There is no key behind the bucket.", uri=uri)
    return S3Location(bucket, key)


def _file_location(uri: str, rest: str) -> FileLocation:
    host, slash, path = rest.partition("/")
    if not slash or host not in ("", "localhost"):
        raise SourceRefused(
            "A file URI has an absolute path and no host: file:///srv/models/model.tar.gz",
            uri=uri,
        )
    try:
        path = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise SourceRefused("The path of a file URI is UTF-8.", uri=uri) from None
    parts = path.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise SourceRefused('The path of a file URI has no empty, "." or ".." part.', uri=uri)
    return FileLocation("/" + "/".join(parts))
