"""Data by the slice: what records refer to, how a reference is taken and how it ends.

A data is immutable and may be needed by several records: an object that was copied, parts that were
copied out of it. Each reference is counted in its row, in the transaction that makes or ends it. So
no copy moves a byte, and an object that came in parts is a list of slices of what came.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

from inservice.blobs.base import PartOf
from inservice.blobs.disk.arriving import Arrived
from inservice.blobs.disk.database import Change
from inservice.blobs.disk.rows import ObjectRow, Slice, encode, parts_in, slices_in
from inservice.blobs.errors import ObjectDamaged
from inservice.seal import seal_of


def add(change: Change, arrived: Arrived) -> int:
    """Record what has arrived, with one use; its number."""
    seal = data_seal(arrived.number, arrived.size, arrived.body)
    change.run(
        "INSERT INTO data (number, size, uses, seal, body) VALUES (?, ?, 1, ?, ?)",
        *(arrived.number, arrived.size, seal, arrived.body),
    )
    change.bytes += arrived.size
    if arrived.body is None:
        change.made.append(arrived.number)
    return arrived.number


def add_manifest(
    change: Change, number: int, slices: Sequence[Slice], parts: Sequence[PartOf]
) -> None:
    """Record an object in parts, with one use. Its slices are references that there are already."""
    content = encode(slices), encode(parts)
    change.run(
        "INSERT INTO manifests (number, uses, slices, parts, seal) VALUES (?, 1, ?, ?, ?)",
        *(number, *content, manifest_seal(number, *content)),
    )


def take(change: Change, row: ObjectRow) -> None:
    """One more reference to all of an object's content."""
    if row.data is not None:
        change.run("UPDATE data SET uses = uses + 1 WHERE number = ?", row.data)
    else:
        change.run("UPDATE manifests SET uses = uses + 1 WHERE number = ?", row.manifest)


def take_slices(change: Change, slices: Iterable[Slice]) -> None:
    """One more reference for each of these."""
    for number, count in _counted(slices):
        change.run("UPDATE data SET uses = uses + ? WHERE number = ?", count, number)


def release(change: Change, row: ObjectRow) -> None:
    """End an object's reference to its content. What a damaged row needed stays as it is."""
    if row.data is not None:
        _release(change, row.data, 1)
    elif row.manifest is not None and not change.run(
        "UPDATE manifests SET uses = uses - 1 WHERE number = ? AND uses > 1", row.manifest
    ):
        slices: list[Slice] = []
        with contextlib.suppress(ObjectDamaged):
            slices, _ = manifest(change, row.manifest)
        change.run("DELETE FROM manifests WHERE number = ?", row.manifest)
        release_slices(change, slices)


def release_slices(change: Change, slices: Iterable[Slice]) -> None:
    """End the reference of each of these."""
    for number, count in _counted(slices):
        _release(change, number, count)


def manifest(change: Change, number: int) -> tuple[list[Slice], tuple[PartOf, ...]]:
    """The slices and the parts of an object in parts. Raises ObjectDamaged."""
    return checked_manifest(
        number,
        change.one("SELECT slices, parts, seal FROM manifests WHERE number = ?", number),
    )


def checked_manifest(
    number: int, row: Sequence[object] | None
) -> tuple[list[Slice], tuple[PartOf, ...]]:
    """The same of the row: its slices, its parts, its seal. Raises ObjectDamaged."""
    if row is None or manifest_seal(number, *row[:2]) != row[2]:
        raise ObjectDamaged("manifests", number)
    slices, parts = row[:2]
    assert isinstance(slices, bytes)
    assert isinstance(parts, bytes)
    return slices_in(slices), parts_in(parts)


def slices_of(change: Change, row: ObjectRow) -> list[Slice]:
    """All that an object consists of."""
    if row.data is not None:
        return [Slice(row.data, 0, row.size)]
    assert row.manifest is not None
    return manifest(change, row.manifest)[0]


def cut(slices: Iterable[Slice], start: int, length: int) -> list[Slice]:
    """So many bytes of these, from `start`; fewer where there are fewer."""
    end, place, found = start + length, 0, []
    for data, begin, size in slices:
        first, last = max(start, place), min(end, place + size)
        if first < last:
            found.append(Slice(data, begin + first - place, last - first))
        place += size
    return found


def data_seal(number: int, size: int, body: bytes | None) -> str:
    """Of a row of data. Its uses change and are not in it. A body goes into it by its CRC: a strong
    digest of 64 KiB takes longer than all the rest of reading it."""
    return seal_of("data", "seal", (number, size, None if body is None else zlib.crc32(body)))


def manifest_seal(number: int, *values: object) -> str:
    """Of a row of manifests."""
    return seal_of("manifests", "seal", (number, *values))


def _counted(slices: Iterable[Slice]) -> Iterable[tuple[int, int]]:
    return Counter(each.data for each in slices).items()


def _release(change: Change, number: int, count: int) -> None:
    if change.run(
        "UPDATE data SET uses = uses - ? WHERE number = ? AND uses > ?", count, number, count
    ):
        return
    found = change.one("SELECT size, body IS NULL FROM data WHERE number = ?", number)
    if found is None:  # it was lost before, and is missed by nobody from now on
        return
    size, in_file = found
    change.run("DELETE FROM data WHERE number = ?", number)
    change.bytes -= size
    if in_file:
        change.run("INSERT INTO garbage (number) VALUES (?)", number)
        change.gone.append(number)
