"""What is in the columns of a row, and its seal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from inservice.blobs.base import Attributes, Checksum, PartGiven, PartOf, StoredObject, Upload
from inservice.blobs.errors import ObjectDamaged
from inservice.objects.conditions import bare
from inservice.seal import seal_of

encode = msgspec.msgpack.Encoder().encode
"""Any value of ours, as it is kept in a column."""

OBJECT = "key, size, modified, data, manifest, attributes, seal"
UPLOAD = "key, id, began, algorithm, type, attributes, seal"
PART = "number, size, etag, checksum, kept, slices, seal"


class Slice(NamedTuple):
    """Some bytes of a data."""

    data: int
    start: int
    length: int


class ObjectRow(NamedTuple):
    """A row of objects. It has data or a manifest."""

    key: bytes
    size: int
    modified: int  # epoch milliseconds
    data: int | None
    manifest: int | None
    attributes: bytes
    seal: str

    def told(self, bucket: str, parts: tuple[PartOf, ...] = ()) -> StoredObject:
        """What it says, to others."""
        attributes = attributes_in(self.attributes)
        return StoredObject(
            bucket, self.key.decode(), self.size, self.modified / 1000, attributes, parts
        )


class PartRow(NamedTuple):
    """A row of parts."""

    number: int
    size: int
    etag: str
    sum: bytes
    kept: int  # epoch milliseconds
    slices: bytes
    seal: str

    @property
    def checksum(self) -> Checksum | None:
        """The one that is kept with it."""
        return sums_in(self.sum)[0]

    def told(self) -> PartOf:
        """What it says, to others."""
        return PartOf(self.number, self.size, self.etag, self.checksum)


attributes_in = msgspec.msgpack.Decoder(Attributes).decode
sums_in = msgspec.msgpack.Decoder(tuple[Checksum | None]).decode
slices_in = msgspec.msgpack.Decoder(list[Slice]).decode
parts_in = msgspec.msgpack.Decoder(tuple[PartOf, ...]).decode
settings_in = msgspec.msgpack.Decoder(dict[str, bytes]).decode
upload_in = msgspec.msgpack.Decoder(Upload).decode
stored_in = msgspec.msgpack.Decoder(StoredObject).decode


def given_digest(given: Sequence[PartGiven]) -> bytes:
    """What two completions of an upload have in common that name the same parts."""
    return seal_of(
        "completed", "given", [(each.number, bare(each.etag)) for each in given]
    ).encode()


def object_seal(bucket: int, key: bytes, *values: object) -> str:
    """Of the columns of an object's row."""
    return seal_of("objects", "seal", (bucket, key, *values))


def object_row(bucket: int, row: Sequence[object]) -> ObjectRow:
    """A row as it was read. Raises ObjectDamaged."""
    found = ObjectRow(*row)  # type: ignore[arg-type]
    if object_seal(bucket, *found[:-1]) != found.seal:
        raise ObjectDamaged("objects", found.key)
    return found


def part_row(upload_id: str, row: Sequence[object]) -> PartRow:
    """A row as it was read. Raises ObjectDamaged."""
    found = PartRow(*row)  # type: ignore[arg-type]
    if seal_of("parts", "seal", (upload_id, *found[:-1])) != found.seal:
        raise ObjectDamaged("parts", (upload_id, found.number))
    return found


def upload_row(bucket: str, number: int, row: Sequence[object]) -> Upload:
    """An upload, of its row. Raises ObjectDamaged."""
    key, id_, began, algorithm, type_, attributes, seal = row
    if seal_of("uploads", "seal", (number, *row[:-1])) != seal:
        raise ObjectDamaged("uploads", id_)
    assert isinstance(key, bytes)
    assert isinstance(attributes, bytes)
    assert isinstance(began, int)
    return Upload(
        str(id_),
        bucket,
        key.decode(),
        began / 1000,
        attributes_in(attributes),
        None if algorithm is None else str(algorithm),
        str(type_),
    )


def milliseconds(seconds: float) -> int:
    """A time as it is kept."""
    return round(seconds * 1000)
