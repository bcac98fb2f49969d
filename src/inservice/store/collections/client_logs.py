"""The logs that clients write: groups, streams and batches of events.

Events are kept as they came, a batch for each PutLogEvents: one row is one write however many
events it has. A group or a stream that was deleted leaves a record behind where its instances go on
writing files under the same name: what is older than `since_ms` is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.codec import Codec
from inservice.store.kit.room import bytes_held
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import Inspected, NameText, owner_key, table


class GroupKey(NamedTuple):
    """Which log group."""

    account: str
    region: str
    name: str


class StreamKey(NamedTuple):
    """Which log stream."""

    account: str
    region: str
    group: str
    name: str

    @property
    def of_group(self) -> GroupKey:
        """The group that it is in."""
        return GroupKey(self.account, self.region, self.group)


@dataclass(frozen=True, slots=True)
class LogGroupRecord:
    """A log group that somebody made, changed or deleted."""

    name: str
    created_ms: int
    gone: bool = False  # deleted; there is one again as soon as an instance writes
    since_ms: int = 0  # nothing older is there any more
    retention_days: int | None = None  # None: for ever
    tags: Mapping[str, str] | None = None

    def floor_ms(self, now_ms: int) -> int:
        """Time of the oldest event that may be there."""
        kept_ms = (self.retention_days or 0) * 86_400_000
        return max(self.since_ms, now_ms - kept_ms if kept_ms else 0)


@dataclass(frozen=True, slots=True)
class LogStreamRecord:
    """A log stream that somebody made or deleted."""

    name: str
    created_ms: int
    gone: bool = False
    since_ms: int = 0
    first_ms: int | None = None  # of the events that clients wrote; None before the first
    last_ms: int | None = None
    ingested_ms: int | None = None  # when the last batch came
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """Where a batch stands: its number in the stream, and the times of its outermost events."""

    number: int
    first_ms: int
    last_ms: int


LOG_GROUPS: Topic[GroupKey] = Topic("log_groups")
"""Of a group, or of anything in it."""

_GROUPS = Codec(LogGroupRecord)
_STREAMS = Codec(LogStreamRecord)

log_groups = table(
    "log_groups",
    *owner_key(),
    Column("name", NameText, primary_key=True),
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
)

log_streams = table(
    "log_streams",
    *owner_key(),
    Column("group_name", NameText, primary_key=True),
    Column("name", NameText, primary_key=True),
    Column("body", Text, nullable=False),
    seal_column("seal", "body"),
)

log_batches = table(
    "log_batches",
    *owner_key(),
    Column("group_name", NameText, primary_key=True),
    Column("stream_name", NameText, primary_key=True),
    Column(
        "number", BigInteger, primary_key=True, autoincrement=False
    ),  # 1, 2, 3 … within the stream
    Column("first_at", BigInteger, nullable=False),  # epoch milliseconds
    Column("last_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    seal_column("place_seal", "first_at", "last_at"),
    seal_column("body_seal", "body"),
    Index(
        "log_batches_by_time",
        "account",
        "region",
        "group_name",
        "stream_name",
        "first_at",
        "number",
    ),
    inspected=Inspected(later=frozenset({"body", "body_seal"})),  # there may be gigabytes
)


class ClientLogsReading(Protocol):
    """What can be asked."""

    def group(self, key: GroupKey) -> LogGroupRecord | None:
        """The record of a group; None if nobody made one."""
        ...

    def groups(self, account: str, region: str) -> Sequence[LogGroupRecord]:
        """Every record of an account in a region, by name."""
        ...

    def stream(self, key: StreamKey) -> LogStreamRecord | None:
        """The record of a stream; None if nobody made one."""
        ...

    def streams(self, key: GroupKey) -> Sequence[LogStreamRecord]:
        """The records of a group's streams, by name."""
        ...

    def batches(
        self, key: StreamKey, start_ms: int, end_ms: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[BatchPlace]:
        """Batches with events from `start_ms` on and before `end_ms`, in the order of (first_ms,
        number), those after `after` in it."""
        ...

    def batch(self, key: StreamKey, number: int) -> bytes:
        """The events of a batch, as they were given; empty if it is gone by now."""
        ...

    def bytes_held(self) -> int:
        """What all batches take, and on SQLite whatever else is in the database."""
        ...


class ClientLogsWriting(ClientLogsReading, Protocol):
    """What can be written, in the transaction that it is had from."""

    def save_group(self, key: GroupKey, record: LogGroupRecord) -> None:
        """Keep a record, in place of any of that name."""
        ...

    def save_stream(self, key: StreamKey, record: LogStreamRecord) -> None:
        """Keep a record, in place of any of that name."""
        ...

    def add_batch(self, key: StreamKey, first_ms: int, last_ms: int, body: bytes) -> None:
        """Keep the events of a PutLogEvents, after all that came before."""
        ...

    def forget_group(self, key: GroupKey) -> None:
        """Remove a group's record, its streams' and all their events."""
        ...

    def forget_stream(self, key: StreamKey) -> None:
        """Remove a stream's record and all its events."""
        ...

    def expire(self, now_ms: int) -> None:
        """Remove the batches of which every event is past its group's retention."""
        ...


class ClientLogRows:
    """`ClientLogsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def group(self, key: GroupKey) -> LogGroupRecord | None:
        """See `ClientLogsReading`."""
        body = self._body(log_groups, _is(log_groups, key, "name"))
        return None if body is None else _GROUPS.decode(body)

    def groups(self, account: str, region: str) -> Sequence[LogGroupRecord]:
        """See `ClientLogsReading`."""
        of = log_groups
        owned = of.c.account == account, of.c.region == region
        rows = sealed_rows(self._access.sql(), of, ("seal",), *owned, order_by=(of.c.name,))
        return [_GROUPS.decode(row["body"]) for row in rows]

    def stream(self, key: StreamKey) -> LogStreamRecord | None:
        """See `ClientLogsReading`."""
        body = self._body(log_streams, _is(log_streams, key, "group_name", "name"))
        return None if body is None else _STREAMS.decode(body)

    def streams(self, key: GroupKey) -> Sequence[LogStreamRecord]:
        """See `ClientLogsReading`."""
        of = log_streams
        of_it = _is(of, key, "group_name")
        rows = sealed_rows(self._access.sql(), of, ("seal",), *of_it, order_by=(of.c.name,))
        return [_STREAMS.decode(row["body"]) for row in rows]

    def batches(
        self, key: StreamKey, start_ms: int, end_ms: int, *, after: tuple[int, int], limit: int
    ) -> Sequence[BatchPlace]:
        """See `ClientLogsReading`."""
        of = log_batches
        first_ms, number = after
        rows = sealed_rows(
            self._access.sql(),
            of,
            ("place_seal",),
            *_is(of, key, "group_name", "stream_name"),
            of.c.first_at < end_ms,
            of.c.last_at >= start_ms,
            or_(
                of.c.first_at > first_ms,
                (of.c.first_at == first_ms) & (of.c.number > number),
            ),
            order_by=(of.c.first_at, of.c.number),
            limit=limit,
        )
        return [BatchPlace(row["number"], row["first_at"], row["last_at"]) for row in rows]

    def batch(self, key: StreamKey, number: int) -> bytes:
        """See `ClientLogsReading`."""
        of = log_batches
        is_it = *_is(of, key, "group_name", "stream_name"), of.c.number == number
        found = sealed_rows(self._access.sql(), of, ("body_seal",), *is_it)
        return bytes(found[0]["body"]) if found else b""

    def bytes_held(self) -> int:
        """See `ClientLogsReading`."""
        return bytes_held(self._access.sql(), log_batches)

    def _body(self, of: Table, where: Sequence[ColumnElement[bool]]) -> str | None:
        found = sealed_rows(self._access.sql(), of, ("seal",), *where)
        return str(found[0]["body"]) if found else None


class WritableClientLogRows(ClientLogRows):
    """`ClientLogsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def save_group(self, key: GroupKey, record: LogGroupRecord) -> None:
        """See `ClientLogsWriting`."""
        self._writing.changed(LOG_GROUPS, key)
        of = log_groups
        self._access.sql().execute(delete(of).where(*_is(of, key, "name")))
        identity = {"account": key.account, "region": key.region, "name": key.name}
        row = {**identity, "body": _GROUPS.encode(record)}
        self._writing.insert(of, [row])

    def save_stream(self, key: StreamKey, record: LogStreamRecord) -> None:
        """See `ClientLogsWriting`."""
        self._writing.changed(LOG_GROUPS, key.of_group)
        of = log_streams
        self._access.sql().execute(delete(of).where(*_is(of, key, "group_name", "name")))
        row = {
            "account": key.account,
            "region": key.region,
            "group_name": key.group,
            "name": key.name,
            "body": _STREAMS.encode(record),
        }
        self._writing.insert(of, [row])

    def add_batch(self, key: StreamKey, first_ms: int, last_ms: int, body: bytes) -> None:
        """See `ClientLogsWriting`."""
        self._writing.changed(LOG_GROUPS, key.of_group)
        of = log_batches
        last = self._access.sql().execute(
            select(func.coalesce(func.max(of.c.number), 0)).where(
                *_is(of, key, "group_name", "stream_name")
            )
        )
        row = {
            "account": key.account,
            "region": key.region,
            "group_name": key.group,
            "stream_name": key.name,
            "number": last.scalar_one() + 1,
            "first_at": first_ms,
            "last_at": last_ms,
            "body": body,
        }
        self._writing.insert(of, [row])

    def forget_group(self, key: GroupKey) -> None:
        """See `ClientLogsWriting`."""
        self._writing.changed(LOG_GROUPS, key)
        for of, name in (
            (log_batches, "group_name"),
            (log_streams, "group_name"),
            (log_groups, "name"),
        ):
            self._access.sql().execute(delete(of).where(*_is(of, key, name)))

    def forget_stream(self, key: StreamKey) -> None:
        """See `ClientLogsWriting`."""
        self._writing.changed(LOG_GROUPS, key.of_group)
        for of, name in ((log_batches, "stream_name"), (log_streams, "name")):
            self._access.sql().execute(delete(of).where(*_is(of, key, "group_name", name)))

    def expire(self, now_ms: int) -> None:
        """See `ClientLogsWriting`."""
        columns = log_groups.c
        of = log_batches
        groups = select(columns.account, columns.region, columns.name, columns.body)
        for account, region, name, body in self._access.sql().execute(groups).all():
            floor_ms = _GROUPS.decode(body).floor_ms(now_ms)
            if floor_ms:
                key = GroupKey(account, region, name)
                self._writing.changed(LOG_GROUPS, key)
                self._access.sql().execute(
                    delete(of).where(*_is(of, key, "group_name"), of.c.last_at < floor_ms)
                )


def _is(of: Table, key: GroupKey | StreamKey, *names: str) -> list[ColumnElement[bool]]:
    """The rows of a key, whose parts after account and region are in the columns `names`."""
    columns = ("account", "region", *names)
    return [of.c[column] == part for column, part in zip(columns, key, strict=True)]
