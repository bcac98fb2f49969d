"""The questions of `store.client_logs`, answered with SQL over one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, or_, select
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import sealed
from inservice.store import tables
from inservice.store.client_logs import (
    BatchPlace,
    Dashboard,
    GroupKey,
    LogGroupRecord,
    LogStreamRecord,
    StreamKey,
)
from inservice.store.records import Codec
from inservice.store.sealed_rows import sealed_rows

_GROUPS = Codec(LogGroupRecord)
_STREAMS = Codec(LogStreamRecord)


class ClientLogRows:
    """Reads over one connection, in whatever transaction it is in."""

    def __init__(self, sql: Callable[[], Connection]) -> None:
        self._sql = sql

    def group(self, key: GroupKey) -> LogGroupRecord | None:
        body = self._body(tables.log_groups, _is(tables.log_groups, key, "name"))
        return None if body is None else _GROUPS.decode(body)

    def groups(self, account: str, region: str) -> Sequence[LogGroupRecord]:
        table = tables.log_groups
        owned = table.c.account == account, table.c.region == region
        rows = sealed_rows(self._sql(), table, ("seal",), *owned, order_by=(table.c.name,))
        return [_GROUPS.decode(row["body"]) for row in rows]

    def stream(self, key: StreamKey) -> LogStreamRecord | None:
        body = self._body(tables.log_streams, _is(tables.log_streams, key, "group_name", "name"))
        return None if body is None else _STREAMS.decode(body)

    def streams(self, key: GroupKey) -> Sequence[LogStreamRecord]:
        table = tables.log_streams
        of_it = _is(table, key, "group_name")
        rows = sealed_rows(self._sql(), table, ("seal",), *of_it, order_by=(table.c.name,))
        return [_STREAMS.decode(row["body"]) for row in rows]

    def batches(
        self, key: StreamKey, start_ms: int, end_ms: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[BatchPlace]:
        table = tables.log_batches
        first_ms, number = after
        rows = sealed_rows(
            self._sql(),
            table,
            ("place_seal",),
            *_is(table, key, "group_name", "stream_name"),
            table.c.first_at < end_ms,
            table.c.last_at >= start_ms,
            or_(
                table.c.first_at > first_ms,
                (table.c.first_at == first_ms) & (table.c.number > number),
            ),
            order_by=(table.c.first_at, table.c.number),
            limit=limit,
        )
        return [BatchPlace(row["number"], row["first_at"], row["last_at"]) for row in rows]

    def batch(self, key: StreamKey, number: int) -> bytes:
        table = tables.log_batches
        is_it = *_is(table, key, "group_name", "stream_name"), table.c.number == number
        found = sealed_rows(self._sql(), table, ("body_seal",), *is_it)
        return bytes(found[0]["body"]) if found else b""

    def dashboards(self, account: str, partition: str) -> Sequence[Dashboard]:
        table = tables.dashboards
        owned = table.c.account == account, table.c.partition == partition
        rows = sealed_rows(self._sql(), table, ("seal",), *owned, order_by=(table.c.name,))
        return [Dashboard(row["name"], row["modified_at"], row["body"]) for row in rows]

    def dashboard(self, account: str, partition: str, name: str) -> Dashboard | None:
        is_it = _is_dashboard(account, partition, name)
        found = sealed_rows(self._sql(), tables.dashboards, ("seal",), *is_it)
        if not found:
            return None
        return Dashboard(found[0]["name"], found[0]["modified_at"], found[0]["body"])

    def _body(self, table: Table, where: Sequence[ColumnElement[bool]]) -> str | None:
        found = sealed_rows(self._sql(), table, ("seal",), *where)
        return str(found[0]["body"]) if found else None


class WritableClientLogRows(ClientLogRows):
    """Reads and writes over the writer's connection, inside its transaction."""

    def save_group(self, key: GroupKey, record: LogGroupRecord) -> None:
        table = tables.log_groups
        self._sql().execute(delete(table).where(*_is(table, key, "name")))
        identity = {"account": key.account, "region": key.region, "name": key.name}
        row = {**identity, "body": _GROUPS.encode(record)}
        self._sql().execute(insert(table), [sealed(table, row)])

    def save_stream(self, key: StreamKey, record: LogStreamRecord) -> None:
        table = tables.log_streams
        self._sql().execute(delete(table).where(*_is(table, key, "group_name", "name")))
        row = {
            "account": key.account,
            "region": key.region,
            "group_name": key.group,
            "name": key.name,
            "body": _STREAMS.encode(record),
        }
        self._sql().execute(insert(table), [sealed(table, row)])

    def add_batch(self, key: StreamKey, first_ms: int, last_ms: int, body: bytes) -> None:
        table = tables.log_batches
        last = self._sql().execute(
            select(func.coalesce(func.max(table.c.number), 0)).where(
                *_is(table, key, "group_name", "stream_name")
            )
        )
        row: dict[str, Any] = {
            "account": key.account,
            "region": key.region,
            "group_name": key.group,
            "stream_name": key.name,
            "number": last.scalar_one() + 1,
            "first_at": first_ms,
            "last_at": last_ms,
            "body": body,
        }
        self._sql().execute(insert(table), [sealed(table, row)])

    def forget_group(self, key: GroupKey) -> None:
        for table, name in (
            (tables.log_batches, "group_name"),
            (tables.log_streams, "group_name"),
            (tables.log_groups, "name"),
        ):
            self._sql().execute(delete(table).where(*_is(table, key, name)))

    def forget_stream(self, key: StreamKey) -> None:
        for table, name in ((tables.log_batches, "stream_name"), (tables.log_streams, "name")):
            self._sql().execute(delete(table).where(*_is(table, key, "group_name", name)))

    def expire(self, now_ms: int) -> None:
        columns = tables.log_groups.c
        table = tables.log_batches
        groups = select(columns.account, columns.region, columns.name, columns.body)
        for account, region, name, body in self._sql().execute(groups).all():
            floor_ms = _GROUPS.decode(body).floor_ms(now_ms)
            if floor_ms:
                key = GroupKey(account, region, name)
                self._sql().execute(
                    delete(table).where(*_is(table, key, "group_name"), table.c.last_at < floor_ms)
                )

    def save_dashboard(self, account: str, partition: str, dashboard: Dashboard) -> None:
        self.delete_dashboard(account, partition, dashboard.name)
        row = {
            "account": account,
            "partition": partition,
            "name": dashboard.name,
            "modified_at": dashboard.modified_at,
            "body": dashboard.body,
        }
        self._sql().execute(insert(tables.dashboards), [sealed(tables.dashboards, row)])

    def delete_dashboard(self, account: str, partition: str, name: str) -> None:
        where = _is_dashboard(account, partition, name)
        self._sql().execute(delete(tables.dashboards).where(*where))


def _is(table: Table, key: GroupKey | StreamKey, *names: str) -> list[ColumnElement[bool]]:
    """The rows of a key, whose parts after account and region are in the columns `names`."""
    columns = ("account", "region", *names)
    return [table.c[column] == part for column, part in zip(columns, key, strict=True)]


def _is_dashboard(account: str, partition: str, name: str) -> list[ColumnElement[bool]]:
    columns = tables.dashboards.c
    return [
        columns.account == account,
        columns.partition == partition,
        columns.name == name,
    ]
