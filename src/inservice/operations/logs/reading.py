"""CloudWatch Logs: what the instances of an endpoint wrote."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.alarms.errors import BadToken
from inservice.cloudwatch.logs import patterns
from inservice.cloudwatch.logs.errors import LogsNotFound, LogsParameterRefused
from inservice.cloudwatch.logs.work import EVENT_BYTES
from inservice.errors import NotImplementedYet
from inservice.instance_logs.base import FOREVER, LogEvent, LogStream, Place, merged
from inservice.instance_logs.search import ANSWER_BYTES_MAX, search
from inservice.operations.cloudwatch.pages import next_token as token_for
from inservice.operations.cloudwatch.pages import position_of
from inservice.operations.logs import touches
from inservice.operations.logs.places import (
    KnownGroup,
    arn_of,
    known_group,
    known_names,
    name_of,
    there,
)
from inservice.operations.registry import Call, Document, operation

if TYPE_CHECKING:
    from types_boto3_logs.literals import LogGroupClassType, OrderByType

PAGE_SIZE = 50
EVENTS_MAX = 10_000


@operation("logs", "DescribeLogGroups", on=(touches.groups,))
def describe_log_groups(
    call: Call,
    *,
    log_group_name_prefix: str | None = None,
    log_group_name_pattern: str | None = None,
    log_group_identifiers: Sequence[str] | None = None,
    log_group_class: LogGroupClassType = "STANDARD",
    account_identifiers: Sequence[str] = (),
    include_linked_accounts: bool = False,
    next_token: str | None = None,
    limit: int = PAGE_SIZE,
) -> Document:
    """One group for each endpoint whose instances wrote something, deleted ones included, and
    those that clients made."""
    if include_linked_accounts or set(account_identifiers) - {call.account}:
        raise LogsParameterRefused("There are no linked accounts.")
    if log_group_name_prefix is not None and log_group_name_pattern is not None:
        raise LogsParameterRefused(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    wanted = None
    if log_group_identifiers is not None:
        wanted = sorted({name_of(one) for one in log_group_identifiers})
    asked = ("DescribeLogGroups", log_group_name_prefix, log_group_name_pattern, wanted)
    after = _position(next_token, call, asked)
    names = [
        name
        for name in known_names(call)
        if name.startswith(log_group_name_prefix or "")
        and (log_group_name_pattern or "").lower() in name.lower()
        and (wanted is None or name in wanted)
        and (after is None or name > after)
        and log_group_class == "STANDARD"
    ]
    with call.store.reading() as records:
        known = (known_group(call, records, name) for name in names)
        found = list(itertools.islice((one for one in known if one is not None), limit + 1))
    page = found[:limit]
    shown: dict[str, Any] = {"logGroups": [_shown_group(call, group) for group in page]}
    if len(found) > limit:
        shown["nextToken"] = token_for(call, asked, page[-1].name)
    return shown


@operation("logs", "DescribeLogStreams", on=(touches.group,))
def describe_log_streams(
    call: Call,
    *,
    log_group_name: str | None = None,
    log_group_identifier: str | None = None,
    log_stream_name_prefix: str | None = None,
    order_by: OrderByType = "LogStreamName",
    descending: bool = False,
    next_token: str | None = None,
    limit: int = PAGE_SIZE,
) -> Document:
    """One stream for each instance, by name or by its newest event."""
    group = _group(call, log_group_name, log_group_identifier)
    if order_by == "LastEventTime" and log_stream_name_prefix is not None:
        raise LogsParameterRefused("Cannot order by LastEventTime with a logStreamNamePrefix.")
    asked = ("DescribeLogStreams", group.name, log_stream_name_prefix, order_by, descending)
    skipped = _position(next_token, call, asked) or 0
    streams = [s for s in group.streams if s.name.startswith(log_stream_name_prefix or "")]
    if order_by == "LastEventTime":
        streams.sort(key=lambda stream: (stream.last_at_ms() or 0, stream.name))
    if descending:
        streams.reverse()
    page = streams[skipped : skipped + limit]
    shown: dict[str, Any] = {"logStreams": [_shown_stream(call, group, one) for one in page]}
    if len(streams) > skipped + limit:
        shown["nextToken"] = token_for(call, asked, skipped + limit)
    return shown


@operation("logs", "GetLogEvents", on=(touches.stream,))
def get_log_events(
    call: Call,
    *,
    log_stream_name: str,
    log_group_name: str | None = None,
    log_group_identifier: str | None = None,
    start_time: int = 0,
    end_time: int = FOREVER,
    next_token: str | None = None,
    limit: int = EVENTS_MAX,
    start_from_head: bool = False,
    unmask: bool = False,
) -> Document:
    """Events of one stream. Without a token the newest, or from the head the oldest; with one
    those that follow or precede. At the end of the stream a token is answered with itself."""
    del unmask  # nothing is masked
    group = _group(call, log_group_name, log_group_identifier)
    stream = next((one for one in group.streams if one.name == log_stream_name), None)
    if stream is None:
        raise LogsNotFound("The specified log stream does not exist.")
    if next_token is not None:
        forward, place = _place_of(next_token)
    else:
        forward = start_from_head
        place = Place(start_time, 0) if forward else Place(end_time, 0)
    if forward:
        begin = max(place, Place(start_time, 0))
        events = _fitting(itertools.islice(stream.events(begin, end_time), limit))
    else:
        before = min(place, Place(end_time, 0))
        newest = stream.latest(start_time, before, limit)
        events = list(reversed(_fitting(reversed(newest))))
    first = events[0].place if events else place
    after = Place(events[-1].place.at_ms, events[-1].place.number + 1) if events else place
    if not events and not forward and next_token is None:
        after = first = Place(start_time, 0)
    return {
        "events": [
            {
                "timestamp": event.place.at_ms,
                "message": event.message or " ",
                "ingestionTime": event.ingested_ms or event.place.at_ms,
            }
            for event in events
        ],
        "nextForwardToken": f"f/{after.at_ms}/{after.number}",
        "nextBackwardToken": f"b/{first.at_ms}/{first.number}",
    }


@operation("logs", "FilterLogEvents", on=(touches.group,))
def filter_log_events(
    call: Call,
    *,
    log_group_name: str | None = None,
    log_group_identifier: str | None = None,
    log_stream_names: Sequence[str] | None = None,
    log_stream_name_prefix: str | None = None,
    start_time: int = 0,
    end_time: int = FOREVER,
    filter_pattern: str = "",
    next_token: str | None = None,
    limit: int = EVENTS_MAX,
    start_from_head: bool = True,
    interleaved: bool = True,
    unmask: bool = False,
) -> Document:
    """Events of all streams of a group that match a pattern, by time."""
    del interleaved, unmask  # AWS ignores the first since 2019; nothing is masked
    if not start_from_head:
        raise NotImplementedYet("the value 'false' at 'startFromHead'", "events come oldest first")
    group = _group(call, log_group_name, log_group_identifier)
    if log_stream_names is not None and log_stream_name_prefix is not None:
        raise LogsParameterRefused("logStreamNames and logStreamNamePrefix exclude each other.")
    streams = [
        stream
        for stream in group.streams
        if (log_stream_names is None or stream.name in log_stream_names)
        and stream.name.startswith(log_stream_name_prefix or "")
    ]
    if log_stream_names is not None and len(streams) < len(set(log_stream_names)):
        raise LogsNotFound("The specified log stream does not exist.")
    pattern = patterns.parse(filter_pattern)
    names = [stream.name for stream in streams]
    asked = ("FilterLogEvents", group.name, names, start_time, end_time, filter_pattern)
    at = _position(next_token, call, asked)
    after = None if at is None else (at[0], at[1], at[2])
    found = search(merged(streams, after, start_time, end_time), pattern, limit)
    shown: dict[str, Any] = {
        "events": [_shown_event(event) for event in found.events],
        "searchedLogStreams": [],  # AWS answers an empty list since 2019
    }
    if found.stopped_at is not None:
        shown["nextToken"] = token_for(call, asked, found.stopped_at)
    return shown


def _fitting(events: Iterable[LogEvent]) -> list[LogEvent]:
    """The first events, as many as fit an answer, and one at least."""
    kept: list[LogEvent] = []
    size = 0
    for event in events:
        size += len(event.message.encode()) + EVENT_BYTES
        if kept and size > ANSWER_BYTES_MAX:
            break
        kept.append(event)
    return kept


def _place_of(token: str) -> tuple[bool, Place]:
    direction, _, rest = token.partition("/")
    at_ms, _, number = rest.partition("/")
    if direction not in ("f", "b") or not (at_ms.isdecimal() and number.isdecimal()):
        raise LogsParameterRefused("The specified nextToken is invalid.")
    return direction == "f", Place(int(at_ms[:20]), int(number[:20]))


def _position(token: str | None, call: Call, asked: tuple[Any, ...]) -> Any:
    try:
        return position_of(token, call, asked)
    except BadToken as error:
        raise LogsParameterRefused("The specified nextToken is invalid.") from error


def _group(call: Call, name: str | None, identifier: str | None) -> KnownGroup:
    if (name is None) == (identifier is None):
        raise LogsParameterRefused("Give logGroupName or logGroupIdentifier, one of them.")
    with call.store.reading() as records:
        wanted = name_of(identifier or "") if name is None else name
        return there(known_group(call, records, wanted))


def _shown_group(call: Call, group: KnownGroup) -> Document:
    record = group.record
    retention = record.retention_days if record is not None else None
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn_of(call, group.name)}:*",
        "logGroupArn": arn_of(call, group.name),
        "storedBytes": sum(stream.stored_bytes() for stream in group.streams),
        "logGroupClass": "STANDARD",
        **({} if retention is None else {"retentionInDays": retention}),
    }


def _shown_stream(call: Call, group: KnownGroup, stream: LogStream) -> Document:
    first, last = stream.first_at_ms(), stream.last_at_ms()
    record = group.stream_records.get(stream.name)
    times: dict[str, Any] = {}
    if first is not None and last is not None:
        times = {
            "firstEventTimestamp": first,
            "lastEventTimestamp": last,
            "lastIngestionTime": (record.ingested_ms if record else None) or last,
        }
    return {
        "logStreamName": stream.name,
        "creationTime": record.created_ms if record else first or 0,
        "arn": f"{arn_of(call, group.name)}:log-stream:{stream.name}",
        "storedBytes": stream.stored_bytes(),
        **times,
    }


def _shown_event(event: LogEvent) -> Document:
    stream = zlib.crc32(event.stream.encode())
    return {
        "logStreamName": event.stream,
        "timestamp": event.place.at_ms,
        "message": event.message or " ",
        "ingestionTime": event.ingested_ms or event.place.at_ms,
        "eventId": f"{event.place.at_ms:020d}{event.place.number:010d}{stream:010d}",
    }
