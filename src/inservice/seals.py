"""Seals: a checksum of what a row holds, kept in the row, checked whenever the row is read.

A database notices when its own pages are torn; it does not notice a bit that has turned in a name
or a number. A seal covers some columns of a row, its key and its table's name, so a changed value
does not go with it any more, and neither does a row that stands in another's place. It is no
protection against somebody who means harm: who can write the database can seal as well.

A table has one seal for each group of columns that is read alone (see `tables`): a page of a list
need not read the bodies of its records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, Double, String, Table

from inservice.seal import SEAL_CHARACTERS, seal_of

_KNOWN = "seals"
"""Where a table remembers what its seals are."""


def seal_column(name: str, *covers: str, key: bool = True) -> Column[str]:
    """A column for the seal of the columns that `covers` names, and of the key unless the database
    makes that up. What the table was before it had seals is sealed by a migration."""
    info = {"covers": covers, "key": key}
    return Column(name, String(SEAL_CHARACTERS), nullable=False, info=info, server_default="")


class _Seal(NamedTuple):
    """One seal of a table."""

    column: str
    covered: tuple[str, ...]
    values: Callable[[Mapping[Any, Any]], Sequence[Any]]  # of these, in a row
    doubles: tuple[int, ...]  # which of the values are floats, whatever they were written as


def seals_of(table: Table) -> Mapping[str, tuple[str, ...]]:
    """The seals of a table: the column of each, and the columns that go into it."""
    return {each.column: each.covered for each in _seals(table)}


def _seals(table: Table) -> Sequence[_Seal]:
    """Found out once for each table: a server that starts holds thousands of rows against them."""
    known: Sequence[_Seal] | None = table.info.get(_KNOWN)
    if known is None:
        known = table.info[_KNOWN] = tuple(
            _seal_in(table, column) for column in table.columns if "covers" in column.info
        )
    return known


def _seal_in(table: Table, column: Column[Any]) -> _Seal:
    keys = [key.name for key in table.primary_key if column.info["key"]]
    covered = tuple(dict.fromkeys(str(name) for name in (*keys, *column.info["covers"])))
    doubles = (n for n, name in enumerate(covered) if isinstance(table.c[name].type, Double))
    get = itemgetter(*covered)
    values = get if len(covered) > 1 else lambda row: (get(row),)
    return _Seal(str(column.name), covered, values, tuple(doubles))


def sealed(table: Table, row: Mapping[Any, Any]) -> dict[Any, Any]:
    """The row with every seal that can be made of what is in it.

    Of a whole row that is each of them. Of the columns of an update it is those whose columns are
    all there; what is in none of them must not be updated alone, which is a mistake.
    """
    whole = [seal for seal in _seals(table) if all(map(row.__contains__, seal.covered))]
    covered = {column for seal in whole for column in seal.covered}
    covered |= {column.name for column in table.primary_key}
    assert row.keys() <= covered, f"{sorted(row.keys() - covered)} would not be sealed"
    return {**row, **{seal.column: _made(table, seal, row) for seal in whole}}


def broken_seals(table: Table, row: Mapping[Any, Any]) -> frozenset[str]:
    """The seals in a row, of those whose columns are all in it, that do not hold."""
    held = dict(zip(row.keys(), row.values(), strict=True))  # SQLAlchemy's rows are slow to ask
    return frozenset(
        seal.column
        for seal in _seals(table)
        if seal.column in held
        and all(map(held.__contains__, seal.covered))
        and not _holds(table, seal, held)
    )


def key_text(key: Sequence[Any]) -> str:
    """The primary key of a row as the text by which `set_aside` knows it."""
    return msgspec.json.encode([str(part) for part in key]).decode()


def _made(table: Table, seal: _Seal, row: Mapping[Any, Any]) -> str:
    """The seal that the columns of `row` ask for. Raises TypeError or ValueError for values that
    cannot be in such columns."""
    values = list(seal.values(row))
    for n in seal.doubles:  # as a database gives it back
        if values[n] is not None:
            values[n] = float(values[n])
    return seal_of(str(table.name), seal.column, values)


def _holds(table: Table, seal: _Seal, row: Mapping[Any, Any]) -> bool:
    try:
        return bool(_made(table, seal, row) == row[seal.column])
    except (TypeError, ValueError):  # text that is no text, a word in a column of numbers
        return False
