"""A page of a listing: which keys and which prefixes, out of keys in order.

Keys are ordered by their bytes in UTF-8. Those that have the delimiter after the prefix are rolled
up: of all that are alike up to and with the first delimiter, that one common prefix is told. A page
is cut by a *cursor*, which gives keys in order from any place on: behind the last key of a common
prefix it is asked to go on behind all of them, so a page costs what is on it and not what is
rolled up in it.

`after` is the last thing of the page before. Where that is a common prefix, nothing of what it
stands for is told again; any other key only says that what follows it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")

Cursor = Callable[[bytes], Iterable[tuple[bytes, Row]]]
"""From this key on, itself included, all keys in order, each with what stands with it. What is not
taken of it is not asked for."""

PEEK = 4
"""Rows of a common prefix that are passed over before the cursor is asked to go on behind it: that
costs as much as some rows, and most such prefixes of a page full of them stand for few keys."""


@dataclass(frozen=True, slots=True)
class Cut(Generic[Row]):
    """A page."""

    rows: tuple[Row, ...]
    prefixes: tuple[bytes, ...]
    truncated: bool
    last: bytes  # what stands last on it; empty if nothing does


def page(
    cursor: Cursor[Row], *, prefix: bytes, delimiter: bytes, after: bytes, most: int
) -> Cut[Row]:
    """The first `most` of keys and prefixes that follow `after`."""
    rows: list[Row] = []
    prefixes: list[bytes] = []
    last = b""
    if most > 0:
        place = first_place(prefix, delimiter, after)
        for key, common, row in _told(cursor, prefix, delimiter, place):
            if len(rows) + len(prefixes) == most:
                return Cut(tuple(rows), tuple(prefixes), True, last)
            last = common or key
            if common:
                prefixes.append(common)
            else:
                rows.append(row)
    return Cut(tuple(rows), tuple(prefixes), False, last)


def _told(
    cursor: Cursor[Row], prefix: bytes, delimiter: bytes, place: bytes | None
) -> Iterator[tuple[bytes, bytes, Row]]:
    """What is told one after the other: keys, and of each common prefix the first key that is
    rolled up in it, with that prefix."""
    common = b""
    while place is not None:
        begin, place, passed = place, None, 0
        for key, row in cursor(begin):
            if not key.startswith(prefix):
                return
            if common and key.startswith(common):
                passed += 1
                if passed > PEEK:
                    place = successor(common)
                    break
                continue
            common, passed = rolled_up(key, prefix, delimiter), 0
            yield key, common, row


def first_place(prefix: bytes, delimiter: bytes, after: bytes) -> bytes | None:
    """The first key that may be on the page; None if none can be."""
    if not after or after < prefix:
        return prefix
    if after.startswith(prefix) and rolled_up(after, prefix, delimiter) == after:
        return successor(after)
    return after + b"\0"


def rolled_up(key: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """The common prefix that a key is rolled up in; empty if it is told itself."""
    found = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: found + len(delimiter)] if found >= 0 else b""


def successor(prefix: bytes) -> bytes | None:
    """The first of all keys behind those that begin so; None if there is none."""
    shortened = prefix.rstrip(b"\xff")
    return shortened[:-1] + bytes([shortened[-1] + 1]) if shortened else None
