"""Log groups as they are: what instances write to files, and what clients write to the store.

Both may be of one name: who wants the logs of an endpoint kept for a week makes its group before
the endpoint does. A group or stream that was deleted is there again when an instance goes on
writing; what is older stays gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inservice.cloudwatch.logs.errors import LogsNotFound
from inservice.instance_logs.base import LogStream
from inservice.operations.logs.written import LeftStream, WrittenStream
from inservice.operations.registry import Call
from inservice.partitions import partition_of
from inservice.store.base import Reading
from inservice.store.collections.client_logs import (
    BatchPlace,
    GroupKey,
    LogGroupRecord,
    LogStreamRecord,
    StreamKey,
)


@dataclass(frozen=True, slots=True)
class KnownGroup:
    """A log group that is there."""

    name: str
    created_ms: int
    streams: tuple[LogStream, ...]  # by name
    record: LogGroupRecord | None  # None: instances alone made it
    stream_records: Mapping[str, LogStreamRecord]  # of the streams that clients made, by name
    from_instances: bool  # some of its streams are files, and may be written on


def key_of(call: Call, name: str) -> GroupKey:
    """How the store knows a group of the caller."""
    return GroupKey(call.account, call.region, name)


def arn_of(call: Call, name: str) -> str:
    """The ARN of a group, without the `:*` that some operations add."""
    partition = partition_of(call.region)
    return f"arn:{partition}:logs:{call.region}:{call.account}:log-group:{name}"


def name_of(identifier: str) -> str:
    """The name in a name or an ARN."""
    if identifier.startswith("arn:"):
        return identifier.partition(":log-group:")[2].removesuffix(":*")
    return identifier


def now_ms(call: Call) -> int:
    """The time of the call as logs tell it."""
    return round(call.now * 1_000)


def there(group: KnownGroup | None) -> KnownGroup:
    """The group, if it is there. Raises LogsNotFound."""
    if group is None:
        raise LogsNotFound("The specified log group does not exist.")
    return group


def known_names(call: Call) -> Sequence[str]:
    """Every name that a group has, or had and left a record: `known_group` tells which."""
    with call.store.reading() as records:
        made = {record.name for record in records.client_logs.groups(call.account, call.region)}
    return sorted(made | {one.name for one in call.live.logs.groups(call.account, call.region)})


def known_group(call: Call, records: Reading, name: str) -> KnownGroup | None:
    """The group of that name, or None."""
    record = records.client_logs.group(key_of(call, name))
    made = {one.name: one for one in records.client_logs.streams(key_of(call, name))}
    files = call.live.logs.group(call.account, call.region, name)
    since_ms = record.since_ms if record is not None else 0
    floor_ms = record.floor_ms(now_ms(call)) if record is not None else 0
    streams: dict[str, LogStream] = {}
    for one in files.streams if files is not None else ():
        gone_ms = max(since_ms, made[one.name].since_ms if one.name in made else 0)
        if not gone_ms or (one.last_at_ms() or 0) >= gone_ms:
            streams[one.name] = LeftStream.of(one, max(floor_ms, gone_ms))
    from_files = frozenset(streams)
    for stream in made.values():
        if not stream.gone and stream.name not in streams:
            streams[stream.name] = LeftStream.of(_written(call, name, stream), floor_ms)
    if not streams and (record is None or record.gone):
        return None
    if record is not None and not record.gone:
        created_ms = record.created_ms
    else:
        began = [at for one in streams.values() if (at := one.first_at_ms()) is not None]
        created_ms = min(began, default=0)
    return KnownGroup(
        name=name,
        created_ms=created_ms,
        streams=tuple(streams[each] for each in sorted(streams)),
        record=record,
        stream_records={each: made[each] for each in streams if each not in from_files},
        from_instances=files is not None,
    )


def _written(call: Call, group: str, record: LogStreamRecord) -> WrittenStream:
    key = StreamKey(call.account, call.region, group, record.name)

    def batches(
        start_ms: int, end_ms: int, after: tuple[int, int], limit: int
    ) -> Sequence[BatchPlace]:
        with call.store.reading() as records:
            return records.client_logs.batches(key, start_ms, end_ms, after=after, limit=limit)

    def opened(number: int) -> bytes:
        with call.store.reading() as records:
            return records.client_logs.batch(key, number)

    return WrittenStream(
        record.name,
        batches=batches,
        open=opened,
        size=record.bytes,
        first_ms=record.first_ms,
        last_ms=record.last_ms,
    )
