"""PutLogEvents: what clients write to CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.logs.errors import LogsNotFound, LogsParameterRefused
from inservice.cloudwatch.logs.work import EVENT_BYTES
from inservice.errors import InsufficientStorage, NotImplementedYet, SenderError
from inservice.operations.logs import touches
from inservice.operations.logs.places import known_group, now_ms, there
from inservice.operations.logs.written import Kept, packed
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading
from inservice.store.collections.client_logs import StreamKey

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import InputLogEventTypeDef

BATCH_BYTES_MAX = 1_048_576
"""Of the texts of a batch and 26 bytes for each: AWS's limit, also of one event alone."""

SPAN_MS = 24 * 3_600_000
OLDEST_MS = 14 * 86_400_000
NEWEST_MS = 2 * 3_600_000
"""How far the events of a batch may be apart, and how old and how far ahead one may be."""


@operation("logs", "PutLogEvents", on=(touches.stream,))
def put_log_events(
    call: Call,
    *,
    log_group_name: str,
    log_stream_name: str,
    log_events: Sequence[InputLogEventTypeDef],
    sequence_token: str | None = None,
) -> Document:
    """Write events to a stream; they are durable when this returns.

    Those that are too old or too new are left out and told so. Sequence tokens mean nothing, as on
    AWS since 2023: any is taken, and one is given, which older clients wait for.
    """
    del sequence_token
    events = [Kept(event["timestamp"], event["message"]) for event in log_events]
    size = _checked_size(events)
    key = StreamKey(call.account, call.region, log_group_name, log_stream_name)
    now = now_ms(call)
    with call.store.transaction() as tx:
        stream, group = tx.client_logs.stream(key), tx.client_logs.group(key.of_group)
        if stream is None or stream.gone:
            raise _nowhere(call, tx, key)
        floor_ms = group.floor_ms(now) if group is not None else 0
        kept, rejected = _sorted_out(events, floor_ms, now)
        if kept:
            _check_room(tx.client_logs.bytes_held(), call.live.log_bytes_max)
            first_ms, last_ms = kept[0].at_ms, kept[-1].at_ms
            tx.client_logs.add_batch(key, first_ms, last_ms, packed(kept, now))
            earliest = stream.first_ms if stream.first_ms is not None else first_ms
            after = replace(
                stream,
                first_ms=min(first_ms, earliest),
                last_ms=max(last_ms, stream.last_ms or 0),
                ingested_ms=now,
                bytes=stream.bytes + (size if len(kept) == len(events) else _size(kept)),
            )
            tx.client_logs.save_stream(key, after)
    answer: dict[str, Any] = {"nextSequenceToken": f"{now:056d}"}
    if rejected:
        answer["rejectedLogEventsInfo"] = rejected
    return answer


def _nowhere(call: Call, records: Reading, key: StreamKey) -> SenderError:
    """Why a stream that no client made cannot be written to."""
    group = there(known_group(call, records, key.group))
    if all(stream.name != key.name for stream in group.streams):
        return LogsNotFound("The specified log stream does not exist.")
    return NotImplementedYet(f"PutLogEvents to the stream '{key.name}'", "an instance writes it")


def _check_room(held: int, most: int) -> None:
    """Raises InsufficientStorage where clients have written as much as they may.

    On AWS there is no such limit, and what was taken is kept until its retention ends. So the new
    is refused, with an error after which clients try again, and nothing old is dropped for it.
    """
    if held >= most:
        raise InsufficientStorage(
            f"Log events that clients write may take {most} bytes here (INSERVICE_LOG_BYTES_MAX), "
            f"and take {held}. Nothing of this batch was kept. Delete log streams or groups that "
            "are not needed, or give groups a retention."
        )


def _checked_size(events: Sequence[Kept]) -> int:
    """Bytes of a batch as AWS counts them. Raises LogsParameterRefused for what cannot be one."""
    largest = max(len(event.message.encode()) for event in events) + EVENT_BYTES
    if largest > BATCH_BYTES_MAX:
        raise LogsParameterRefused(
            f"Log event too large: {largest} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )
    size = _size(events)
    if size > BATCH_BYTES_MAX:
        raise LogsParameterRefused(
            f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )
    if any(earlier.at_ms > later.at_ms for earlier, later in pairwise(events)):
        raise LogsParameterRefused(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    if events[-1].at_ms - events[0].at_ms > SPAN_MS:
        raise LogsParameterRefused(
            "The batch of log events in a single PutLogEvents request cannot span more than "
            "24 hours."
        )
    return size


def _size(events: Sequence[Kept]) -> int:
    return sum(len(event.message.encode()) + EVENT_BYTES for event in events)


def _sorted_out(
    events: Sequence[Kept], floor_ms: int, now: int
) -> tuple[Sequence[Kept], dict[str, int]]:
    """The events that are taken, and where those end and begin that are not.

    An end is the index after the last: with events in the order of time, how many they are.
    """
    too_old = sum(event.at_ms < now - OLDEST_MS for event in events)
    expired = sum(event.at_ms < floor_ms for event in events)
    too_new = sum(event.at_ms > now + NEWEST_MS for event in events)
    rejected: dict[str, int] = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(events) - too_new
    return events[max(too_old, expired) : len(events) - too_new], rejected
