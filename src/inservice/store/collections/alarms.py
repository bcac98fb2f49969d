"""Alarms: CloudWatch's, by name, each a document that the core reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from sqlalchemy import Column, RowMapping, Text, delete, func, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.cache import RecordKey
from inservice.store.kit.prefixes import begins_with
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import NameText, owner_key, table

AlarmName = tuple[str, str, str]
"""(account, region, exact name)."""

ALARMS: Topic[AlarmName] = Topic("alarms")

alarms = table(
    "alarms",
    *owner_key(),
    Column("name", NameText, primary_key=True),  # CloudWatch tells names apart by case
    Column("state", NameText, nullable=False),  # StateValue
    Column("body", Text, nullable=False),
    seal_column("seal", "state", "body"),
)


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Alarms of one account in a region, by name. None: no such filter."""

    account: str
    region: str
    limit: int | None = None
    names: tuple[str, ...] | None = None
    prefix: str = ""
    after: str | None = None  # the last name of the page before
    state: str | None = None  # StateValue
    mentioning: str | None = None
    """A member or a text that the document has, as JSON: `"AlarmRule"`. Whoever asks looks again:
    it may stand for something else."""


class AlarmsReading(Protocol):
    """What can be asked."""

    def find(self, account: str, region: str, name: str) -> Mapping[str, Any] | None:
        """The document of one alarm, not to be changed; None if there is none."""
        ...

    def select(self, query: AlarmQuery) -> Mapping[str, Mapping[str, Any]]:
        """The documents of alarms, by name, sorted. What it costs is what it gives, but for a
        filter by `mentioning`, for which the database reads all."""
        ...

    def states(self, account: str, region: str, names: Sequence[str]) -> Mapping[str, str]:
        """StateValue by name of those of `names` that exist."""
        ...

    def owners(self) -> Sequence[tuple[str, str]]:
        """Every (account, region) that has alarms."""
        ...

    def count(self, account: str, region: str) -> int:
        """How many alarms there are."""
        ...


class AlarmsWriting(AlarmsReading, Protocol):
    """What can be written."""

    def save(
        self, account: str, region: str, name: str, *, state: str, document: Mapping[str, Any]
    ) -> None:
        """Keep an alarm, in place of any of that name."""
        ...

    def delete(self, account: str, region: str, name: str) -> None:
        """Forget an alarm; nothing happens if there is none."""
        ...


class AlarmRows:
    """`AlarmsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def find(self, account: str, region: str, name: str) -> Mapping[str, Any] | None:
        """See `AlarmsReading`."""

        def ask() -> Mapping[str, Any] | None:
            found = self._sealed(*_owned(account, region), alarms.c.name == name)
            return msgspec.json.decode(found[0]["body"]) if found else None

        return self._access.recall(_record_key(account, region, name), ask)

    def select(self, query: AlarmQuery) -> Mapping[str, Mapping[str, Any]]:
        """See `AlarmsReading`."""
        columns = alarms.c
        wanted = [*_owned(query.account, query.region)]
        if query.names is not None:
            wanted.append(columns.name.in_(query.names))
        wanted += begins_with(columns.name, query.prefix)
        if query.after is not None:
            wanted.append(columns.name > query.after)
        if query.state is not None:
            wanted.append(columns.state == query.state)
        if query.mentioning is not None:
            wanted.append(columns.body.contains(query.mentioning, autoescape=True))
        rows = self._sealed(*wanted, limit=query.limit)
        return {row["name"]: msgspec.json.decode(row["body"]) for row in rows}

    def states(self, account: str, region: str, names: Sequence[str]) -> Mapping[str, str]:
        """See `AlarmsReading`."""
        rows = self._sealed(*_owned(account, region), alarms.c.name.in_(names))
        return {row["name"]: row["state"] for row in rows}

    def owners(self) -> Sequence[tuple[str, str]]:
        """See `AlarmsReading`."""
        columns = alarms.c
        rows = self._access.sql().execute(select(columns.account, columns.region).distinct())
        return [(account, region) for account, region in rows]

    def count(self, account: str, region: str) -> int:
        """See `AlarmsReading`."""
        every = select(func.count()).select_from(alarms).where(*_owned(account, region))
        return int(self._access.sql().execute(every).scalar_one())

    def _sealed(
        self, *where: ColumnElement[bool], limit: int | None = None
    ) -> Sequence[RowMapping]:
        by_name = (alarms.c.name,)
        sql = self._access.sql()
        return sealed_rows(sql, alarms, ("seal",), *where, order_by=by_name, limit=limit)


class WritableAlarmRows(AlarmRows):
    """`AlarmsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def save(
        self, account: str, region: str, name: str, *, state: str, document: Mapping[str, Any]
    ) -> None:
        """See `AlarmsWriting`."""
        self.delete(account, region, name)
        key = {"account": account, "region": region, "name": name}
        body = msgspec.json.encode(document).decode()
        self._writing.insert(alarms, [{**key, "state": state, "body": body}])

    def delete(self, account: str, region: str, name: str) -> None:
        """See `AlarmsWriting`."""
        is_it = *_owned(account, region), alarms.c.name == name
        self._writing.sql().execute(delete(alarms).where(*is_it))
        self._writing.forget(_record_key(account, region, name))
        self._writing.changed(ALARMS, (account, region, name))


def _record_key(account: str, region: str, name: str) -> RecordKey:
    return alarms.name, account, region, name


def _owned(account: str, region: str) -> tuple[ColumnElement[bool], ...]:
    return alarms.c.account == account, alarms.c.region == region
