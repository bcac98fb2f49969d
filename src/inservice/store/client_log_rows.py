"""The questions of `store.client_logs`, answered with SQL over one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, or_, select
from sqlalchemy.sql.elements import ColumnElement

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
        columns = tables.log_groups.c
        rows = self._sql().execute(
            select(columns.body)
            .where(columns.account == account, columns.region == region)
            .order_by(columns.name)
        )
        return [_GROUPS.decode(body) for (body,) in rows]

    def stream(self, key: StreamKey) -> LogStreamRecord | None:
        body = self._body(tables.log_streams, _is(tables.log_streams, key, "group_name", "name"))
        return None if body is None else _STREAMS.decode(body)

    def streams(self, key: GroupKey) -> Sequence[LogStreamRecord]:
        table = tables.log_streams
        rows = self._sql().execute(
            select(table.c.body).where(*_is(table, key, "group_name")).order_by(table.c.name)
        )
        return [_STREAMS.decode(body) for (body,) in rows]

    def batches(
        self, key: StreamKey, start_ms: int, end_ms: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[BatchPlace]:
        table = tables.log_batches
        first_ms, number = after
        rows = self._sql().execute(
            select(table.c.number, table.c.first_at, table.c.last_at)
            .where(
                *_is(table, key, "group_name", "stream_name"),
                table.c.first_at < end_ms,
                table.c.last_at >= start_ms,
                or_(
                    table.c.first_at > first_ms,
                    (table.c.first_at == first_ms) & (table.c.number > number),
                ),
            )
            .order_by(table.c.first_at, table.c.number)
            .limit(limit)
        )
        return [BatchPlace(*row) for row in rows]

    def batch(self, key: StreamKey, number: int) -> bytes:
        table = tables.log_batches
        body: bytes | None = (
            self._sql()
            .execute(
                select(table.c.body).where(
                    *_is(table, key, "group_name", "stream_name"), table.c.number == number
                )
            )
            .scalar()
        )
        return body or b""

    def dashboards(self, account: str, partition: str) -> Sequence[Dashboard]:
        table = tables.dashboards
        rows = self._sql().execute(
            select(table.c.name, table.c.modified_at, table.c.body)
            .where(table.c.account == account, table.c.partition == partition)
            .order_by(table.c.name)
        )
        return [Dashboard(*row) for row in rows]

    def dashboard(self, account: str, partition: str, name: str) -> Dashboard | None:
        table = tables.dashboards
        row = (
            self._sql()
            .execute(
                select(table.c.name, table.c.modified_at, table.c.body).where(
                    *_is_dashboard(account, partition, name)
                )
            )
            .one_or_none()
        )
        return None if row is None else Dashboard(*row)

    def _body(self, table: Table, where: Sequence[ColumnElement[bool]]) -> str | None:
        body: str | None = self._sql().execute(select(table.c.body).where(*where)).scalar()
        return body


class WritableClientLogRows(ClientLogRows):
    """Reads and writes over the writer's connection, inside its transaction."""

    def save_group(self, key: GroupKey, record: LogGroupRecord) -> None:
        table = tables.log_groups
        self._sql().execute(delete(table).where(*_is(table, key, "name")))
        identity = {"account": key.account, "region": key.region, "name": key.name}
        self._sql().execute(insert(table), [{**identity, "body": _GROUPS.encode(record)}])

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
        self._sql().execute(insert(table), [row])

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
        self._sql().execute(insert(table), [row])

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
        self._sql().execute(insert(tables.dashboards), [row])

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
