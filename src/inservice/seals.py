"""Seals: a checksum of what a row holds, kept in the row, checked whenever the row is read.

A database notices when its own pages are torn; it does not notice a bit that has turned in a name
or a number. A seal covers some columns of a row, its key and its table's name, so a changed value
does not go with it any more, and neither does a row that stands in another's place. It is no
protection against somebody who means harm: who can write the database can seal as well.

A table has one seal for each group of columns that is read alone (see `tables`): a page of a list
need not read the bodies of its records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Double, String, Table

SEAL_CHARACTERS = 16
"""64 bits: a damage passes unseen once in 10¹⁹ times."""


def seal_column(name: str, *covers: str, key: bool = True) -> Column[str]:
    """A column for the seal of the columns that `covers` names, and of the key unless the database
    makes that up. What the table was before it had seals is sealed by a migration."""
    info = {"covers": covers, "key": key}
    return Column(name, String(SEAL_CHARACTERS), nullable=False, info=info, server_default="")


def seals_of(table: Table) -> Mapping[str, tuple[str, ...]]:
    """The seals of a table: the column of each, and the columns that go into it."""
    return {
        column.name: tuple(
            dict.fromkeys(
                (
                    *(key.name for key in table.primary_key if column.info["key"]),
                    *column.info["covers"],
                )
            )
        )
        for column in table.columns
        if "covers" in column.info
    }


def seal(table: Table, name: str, row: Mapping[Any, Any]) -> str:
    """The seal that the columns of `row` ask for. Raises TypeError or ValueError for values that
    cannot be in such columns."""
    columns = table.columns
    values = [_plain(columns[each], row[each]) for each in seals_of(table)[name]]
    content = msgspec.msgpack.encode((str(table.name), str(name), values))
    return hashlib.blake2b(content, digest_size=SEAL_CHARACTERS // 2).hexdigest()


def sealed(table: Table, row: Mapping[Any, Any]) -> dict[Any, Any]:
    """The row with every seal that can be made of what is in it.

    Of a whole row that is each of them. Of the columns of an update it is those whose columns are
    all there; what is in none of them must not be updated alone, which is a mistake.
    """
    made = {
        name: seal(table, name, row)
        for name, covered in seals_of(table).items()
        if all(column in row for column in covered)
    }
    covered = {column for name in made for column in seals_of(table)[name]}
    covered |= {column.name for column in table.primary_key}
    assert row.keys() <= covered, f"{sorted(row.keys() - covered)} would not be sealed"
    return {**row, **made}


def broken_seals(table: Table, row: Mapping[Any, Any]) -> frozenset[str]:
    """The seals in a row, of those whose columns are all in it, that do not hold."""
    return frozenset(
        name
        for name, covered in seals_of(table).items()
        if name in row and all(column in row for column in covered) and not _holds(table, name, row)
    )


def key_text(key: Sequence[Any]) -> str:
    """The primary key of a row as the text by which `set_aside` knows it."""
    return msgspec.json.encode([str(part) for part in key]).decode()


def _holds(table: Table, name: str, row: Mapping[Any, Any]) -> bool:
    try:
        return bool(seal(table, name, row) == row[name])
    except (TypeError, ValueError):  # text that is no text, a word in a column of numbers
        return False


def _plain(column: Column[Any], value: Any) -> Any:
    """The value as a database gives it back: a number in a column of doubles is a float."""
    if value is not None and isinstance(column.type, Double):
        return float(value)
    if isinstance(value, str):
        return str(value)  # SQLAlchemy's own kind of text, in a key
    return bytes(value) if isinstance(value, memoryview) else value
