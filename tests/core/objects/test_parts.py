"""Which parts an object can be made of."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.objects.parts import (
    OBJECT_BYTES_MAX,
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    PARTS_MAX,
    check_number,
    check_part_size,
    chosen,
)
from inservice.s3_errors import (
    EntityTooLarge,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    MalformedXML,
    S3Error,
)


@dataclass(frozen=True)
class Sum:
    algorithm: str
    value: str


@dataclass(frozen=True)
class Part:
    number: int
    size: int = PART_BYTES_MIN
    etag: str = "e"
    checksum: Sum | None = None


def came(*parts: Part) -> dict[int, Part]:
    return {part.number: part for part in parts}


def test_the_parts_that_are_named_are_taken_in_their_order() -> None:
    there = came(*(Part(number) for number in (1, 2, 5, PARTS_MAX)))
    named = [Part(2, etag='"e"'), Part(PARTS_MAX)]
    assert [part.number for part in chosen("u", named, there)] == [2, PARTS_MAX]


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ([], MalformedXML),
        ([Part(2), Part(1)], InvalidPartOrder),
        ([Part(1), Part(1)], InvalidPartOrder),
        ([Part(3)], InvalidPart),
        ([Part(1, etag="x")], InvalidPart),
        ([Part(1, checksum=Sum("CRC32", "AAAAAA=="))], InvalidPart),
        ([Part(2, checksum=Sum("CRC32", "AAAAAA=="))], InvalidPart),
        ([Part(4), Part(5)], EntityTooSmall),
    ],
)
def test_what_is_refused(named: list[Part], refusal: type[S3Error]) -> None:
    there = came(Part(1), Part(2, checksum=Sum("CRC32", "BBBBBB==")), Part(4, size=1), Part(5))
    with pytest.raises(refusal):
        chosen("u", named, there)


def test_a_small_part_is_named() -> None:
    small = Part(1, size=7, etag="s")
    with pytest.raises(EntityTooSmall) as refused:
        chosen("u", [small, Part(2)], came(small, Part(2)))
    assert refused.value.members == {
        "ProposedSize": 7,
        "MinSizeAllowed": PART_BYTES_MIN,
        "PartNumber": 1,
        "ETag": "s",
    }


@given(st.lists(st.integers(0, 2 * PART_BYTES_MIN), min_size=1, max_size=5))
def test_only_the_last_part_may_be_small(sizes: list[int]) -> None:
    parts = [Part(number, size=size) for number, size in enumerate(sizes, 1)]
    if all(size >= PART_BYTES_MIN for size in sizes[:-1]):
        assert chosen("u", parts, came(*parts)) == parts
    else:
        with pytest.raises(EntityTooSmall):
            chosen("u", parts, came(*parts))


def test_an_object_has_an_end() -> None:
    whole = [Part(number, size=PART_BYTES_MAX) for number in range(1, 1025)]
    assert sum(part.size for part in chosen("u", whole, came(*whole))) == OBJECT_BYTES_MAX
    more = [*whole, Part(2000, size=1)]
    with pytest.raises(EntityTooLarge) as refused:
        chosen("u", more, came(*more))
    assert refused.value.members["ProposedSize"] == OBJECT_BYTES_MAX + 1


def test_numbers_and_sizes_of_a_part() -> None:
    for number in (1, PARTS_MAX):
        check_number(number)
    for number in (0, -1, PARTS_MAX + 1, 10**9):
        with pytest.raises(InvalidArgument):
            check_number(number)
    check_part_size(PART_BYTES_MAX)
    with pytest.raises(EntityTooLarge):
        check_part_size(PART_BYTES_MAX + 1)
