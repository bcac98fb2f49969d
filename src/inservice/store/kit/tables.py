"""What the tables of all collections have in common, in SQLAlchemy Core, for SQLite and PostgreSQL.

Columns are what a query filters, sorts or guards by; everything else of a record is in `body`, the
JSON of its dataclass. A name is kept as it was given and, as `name_key`, in the form that is
unique. A migration under `drivers/migrations/` makes the tables; a test compares the two. Every
column is covered by a seal, which is checked when it is read (see `seals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Double, Index, MetaData, String, Table, Text

from inservice.hosting.arn import ResourceKind
from inservice.seals import seal_column
from inservice.store.kit.codec import Codec

metadata = MetaData()

# SQLite compares text by its bytes; PostgreSQL is told to, else a page of names would depend on the
# locale that the database was made with.
NameText = Text().with_variant(Text(collation="C"), "postgresql")
Account = String(12)


@dataclass(frozen=True, slots=True)
class Inspected:
    """How the rows of a table are looked at when the store is opened (see `inspection`)."""

    codecs: Mapping[str, Codec[Any]] = field(default_factory=dict)
    """Columns that hold records, and what must be able to decode them."""
    stays: ResourceKind | None = None
    """A row that cannot be read stays, to be listed and deleted, as a resource of this kind."""
    later: frozenset[str] = frozenset()
    """Columns that are checked when they are read: there may be gigabytes."""
    skipped: bool = False
    """The whole table is seen to elsewhere."""


def table(name: str, *columns: Any, inspected: Inspected = Inspected()) -> Table:
    """A table of the store."""
    return Table(name, metadata, *columns, info={"inspected": inspected})


def inspected(of: Table) -> Inspected:
    """What `table` was told."""
    found: Inspected = of.info["inspected"]
    return found


def owner_key(place: str = "region") -> tuple[Column[str], Column[str]]:
    """(account, region): the beginning of almost every primary key."""
    return Column("account", Account, primary_key=True), Column(place, NameText, primary_key=True)


def named_key() -> tuple[Column[str], ...]:
    """(account, region, name_key), the primary key of whatever has a name."""
    return (*owner_key(), Column("name_key", NameText, primary_key=True))


def definition_table(name: str, codec: Codec[Any], kind: ResourceKind) -> Table:
    """A table of definitions: records that are made, listed, read and deleted, never changed."""
    return table(
        name,
        *named_key(),
        Column("name", NameText, nullable=False),
        Column("arn", NameText, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("body", Text, nullable=False),
        seal_column("line_seal", "name", "arn", "created_at"),
        seal_column("body_seal", "body"),
        Index(f"{name}_by_age", "account", "region", "created_at", "name_key"),
        inspected=Inspected(codecs={"body": codec}, stays=kind),
    )
