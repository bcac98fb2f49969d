"""Dashboards: CloudWatch's, documents that are kept as they were put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Column, Double, Text, delete
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import NameText, owner_key, table

DASHBOARDS: Topic[tuple[str, str, str]] = Topic("dashboards")
"""Named by (account, partition, name)."""

dashboards = table(
    "dashboards",
    *owner_key("partition"),  # they are the same in all regions of one
    Column("name", NameText, primary_key=True),
    Column("modified_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    seal_column("seal", "modified_at", "body"),
)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: a document that is kept."""

    name: str
    modified_at: float  # epoch seconds
    body: str


class DashboardsReading(Protocol):
    """What can be asked."""

    def all(self, account: str, partition: str) -> Sequence[Dashboard]:
        """Every dashboard, by name."""
        ...

    def find(self, account: str, partition: str, name: str) -> Dashboard | None:
        """One dashboard; None if there is none."""
        ...


class DashboardsWriting(DashboardsReading, Protocol):
    """What can be written."""

    def save(self, account: str, partition: str, dashboard: Dashboard) -> None:
        """Keep a dashboard, in place of any of that name."""
        ...

    def delete(self, account: str, partition: str, name: str) -> None:
        """Forget a dashboard; nothing happens if there is none."""
        ...


class DashboardRows:
    """`DashboardsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def all(self, account: str, partition: str) -> Sequence[Dashboard]:
        """See `DashboardsReading`."""
        return self._found(*_owned(account, partition))

    def find(self, account: str, partition: str, name: str) -> Dashboard | None:
        """See `DashboardsReading`."""
        found = self._found(*_owned(account, partition), dashboards.c.name == name)
        return found[0] if found else None

    def _found(self, *where: ColumnElement[bool]) -> Sequence[Dashboard]:
        sql, by_name = self._access.sql(), (dashboards.c.name,)
        rows = sealed_rows(sql, dashboards, ("seal",), *where, order_by=by_name)
        return [Dashboard(row["name"], row["modified_at"], row["body"]) for row in rows]


class WritableDashboardRows(DashboardRows):
    """`DashboardsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def save(self, account: str, partition: str, dashboard: Dashboard) -> None:
        """See `DashboardsWriting`."""
        self.delete(account, partition, dashboard.name)
        row = {
            "account": account,
            "partition": partition,
            "name": dashboard.name,
            "modified_at": dashboard.modified_at,
            "body": dashboard.body,
        }
        self._writing.insert(dashboards, [row])

    def delete(self, account: str, partition: str, name: str) -> None:
        """See `DashboardsWriting`."""
        is_it = *_owned(account, partition), dashboards.c.name == name
        self._writing.sql().execute(delete(dashboards).where(*is_it))
        self._writing.changed(DASHBOARDS, (account, partition, name))


def _owned(account: str, partition: str) -> tuple[ColumnElement[bool], ...]:
    return dashboards.c.account == account, dashboards.c.partition == partition
