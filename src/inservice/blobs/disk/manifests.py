"""What objects in parts consist of, remembered: a download asks it for each of its ranges.

A manifest never changes under its number, and neither does it change which data lies in files. So
what was read once is right for as long as a record names it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inservice.blobs.base import PartOf
from inservice.blobs.disk.content import checked_manifest, data_seal
from inservice.blobs.disk.rows import Slice
from inservice.blobs.errors import ObjectDamaged

REMEMBERED_PARTS_MAX = 20_000
"""Of all manifests that are remembered: some ten megabytes."""

_MANIFEST = "SELECT slices, parts, seal FROM manifests WHERE number = ?"
_DATA = "SELECT size, body, seal FROM data WHERE number = ?"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an object consists of, in parts or not."""

    slices: tuple[Slice, ...]
    parts: tuple[PartOf, ...]
    in_files: frozenset[int]  # data that is
    in_records: frozenset[int]  # data that is not
    whole: int | None  # the data that is all of the object and in a file


class Manifests:
    """Those that were read lately. Safe for threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Manifest] = OrderedDict()
        self._parts = 0
        self._lock = threading.Lock()

    def read(self, connection: sqlite3.Connection, number: int | None) -> Manifest:
        """Of this number, which a record names. Raises ObjectDamaged."""
        assert number is not None, "a record names data or a manifest"
        with self._lock:
            known = self._known.get(number)
            if known is not None:
                self._known.move_to_end(number)
                return known
        row = connection.execute(_MANIFEST, (number,)).fetchone()
        slices, parts = checked_manifest(number, row)
        made = _made_of(connection, slices, parts)
        with self._lock:
            if number not in self._known:
                self._known[number] = made
                self._parts += len(slices)
            while self._parts > REMEMBERED_PARTS_MAX:
                _, forgotten = self._known.popitem(last=False)
                self._parts -= len(forgotten.slices)
        return made


def of_one(number: int, size: int, *, in_file: bool) -> Manifest:
    """Of an object that is all of one data."""
    slices = (Slice(number, 0, size),) if size else ()
    only, none = frozenset((number,)), frozenset[int]()
    if in_file:
        return Manifest(slices, (), only, none, number)
    return Manifest(slices, (), none, only, None)


def _made_of(
    connection: sqlite3.Connection, slices: list[Slice], parts: tuple[PartOf, ...]
) -> Manifest:
    """Where the data of these slices lies. Raises ObjectDamaged."""
    in_files, in_records, whole = set(), set(), None
    for number in {each.data for each in slices}:
        size, body = data(connection, number)
        if body is not None:
            in_records.add(number)
            continue
        in_files.add(number)
        if slices == [Slice(number, 0, size)]:
            whole = number
    return Manifest(tuple(slices), parts, frozenset(in_files), frozenset(in_records), whole)


def data(connection: sqlite3.Connection, number: int) -> tuple[int, bytes | None]:
    """The size of a data, and its bytes if they are not in a file. Raises ObjectDamaged."""
    return checked_data(number, connection.execute(_DATA, (number,)).fetchone())


def checked_data(number: int, row: Sequence[Any] | None) -> tuple[int, bytes | None]:
    """The same of its row: its size, its bytes, its seal. Raises ObjectDamaged."""
    size, body, seal = row or (0, None, "")
    if data_seal(number, size, body) != seal:
        raise ObjectDamaged("data", number)
    return size, body
