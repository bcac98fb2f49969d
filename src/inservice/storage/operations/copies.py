"""The source of a copy, for CopyObject and UploadPartCopy: where it is said to be, whether it is
what was expected, and the digests of what is copied, which nobody computes on the way."""

from __future__ import annotations

from dataclasses import dataclass

from inservice.blobs.base import Checksum, Reading
from inservice.checksums import ALGORITHMS, told
from inservice.errors import NotImplementedYet
from inservice.objects.addressing import copied_from
from inservice.objects.conditions import judge_source
from inservice.storage.calls import Call
from inservice.storage.operations.asked import check_owner
from inservice.storage.operations.asked_conditions import of_source
from inservice.storage.operations.reading import opened
from inservice.storage.operations.refusals import invalid_argument

HEARD = (
    *("CopySource", "CopySourceIfMatch", "CopySourceIfNoneMatch"),
    *("CopySourceIfModifiedSince", "CopySourceIfUnmodifiedSince", "ExpectedSourceBucketOwner"),
)
"""Members that are about the source."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where it is."""

    bucket: str
    key: str
    version: str | None


def source_of(call: Call) -> Source:
    """What `x-amz-copy-source` says. Raises InvalidArgument, NotImplementedYet."""
    header: str = call.members.get("CopySource") or ""
    bucket, key, version = copied_from(header)
    if bucket.startswith("arn:"):
        raise NotImplementedYet("copies from access points (x-amz-copy-source)")
    if not bucket or not key:
        raise invalid_argument("Invalid copy source object key", "x-amz-copy-source", header)
    if version not in ("", "null"):
        raise invalid_argument("Invalid version id specified", "versionId", version)
    return Source(bucket, key, version or None)


def opened_source(call: Call, source: Source) -> Reading:
    """It, to be closed. Raises NoSuchBucket, NoSuchKey, AccessDenied, PreconditionFailed."""
    bucket = call.blobs.bucket(source.bucket)
    check_owner(bucket, call.members.get("ExpectedSourceBucketOwner"))
    reading = opened(call, source.bucket, source.key)
    try:
        stored = reading.stored
        judge_source(of_source(call.members, call.now), stored.attributes.etag, stored.modified_at)
    except BaseException:
        reading.close()
        raise
    return reading


def digests(
    reading: Reading, start: int, length: int, algorithm: str | None
) -> tuple[str, Checksum | None]:
    """The MD5, in hex, of a stretch, and a checksum of it if one is wanted."""
    md5 = ALGORITHMS["MD5"].new()
    running = ALGORITHMS[algorithm].new() if algorithm else None
    for chunk in reading.chunks(start, length):
        md5.update(chunk)
        if running is not None:
            running.update(chunk)
    checksum = Checksum(algorithm, told(running.digest())) if algorithm and running else None
    return md5.digest().hex(), checksum
