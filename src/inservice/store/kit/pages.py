"""One page of a list: filters, sorting, and where the next page begins.

A page begins after the last line of the page before (a position, not an offset), so what is created
or deleted between two pages neither repeats nor hides a line.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, and_, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import broken_seals, seals_of
from inservice.store.errors import RecordDamaged
from inservice.store.listing import ListQuery, Page, SortKey, Summary

_SORTED_BY = {
    SortKey.NAME: "name_key",
    SortKey.CREATION_TIME: "created_at",
    SortKey.STATUS: "status",
}


def page_of(connection: Connection, table: Table, query: ListQuery) -> Page:
    """The lines of `table` that `query` asks for."""
    columns = table.c
    sorted_by = columns[_SORTED_BY[query.sort_by]]
    order = [c.desc() if query.descending else c.asc() for c in (sorted_by, columns.name_key)]
    summary = [c for c in columns if c.name in Summary.__dataclass_fields__]
    rows = connection.execute(
        select(*(columns[each] for each in seals_of(table)["line_seal"]), columns.line_seal)
        .where(*_filters(table, query), *_beyond(table, sorted_by, query))
        .order_by(*order)
        .limit(query.limit + 1)  # one more line than asked for tells whether there is a next page
    ).all()
    shown = rows[: query.limit]
    for row in shown:
        if broken_seals(table, row._mapping):
            raise RecordDamaged(table.name, (row.account, row.region, row.name_key))
    last = (getattr(shown[-1], sorted_by.name), shown[-1].name_key) if shown else None
    end = last if len(rows) > query.limit else None
    names = [c.name for c in summary]
    return Page(
        lines=tuple(Summary(**{name: getattr(row, name) for name in names}) for row in shown),
        end=end,
    )


def _filters(table: Table, query: ListQuery) -> list[ColumnElement[bool]]:
    columns = table.c
    filters = [columns.account == query.account, columns.region == query.region]
    if query.name_contains is not None:
        # LIKE would disregard case on SQLite and regard it on PostgreSQL; replace() regards it on
        # both, and knows no wildcards.
        filters.append(func.replace(columns.name, query.name_contains, "") != columns.name)
    if query.created_before is not None:
        filters.append(columns.created_at < query.created_before)
    if query.created_after is not None:
        filters.append(columns.created_at >= query.created_after)
    if query.modified_before is not None:
        filters.append(columns.modified_at < query.modified_before)
    if query.modified_after is not None:
        filters.append(columns.modified_at >= query.modified_after)
    if query.status is not None:
        filters.append(columns.status == query.status)
    return filters


def _beyond(
    table: Table, sorted_by: ColumnElement[Any], query: ListQuery
) -> list[ColumnElement[bool]]:
    """What comes after the end of the page before."""
    if query.after is None:
        return []
    value, key = query.after
    if query.descending:
        return [or_(sorted_by < value, and_(sorted_by == value, table.c.name_key < key))]
    return [or_(sorted_by > value, and_(sorted_by == value, table.c.name_key > key))]
