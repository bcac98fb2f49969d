"""CloudWatch Logs: groups and streams made, kept for a time, tagged and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inservice.cloudwatch.logs.errors import (
    LogsAlreadyThere,
    LogsLimitExceeded,
    LogsNotFound,
    LogsParameterRefused,
    TooManyLogTags,
)
from inservice.errors import NotImplementedYet
from inservice.operations.logs import touches
from inservice.operations.logs.places import (
    KnownGroup,
    arn_of,
    key_of,
    known_group,
    name_of,
    now_ms,
    there,
)
from inservice.operations.registry import Call, Document, operation
from inservice.store.base import Reading, Transaction
from inservice.store.collections.client_logs import LogGroupRecord, LogStreamRecord, StreamKey

if TYPE_CHECKING:
    from types_boto3_logs.literals import LogGroupClassType

GROUPS_MAX = 10_000
"""That clients may make in an account and region. AWS has a million."""

TAGS_MAX = 50

RETENTIONS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Days that PutRetentionPolicy takes: AWS's list, which its model does not carry."""


# ── groups ──────────────────────────────────────────────────────────────────────────────────────


@operation("logs", "CreateLogGroup", on=(touches.new_group,))
def create_log_group(
    call: Call,
    *,
    log_group_name: str,
    tags: Mapping[str, str] | None = None,
    log_group_class: LogGroupClassType = "STANDARD",
    deletion_protection_enabled: bool = False,
    kms_key_id: str | None = None,
) -> None:
    """Make a log group. That of an endpoint may be made before the endpoint is."""
    if kms_key_id is not None:
        raise NotImplementedYet("'kmsKeyId'", "there is no KMS; encrypt the disk")
    if log_group_class != "STANDARD":
        raise NotImplementedYet(f"the value '{log_group_class}' at 'logGroupClass'")
    if deletion_protection_enabled:
        raise NotImplementedYet("'deletionProtectionEnabled'")
    with call.store.transaction() as tx:
        if known_group(call, tx, log_group_name) is not None:
            raise LogsAlreadyThere("The specified log group already exists")
        if len(tx.client_logs.groups(call.account, call.region)) >= GROUPS_MAX:
            raise LogsLimitExceeded(f"An account may have {GROUPS_MAX} log groups in a region.")
        before = tx.client_logs.group(key_of(call, log_group_name))
        record = LogGroupRecord(
            log_group_name,
            now_ms(call),
            since_ms=before.since_ms if before is not None else 0,
            tags=_checked(tags or {}),
        )
        tx.client_logs.save_group(key_of(call, log_group_name), record)


@operation("logs", "DeleteLogGroup", on=(touches.group,))
def delete_log_group(call: Call, *, log_group_name: str) -> None:
    """Delete a log group with all its streams and events. Instances that still write make a new
    one of the same name, as on AWS."""
    key = key_of(call, log_group_name)
    with call.store.transaction() as tx:
        group = there(known_group(call, tx, log_group_name))
        tx.client_logs.forget_group(key)
        if group.from_instances:
            now = now_ms(call)
            gone = LogGroupRecord(log_group_name, now, gone=True, since_ms=now + 1)
            tx.client_logs.save_group(key, gone)


@operation("logs", "PutRetentionPolicy", on=(touches.group,))
def put_retention_policy(call: Call, *, log_group_name: str, retention_in_days: int) -> None:
    """Have events of a group go after some days."""
    if retention_in_days not in RETENTIONS:
        raise LogsParameterRefused(
            f"1 validation error detected: Value '{retention_in_days}' at 'retentionInDays' failed "
            "to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(map(str, RETENTIONS))}]"
        )
    with call.store.transaction() as tx:
        record = _record(call, tx, log_group_name)
        _save(call, tx, replace(record, retention_days=retention_in_days))


@operation("logs", "DeleteRetentionPolicy", on=(touches.group,))
def delete_retention_policy(call: Call, *, log_group_name: str) -> None:
    """Have events of a group stay."""
    with call.store.transaction() as tx:
        record = _record(call, tx, log_group_name)
        _save(call, tx, replace(record, retention_days=None))


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


@operation("logs", "CreateLogStream", on=(touches.stream,))
def create_log_stream(call: Call, *, log_group_name: str, log_stream_name: str) -> None:
    """Make a log stream to put events into."""
    with call.store.transaction() as tx:
        group = there(known_group(call, tx, log_group_name))
        if any(stream.name == log_stream_name for stream in group.streams):
            raise LogsAlreadyThere("The specified log stream already exists")
        key = StreamKey(call.account, call.region, log_group_name, log_stream_name)
        tx.client_logs.save_stream(key, LogStreamRecord(log_stream_name, now_ms(call)))


@operation("logs", "DeleteLogStream", on=(touches.stream,))
def delete_log_stream(call: Call, *, log_group_name: str, log_stream_name: str) -> None:
    """Delete a log stream and its events. An instance that still writes makes it again."""
    key = StreamKey(call.account, call.region, log_group_name, log_stream_name)
    with call.store.transaction() as tx:
        group = there(known_group(call, tx, log_group_name))
        if all(stream.name != log_stream_name for stream in group.streams):
            raise LogsNotFound("The specified log stream does not exist.")
        # The group stays, also one that was only there by its streams.
        _save(call, tx, _record_of(call, group))
        tx.client_logs.forget_stream(key)
        if log_stream_name not in group.stream_records:
            now = now_ms(call)
            gone = LogStreamRecord(log_stream_name, now, gone=True, since_ms=now + 1)
            tx.client_logs.save_stream(key, gone)


# ── tags ────────────────────────────────────────────────────────────────────────────────────────


@operation("logs", "TagResource", on=(touches.resource,))
def tag_resource(call: Call, *, resource_arn: str, tags: Mapping[str, str]) -> None:
    """Add tags to a log group, or change the values of those it has."""
    _add_tags(call, _name_in(call, resource_arn), tags)


@operation("logs", "UntagResource", on=(touches.resource,))
def untag_resource(call: Call, *, resource_arn: str, tag_keys: Sequence[str]) -> None:
    """Take tags from a log group."""
    _remove_tags(call, _name_in(call, resource_arn), tag_keys)


@operation("logs", "ListTagsForResource", on=(touches.resource,))
def list_tags_for_resource(call: Call, *, resource_arn: str) -> Document:
    """The tags of a log group."""
    return {"tags": _tags(call, _name_in(call, resource_arn))}


@operation("logs", "TagLogGroup", on=(touches.tagged_group,))
def tag_log_group(call: Call, *, log_group_name: str, tags: Mapping[str, str]) -> None:
    """TagResource under its older name."""
    _add_tags(call, log_group_name, tags)


@operation("logs", "UntagLogGroup", on=(touches.tagged_group,))
def untag_log_group(call: Call, *, log_group_name: str, tags: Sequence[str]) -> None:
    """UntagResource under its older name."""
    _remove_tags(call, log_group_name, tags)


@operation("logs", "ListTagsLogGroup", on=(touches.tagged_group,))
def list_tags_log_group(call: Call, *, log_group_name: str) -> Document:
    """ListTagsForResource under its older name."""
    return {"tags": _tags(call, log_group_name)}


def _add_tags(call: Call, name: str, tags: Mapping[str, str]) -> None:
    with call.store.transaction() as tx:
        record = _record(call, tx, name)
        _save(call, tx, replace(record, tags=_checked({**(record.tags or {}), **tags})))


def _remove_tags(call: Call, name: str, keys: Sequence[str]) -> None:
    with call.store.transaction() as tx:
        record = _record(call, tx, name)
        kept = {key: value for key, value in (record.tags or {}).items() if key not in keys}
        _save(call, tx, replace(record, tags=kept))


def _tags(call: Call, name: str) -> Mapping[str, str]:
    with call.store.reading() as records:
        return _record(call, records, name).tags or {}


def _checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > TAGS_MAX:
        raise TooManyLogTags(f"A log group may have {TAGS_MAX} tags.")
    if reserved := [key for key in tags if key.lower().startswith("aws:")]:
        raise LogsParameterRefused(f"The tag key {reserved[0]} is reserved: aws: belongs to AWS.")
    return tags


def _name_in(call: Call, arn: str) -> str:
    """The name in the ARN of a log group of the caller's. Raises LogsNotFound."""
    name = name_of(arn)
    if arn != arn_of(call, name):
        raise LogsNotFound(f"The specified resource does not exist: {arn}")
    return name


# ── records ─────────────────────────────────────────────────────────────────────────────────────


def _record(call: Call, records: Reading, name: str) -> LogGroupRecord:
    """The record of a group that is there. Raises LogsNotFound."""
    return _record_of(call, there(known_group(call, records, name)))


def _record_of(call: Call, group: KnownGroup) -> LogGroupRecord:
    """A group's record; a new one for a group that instances made, or made again."""
    if group.record is not None and not group.record.gone:
        return group.record
    since_ms = group.record.since_ms if group.record is not None else 0
    return LogGroupRecord(group.name, group.created_ms or now_ms(call), since_ms=since_ms)


def _save(call: Call, tx: Transaction, record: LogGroupRecord) -> None:
    tx.client_logs.save_group(key_of(call, record.name), record)
