"""GetObject and HeadObject.

A checksum is told of what is sent: of the whole object if all of it is, of a part that is asked for
by its number, and of any other stretch none. Clients hold what they got against what is told, so
the checksum of the whole beside a piece would make a good answer look torn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from inservice.blobs.base import PartOf, Reading, StoredObject
from inservice.identity.principal import PrincipalKind
from inservice.objects.conditions import judge_read
from inservice.objects.parts import check_number
from inservice.objects.ranges import wanted
from inservice.s3_errors import (
    AccessDenied,
    InvalidPartNumber,
    InvalidRequest,
    NoSuchKey,
    NotModified,
)
from inservice.storage.calls import Answer, Call, Span, operation
from inservice.storage.operations.asked import arn_of, bucket_of, heard, versioned
from inservice.storage.operations.asked_conditions import of_read
from inservice.storage.operations.object_headers import (
    checksum_said,
    object_said,
    quoted,
    said_date,
)

_HEARD = (
    *("IfMatch", "IfModifiedSince", "IfNoneMatch", "IfUnmodifiedSince", "Range", "PartNumber"),
    *("VersionId", "ChecksumMode"),
    *("ResponseCacheControl", "ResponseContentDisposition", "ResponseContentEncoding"),
    *("ResponseContentLanguage", "ResponseContentType", "ResponseExpires"),
)
_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
}
"""What the client wants to be told instead → the member that tells it."""


class _Stretch(NamedTuple):
    """Which bytes are sent, and as what: all of it, a range, or a part by its number."""

    start: int
    length: int
    is_range: bool = False
    part: PartOf | None = None


@operation("HeadObject")
def head_object(call: Call) -> Answer:
    """All that GetObject tells, without the data."""
    _check(call)
    stored = found(call, call.members["Bucket"], call.members["Key"])
    return _answer(call, stored)[0]


@operation("GetObject")
def get_object(call: Call) -> Answer:
    """An object, or a stretch of it."""
    _check(call)
    reading = opened(call, call.members["Bucket"], call.members["Key"])
    try:
        answer, stretch = _answer(call, reading.stored)
    except BaseException:
        reading.close()
        raise
    if stretch is None:
        reading.close()
        return answer
    span = Span(reading, stretch.start, stretch.length)
    return Answer(answer.members, answer.status, answer.headers, span)


def opened(call: Call, bucket: str, key: str) -> Reading:
    """An object to read. Raises NoSuchKey, or AccessDenied to who may not know what is there."""
    try:
        return call.blobs.read(bucket, key)
    except NoSuchKey:
        _check_may_know(call, bucket)
        raise


def found(call: Call, bucket: str, key: str) -> StoredObject:
    """What is kept of an object. Raises as `opened` does."""
    try:
        return call.blobs.stored(bucket, key)
    except NoSuchKey:
        _check_may_know(call, bucket)
        raise


def part_checksum(stored: StoredObject, part: PartOf, *, typed: bool = False) -> dict[str, Any]:
    """The checksum of one part, if it is of the kind that its object has."""
    whole = stored.attributes.checksum
    if whole is None or part.checksum is None or part.checksum.algorithm != whole.algorithm:
        return {}
    said = checksum_said(part.checksum, typed=False)
    if typed:
        said["ChecksumType"] = "COMPOSITE" if whole.composite else "FULL_OBJECT"
    return said


def _check_may_know(call: Call, bucket: str) -> None:
    if not call.may("s3:ListBucket", arn_of(call, bucket)):
        raise AccessDenied from None


def _check(call: Call) -> None:
    heard(call, *_HEARD)
    bucket_of(call)
    versioned(call)
    overrides = any(call.members.get(name) is not None for name in (*_OVERRIDES, "ResponseExpires"))
    if overrides and call.caller.kind is PrincipalKind.ANONYMOUS:
        raise InvalidRequest(
            "Request specific response headers cannot be used for anonymous GET requests."
        )
    if call.members.get("Range") and call.members.get("PartNumber") is not None:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")


def _answer(call: Call, stored: StoredObject) -> tuple[Answer, _Stretch | None]:
    """What is told, and which bytes are sent; none if the client has them already."""
    members = call.members
    attributes = stored.attributes
    try:
        judge_read(of_read(members), attributes.etag, stored.modified_at)
    except NotModified as same:
        told = {"ETag": quoted(attributes.etag), "LastModified": stored.modified_at}
        return Answer(told, same.status), None
    stretch = _stretch(call, stored)
    said = object_said(stored)
    said["ContentLength"] = stretch.length
    if stretch.is_range and stretch.length:
        end = stretch.start + stretch.length - 1
        said["ContentRange"] = f"bytes {stretch.start}-{end}/{stored.size}"
    if stretch.part is not None:
        said["PartsCount"] = len(stored.parts)
    if members.get("VersionId"):
        said["VersionId"] = "null"
    if members.get("ChecksumMode") == "ENABLED":
        if stretch.part is not None:
            said |= part_checksum(stored, stretch.part, typed=True)
        elif stretch.length == stored.size:
            said |= checksum_said(attributes.checksum)
    for name, member in _OVERRIDES.items():
        if members.get(name) is not None:
            said[member] = members[name]
    status = 206 if stretch.is_range else 200
    return Answer(said, status, _expires(call, stored)), stretch


def _stretch(call: Call, stored: StoredObject) -> _Stretch:
    """Raises InvalidRange, InvalidArgument, InvalidPartNumber."""
    number = call.members.get("PartNumber")
    if number is not None:
        return _part(stored, number)
    range_header = call.members.get("Range")
    asked = wanted(range_header, stored.size) if range_header else None
    return _Stretch(0, stored.size) if asked is None else _Stretch(*asked, is_range=True)


def _part(stored: StoredObject, number: int) -> _Stretch:
    """An object that did not come in parts is its own first one."""
    check_number(number)
    start = 0
    for part in stored.parts:
        if part.number == number:
            return _Stretch(start, part.size, True, part)
        start += part.size
    if number > 1 or stored.parts:
        raise InvalidPartNumber(ActualPartCount=len(stored.parts) or 1, PartNumberRequested=number)
    return _Stretch(0, stored.size, is_range=True)


def _expires(call: Call, stored: StoredObject) -> tuple[tuple[str, str], ...]:
    """As it was sent, date or not."""
    asked = call.members.get("ResponseExpires")
    kept = stored.attributes.headers.get("Expires", "")
    text = said_date(asked) if asked is not None else kept
    return (("Expires", text),) if text else ()
