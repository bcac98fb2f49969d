"""What begins with a text, as a range that an index finds and every database compares alike.

LIKE would disregard case on SQLite and regard it on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column
from sqlalchemy.sql.elements import ColumnElement


def begins_with(column: Column[str], prefix: str) -> Iterator[ColumnElement[bool]]:
    """The conditions under which the text of a `NameText` column begins with `prefix`."""
    if prefix:
        yield column >= prefix
        if (beyond := _beyond(prefix)) is not None:
            yield column < beyond


def _beyond(prefix: str) -> str | None:
    """The first text, by code points, that is after all with this prefix; None if there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    # What follows U+D7FF in UTF-8 is U+E000: between them are surrogates, which are no text.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)
