"""Seals are on disk: every version makes the same of the same row."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Double, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql.elements import quoted_name

from inservice.seals import broken_seals, seal_column, sealed, seals_of


def things() -> Table:
    return Table(
        "things",
        MetaData(),
        Column("region", Text, primary_key=True),
        Column("number", BigInteger, primary_key=True),
        Column("at", Double),
        Column("body", LargeBinary),
        Column("note", Text),
        seal_column("line_seal", "at", "note"),
        seal_column("body_seal", "body", key=False),
    )


ROW: dict[str, Any] = {
    "region": "eü",
    "number": 7,
    "at": 3,
    "body": b"\x00\xff",
    "note": None,
}
SEALS = {"line_seal": "34eabebbe50a2e04", "body_seal": "92a123dc5af4876c"}
"""As the first version with seals has made them."""


@pytest.mark.parametrize(
    "as_given",
    [
        {},
        {"at": 3.0},  # as SQLite gives back what was written as an integer
        {"region": quoted_name("eü", True)},
        {"body": memoryview(b"\x00\xff")},  # as psycopg gives it back
    ],
)
def test_a_row_has_the_seals_that_it_always_had(as_given: dict[str, Any]) -> None:
    row = {**ROW, **as_given}
    whole = sealed(things(), row)
    assert {name: whole[name] for name in SEALS} == SEALS
    assert broken_seals(things(), whole) == frozenset()


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"at": 4}, {"line_seal"}),
        ({"at": "soon"}, {"line_seal"}),
        ({"note": ""}, {"line_seal"}),
        ({"number": 8}, {"line_seal"}),
        ({"body": b"\x00\xfe"}, {"body_seal"}),
        ({"body": {"no", "bytes"}}, {"body_seal"}),
        ({"note": "\udcff", "body": None}, {"line_seal", "body_seal"}),
    ],
)
def test_what_is_not_as_written_breaks_the_seals_over_it(
    changed: dict[str, Any], broken: set[str]
) -> None:
    assert broken_seals(things(), {**sealed(things(), ROW), **changed}) == broken


def test_a_part_of_a_row_is_held_against_the_seals_that_it_has() -> None:
    whole = sealed(things(), ROW)
    assert broken_seals(things(), {"body": b"other", "body_seal": whole["body_seal"]})
    assert not broken_seals(things(), {"body": b"other", "line_seal": whole["line_seal"]})


def test_what_no_seal_would_cover_is_not_written() -> None:
    table = things()
    key = {"region": "eü", "number": 7}
    assert sealed(table, {**key, "body": b""}).keys() == {*key, "body", "body_seal"}
    with pytest.raises(AssertionError, match=r"\['note'\] would not be sealed"):
        sealed(table, {**key, "note": "alone"})
    assert seals_of(table)["line_seal"] == ("region", "number", "at", "note")
