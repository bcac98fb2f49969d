"""Reading rows with their seals checked: nothing is answered from a row that is not as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import broken_seals, seals_of
from inservice.store.errors import RecordDamaged


def sealed_rows(
    connection: Connection,
    table: Table,
    seals: tuple[str, ...],
    *where: ColumnElement[bool],
    order_by: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
) -> Sequence[RowMapping]:
    """The columns under these seals, of the rows that there are. Raises RecordDamaged for a row
    that a seal does not hold of."""
    covered = {column for name in seals for column in seals_of(table)[name]}
    columns = [c for c in table.columns if c.name in covered or c.name in seals]
    wanted = select(*columns).where(*where).order_by(*order_by).limit(limit)
    try:
        found = connection.execute(wanted).mappings().all()
    except OperationalError as error:
        if "Could not decode" in str(error):  # a changed bit made text that is no UTF-8
            raise RecordDamaged(table.name, ["?"]) from error
        raise
    for row in found:
        if broken_seals(table, row):
            raise RecordDamaged(table.name, [row[key.name] for key in table.primary_key])
    return found
