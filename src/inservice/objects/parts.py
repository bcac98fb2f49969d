"""What parts an object may be made of, and whether those that are named are the ones that came."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from inservice.objects.conditions import bare
from inservice.s3_errors import (
    EntityTooLarge,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    MalformedXML,
)

MIB = 1024 * 1024
PART_BYTES_MIN = 5 * MIB
PART_BYTES_MAX = 5 * 1024 * MIB
OBJECT_BYTES_MAX = 5 * 1024 * 1024 * MIB
PUT_BYTES_MAX = PART_BYTES_MAX
"""Of what comes at once, and of what CopyObject copies."""

PARTS_MAX = 10_000


class Sum(Protocol):
    """A checksum of a part."""

    @property
    def algorithm(self) -> str: ...
    @property
    def value(self) -> str: ...


class Named(Protocol):
    """A part as whoever completes an upload names it."""

    @property
    def number(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def checksum(self) -> Sum | None: ...


class Came(Named, Protocol):
    """A part as it came."""

    @property
    def size(self) -> int: ...


Part = TypeVar("Part", bound=Came)


def check_number(number: int) -> None:
    """Raises InvalidArgument."""
    if not 1 <= number <= PARTS_MAX:
        raise InvalidArgument(
            f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=str(number),
        )


def check_part_size(size: int) -> None:
    """Raises EntityTooLarge."""
    if size > PART_BYTES_MAX:
        raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=PART_BYTES_MAX)


def chosen(upload_id: str, given: Sequence[Named], came: Mapping[int, Part]) -> Sequence[Part]:
    """The parts that are named, of those that came by their numbers; they may be fewer.

    Raises MalformedXML (none), InvalidPartOrder, InvalidPart, EntityTooSmall, EntityTooLarge.
    """
    if not given:
        raise MalformedXML
    for before, named in itertools.pairwise(given):
        if named.number <= before.number:
            raise InvalidPartOrder(UploadId=upload_id)
    parts = [_found(upload_id, named, came.get(named.number)) for named in given]
    for part in parts[:-1]:
        if part.size < PART_BYTES_MIN:
            raise EntityTooSmall(
                ProposedSize=part.size,
                MinSizeAllowed=PART_BYTES_MIN,
                PartNumber=part.number,
                ETag=part.etag,
            )
    size = sum(part.size for part in parts)
    if size > OBJECT_BYTES_MAX:
        raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=OBJECT_BYTES_MAX)
    return parts


def _found(upload_id: str, named: Named, part: Part | None) -> Part:
    is_it = (
        part is not None
        and bare(named.etag) == part.etag
        and (named.checksum is None or _same(named.checksum, part.checksum))
    )
    if part is None or not is_it:
        raise InvalidPart(UploadId=upload_id, PartNumber=named.number, ETag=bare(named.etag))
    return part


def _same(one: Sum, other: Sum | None) -> bool:
    """Of an algorithm that was not computed nothing can be told but that it is another."""
    return other is not None and (one.algorithm, one.value) == (other.algorithm, other.value)
