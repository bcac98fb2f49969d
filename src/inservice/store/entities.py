"""IAM's entities: records with a name, a path and an id, of an account and of no region.

Names are unique without regard to case, and looked for so; the id is what never changes, so a
record is saved and deleted by it whatever it is called by now. What is deleted takes along what was
set aside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, Index, Table, Text, delete, func, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.hosting.arn import name_key
from inservice.seals import seal_column
from inservice.store.collections.set_aside import forget_set_aside
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.codec import Codec
from inservice.store.kit.prefixes import begins_with
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Account, Inspected, NameText, table
from inservice.store.listing import EntityQuery

EntityId = tuple[str, str]
"""(account, id)."""


class _Entity(Protocol):
    @property
    def account(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def id(self) -> str: ...


E = TypeVar("E", bound=_Entity)
E_co = TypeVar("E_co", bound=_Entity, covariant=True)


class EntitiesReading(Protocol[E_co]):
    """What can be asked of one kind of entity."""

    def named(self, account: str, name: str) -> E_co | None:
        """The one of this name, whatever its case; None if there is none."""
        ...

    def by_id(self, account: str, entity_id: str) -> E_co | None:
        """The one of this id; None if there is none."""
        ...

    def select(self, query: EntityQuery) -> Sequence[E_co]:
        """Those that are asked for, by name. What it costs is what it gives, but for a filter by
        `mentioning`, for which the database reads all."""
        ...

    def every(self) -> Sequence[E_co]:
        """All of every account."""
        ...

    def count(self, account: str) -> int:
        """How many there are."""
        ...

    def ids(self) -> frozenset[str]:
        """Those of every account."""
        ...


class EntitiesWriting(EntitiesReading[E], Protocol[E]):
    """What can be written."""

    def save(self, entity: E) -> None:
        """Keep an entity, in place of the one of that id. Its name must be free or its own."""
        ...

    def delete(self, entity: E) -> None:
        """Forget an entity."""
        ...


def entity_table(name: str, codec: Codec[Any]) -> Table:
    """A table of entities of one kind."""
    return table(
        name,
        Column("account", Account, primary_key=True),
        Column("name_key", NameText, primary_key=True),
        Column("id", NameText, nullable=False),
        Column("path", NameText, nullable=False),
        Column("body", Text, nullable=False),
        seal_column("seal", "id", "path", "body"),
        Index(f"{name}_by_id", "account", "id", unique=True),
        inspected=Inspected(codecs={"body": codec}),
    )


class EntityRows(Generic[E]):
    """`EntitiesReading`, with SQL."""

    table: Table
    codec: Codec[Any]

    def __init__(self, access: Access) -> None:
        self._access = access

    def named(self, account: str, name: str) -> E | None:
        """See `EntitiesReading`."""
        return self._one(account, self.table.c.name_key == name_key(name))

    def by_id(self, account: str, entity_id: str) -> E | None:
        """See `EntitiesReading`."""
        return self._one(account, self.table.c.id == entity_id)

    def select(self, query: EntityQuery) -> Sequence[E]:
        """See `EntitiesReading`."""
        columns = self.table.c
        wanted: list[ColumnElement[bool]] = []
        if query.path_prefix != "/":  # every path begins with that
            wanted += begins_with(columns.path, query.path_prefix)
        if query.after is not None:
            wanted.append(columns.name_key > name_key(query.after))
        if query.mentioning is not None:
            wanted.append(columns.body.contains(query.mentioning, autoescape=True))
        return self._found(query.account, *wanted, limit=query.limit)

    def every(self) -> Sequence[E]:
        """See `EntitiesReading`."""
        return self._found(None)

    def count(self, account: str) -> int:
        """See `EntitiesReading`."""
        every = select(func.count()).where(self.table.c.account == account)
        return int(self._access.sql().execute(every).scalar_one())

    def ids(self) -> frozenset[str]:
        """See `EntitiesReading`."""
        return frozenset(self._access.sql().execute(select(self.table.c.id)).scalars())

    def _one(self, account: str, which: ColumnElement[bool]) -> E | None:
        found = self._found(account, which)
        return found[0] if found else None

    def _found(
        self, account: str | None, *where: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[E]:
        columns = self.table.c
        of_it = [] if account is None else [columns.account == account]
        rows = sealed_rows(
            self._access.sql(),
            self.table,
            ("seal",),
            *of_it,
            *where,
            order_by=(columns.account, columns.name_key),
            limit=limit,
        )
        return [self.codec.decode(row["body"]) for row in rows]


class WritableEntityRows(EntityRows[E]):
    """`EntitiesWriting`, with SQL."""

    topic: Topic[EntityId]

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def save(self, entity: E) -> None:
        """See `EntitiesWriting`."""
        self._remove(entity)
        row = {
            "account": entity.account,
            "name_key": name_key(entity.name),
            "id": entity.id,
            "path": entity.path,
            "body": self.codec.encode(entity),
        }
        self._writing.insert(self.table, [row])

    def delete(self, entity: E) -> None:
        """See `EntitiesWriting`."""
        self._remove(entity)
        key = entity.account, name_key(entity.name)
        forget_set_aside(self._writing, self.table, key)

    def _remove(self, entity: E) -> None:
        columns = self.table.c
        is_it = columns.account == entity.account, columns.id == entity.id
        self._writing.sql().execute(delete(self.table).where(*is_it))
        self._writing.changed(self.topic, (entity.account, entity.id))
