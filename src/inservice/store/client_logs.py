"""What a store keeps of the logs that clients write, and of the dashboards that they put.

Events are kept as they came, a batch for each PutLogEvents: one row is one write however many
events it has. A group or a stream that was deleted leaves a record behind where its instances go on
writing files under the same name: what is older than `since_ms` is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


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


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: a document that is kept."""

    name: str
    modified_at: float  # epoch seconds
    body: str


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

    def dashboards(self, account: str, partition: str) -> Sequence[Dashboard]:
        """Every dashboard, by name."""
        ...

    def dashboard(self, account: str, partition: str, name: str) -> Dashboard | None:
        """One dashboard; None if there is none."""
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

    def save_dashboard(self, account: str, partition: str, dashboard: Dashboard) -> None:
        """Keep a dashboard, in place of any of that name."""
        ...

    def delete_dashboard(self, account: str, partition: str, name: str) -> None:
        """Forget a dashboard; nothing happens if there is none."""
        ...
