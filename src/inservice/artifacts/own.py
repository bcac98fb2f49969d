"""Artifacts in this server's own storage: read where they are, with the rights of their model.

Nothing is transferred. An archive is unpacked out of the file that holds it; files under a prefix
become part of the tree by a clone or a link, where the file system has those. What is read is held
open from the moment at which it is found to be what was looked up, and stays that whatever becomes
of its key meanwhile.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactForbidden,
    ArtifactMissing,
    LimitExceeded,
    StorageFailed,
    shown,
)
from inservice.artifacts.gunzip import PIECE_BYTES, ByteReader
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.sources import InPlace, Item, Listing, Request, Rights, S3Location
from inservice.blobs.base import Reading, StoredObject
from inservice.errors import AwsError
from inservice.s3_errors import AccessDenied, NoSuchBucket, NoSuchKey


class OwnObjects(Protocol):
    """Objects of this server, for who has the right to them.

    Each raises AccessDenied, NoSuchBucket and NoSuchKey as S3 would answer who asks: a key that is
    not there is told only to those who may list. Beside these OSError, and AwsError where nobody
    can say.
    """

    def owner(self, bucket: str) -> str | None:
        """The account whose bucket it is; None if there is none of that name."""
        ...

    def stored(self, rights: Rights, bucket: str, key: str) -> StoredObject:
        """An object as it is now."""
        ...

    def below(self, rights: Rights, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Every object below a prefix, in the order of their keys."""
        ...

    def read(self, rights: Rights, bucket: str, key: str) -> Reading:
        """An object to be read."""
        ...


class OwnSource:
    """One object, or the objects below one prefix."""

    def __init__(
        self, objects: OwnObjects, request: Request, rights: Rights, limits: Limits, watch: Watch
    ) -> None:
        assert isinstance(request.location, S3Location)
        self._objects = objects
        self._rights = rights
        self._bucket = request.location.bucket
        self._key = request.location.key
        self._prefix = request.prefix
        self._limits = limits
        self._watch = watch

    def look(self) -> Listing:
        """The object, or every object below the prefix."""
        with self._meaning(self._key):
            if self._prefix:
                return self._look_below()
            found = self._objects.stored(self._rights, self._bucket, self._key)
        item = Item(self._key, self._key.rsplit("/", 1)[-1], found.size, _version(found))
        return Listing((item,), f"own {item.version}")

    def glance(self) -> None:
        """Look whether there is anything. Raises ArtifactMissing, ArtifactForbidden, …"""
        with self._meaning(self._key):
            if not self._prefix:
                self._objects.stored(self._rights, self._bucket, self._key)
                return
            first = next(self._objects.below(self._rights, self._bucket, self._key), None)
        if first is None:
            raise ArtifactMissing("There is no object below this prefix.")

    def _look_below(self) -> Listing:
        items: list[Item] = []
        for found in self._objects.below(self._rights, self._bucket, self._key):
            self._watch.check()
            relative = found.key.removeprefix(self._key)
            items.append(Item(found.key, relative, found.size, _version(found)))
            if len(items) > self._limits.entries_max:
                raise LimitExceeded(
                    f"There are more than {self._limits.entries_max:,} objects below the prefix."
                )
        if not items:
            raise ArtifactMissing("There is no object below this prefix.")
        digest = hashlib.sha256()
        for item in items:
            digest.update(f"{item.name}\0{item.version}\0".encode())
        return Listing(tuple(items), f"own {digest.hexdigest()}")

    @contextmanager
    def open(self, item: Item) -> Iterator[ByteReader]:
        """Read one object. Raises ArtifactChanged if it is not the one that was looked up."""
        try:
            with self._meaning(item.name):
                reading = self._objects.read(self._rights, self._bucket, item.name)
        except ArtifactMissing:
            raise _changed(item) from None
        with closing(reading):
            if _version(reading.stored) != item.version:
                raise _changed(item)
            path = reading.path()
            if path is None:
                yield _Chunks(reading, item, self._watch)
                return
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                # Replaced or deleted since, while the reading holds on to what it was.
                yield _Chunks(reading, item, self._watch)
                return
            try:
                yield InPlace(descriptor, self._watch)
            finally:
                os.close(descriptor)

    @contextmanager
    def _meaning(self, key: str) -> Iterator[None]:
        """Errors of the storage, as what they mean for an artifact."""
        role = self._rights.role
        try:
            yield
        except (NoSuchKey, NoSuchBucket):
            raise ArtifactMissing(
                f'There is no object "{shown(key)}" in bucket "{self._bucket}" of this server.'
            ) from None
        except AccessDenied as denied:
            who = f"the role {shown(role, characters_max=200)}" if role else "the model's account"
            raise ArtifactForbidden(
                f'This server has the bucket "{self._bucket}", and {who} may not read '
                f'"{shown(key)}" in it: {shown(denied.message, characters_max=300)} Please ensure '
                'that the role has "s3:GetObject" (for a prefix also "s3:ListBucket") permissions.'
            ) from None
        except (AwsError, OSError) as error:
            raise StorageFailed(
                f"The storage of this server could not be read: {shown(str(error))}"
            ) from error


class _Chunks:
    """An object that is in no file of its own."""

    def __init__(self, reading: Reading, item: Item, watch: Watch) -> None:
        self._chunks = reading.chunks(0, item.size_bytes, PIECE_BYTES)
        self._rest = b""
        self._item = item
        self._watch = watch

    def read(self, size: int, /) -> bytes:
        """See `ByteReader`. Raises StorageFailed."""
        self._watch.check()
        try:
            piece = self._rest or next(self._chunks, b"")
        except FileNotFoundError:  # one of the files that it is in, in parts
            raise _changed(self._item) from None
        except OSError as error:
            raise StorageFailed(f"Reading an object failed: {error.strerror}.") from error
        self._rest = piece[size:]
        return piece[:size]


def _version(stored: StoredObject) -> str:
    """Which of all that was ever under this key: two of the same bytes may be told apart."""
    return f"{stored.attributes.etag} {stored.size} {stored.modified_at!r}"


def _changed(item: Item) -> ArtifactChanged:
    return ArtifactChanged(
        f'"{shown(item.name)}" was replaced while it was being read. Upload each version under its '
        "own key."
    )
