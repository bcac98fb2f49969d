"""What could not be read when the store was opened, and is kept apart as it was found.

`inspection` puts it there; whoever looks at a server is told of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from sqlalchemy import Column, Double, Table, Text, delete

from inservice.seals import key_text, seal_column
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Inspected, NameText, table

set_aside = table(
    "set_aside",
    Column("table", NameText, primary_key=True),
    Column("key", NameText, primary_key=True),  # the primary key of the row, as JSON
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("row", Text, nullable=False),  # as it was found, as JSON
    seal_column("seal", "why", "at", "row"),
    inspected=Inspected(skipped=True),
)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that could not be read, and is kept apart as it was."""

    table: str
    name: str  # of the record, for people
    why: str
    at: float  # epoch seconds


class SetAsideReading(Protocol):
    """What can be asked."""

    def all(self) -> Sequence[SetAside]:
        """What could not be read, the oldest first."""
        ...


class SetAsideRows:
    """`SetAsideReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self) -> Sequence[SetAside]:
        """See `SetAsideReading`."""
        rows = sealed_rows(self._access.sql(), set_aside, ("seal",), order_by=(set_aside.c.at,))
        return [
            SetAside(row["table"], "/".join(msgspec.json.decode(row["key"])), row["why"], row["at"])
            for row in rows
        ]


def forget_set_aside(access: WritableAccess, of: Table, key: Sequence[str]) -> None:
    """What was set aside of a record goes with it."""
    columns = set_aside.c
    is_it = columns.table == of.name, columns.key == key_text(key)
    access.sql().execute(delete(set_aside).where(*is_it))
