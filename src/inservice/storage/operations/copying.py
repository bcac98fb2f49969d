"""CopyObject: the same data under another key, or under the same one with other headers.

Nothing of the data moves. It is read only where a digest of it is not known yet: of a source that
came in parts, whose copy is one piece, or where another checksum is asked for.
"""

from __future__ import annotations

from dataclasses import replace

from inservice.blobs.base import Attributes, Bucket, Checksum, Reading
from inservice.errors import NotImplementedYet
from inservice.objects.parts import PUT_BYTES_MAX
from inservice.s3_errors import InvalidRequest
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.asked_conditions import of_write
from inservice.storage.operations.copies import (
    HEARD,
    Source,
    digests,
    opened_source,
    source_of,
)
from inservice.storage.operations.object_headers import (
    CONTENT,
    ENCRYPTION,
    STORAGE_CLASS,
    attributes_of,
    checksum_said,
    encryption_said,
    kept_algorithm,
    quoted,
)
from inservice.storage.operations.object_headers import HEARD as HEARD_OF_OBJECTS
from inservice.storage.operations.refusals import invalid_argument

_DIRECTIVES = ("COPY", "REPLACE")
_PLACE = "x-amz-website-redirect-location"


@operation("CopyObject")
def copy_object(call: Call) -> Answer:
    """Its tags and headers come along unless they are said anew."""
    heard(
        call,
        *(*HEARD, *HEARD_OF_OBJECTS, "MetadataDirective", "TaggingDirective"),
        *("AnnotationDirective", "IfMatch", "IfNoneMatch"),
    )
    bucket = bucket_of(call)
    source = source_of(call)
    directives = {
        name: _directive(call, name) for name in ("MetadataDirective", "TaggingDirective")
    }
    if call.members.get("AnnotationDirective") not in (None, "COPY", "EXCLUDE"):
        raise NotImplementedYet(f"AnnotationDirective of {call.operation}")
    when = of_write(call.members)
    asked = attributes_of(call, bucket)
    reading = opened_source(call, source)
    try:
        stored = reading.stored
        _check_changes(call, source, stored.attributes, bucket)
        if stored.size > PUT_BYTES_MAX:
            raise InvalidRequest(
                "The specified copy source is larger than the maximum allowable size for a copy "
                f"source: {PUT_BYTES_MAX}"
            )
        attributes = _attributes(asked, stored.attributes, directives)
        etag, checksum = _digests(call, reading)
        attributes = replace(attributes, etag=etag, checksum=checksum)
        copied = call.blobs.copy(stored, bucket.name, call.members["Key"], attributes, when)
    finally:
        reading.close()
    result = {
        "ETag": quoted(etag),
        "LastModified": copied.modified_at,
        **checksum_said(checksum),
    }
    said = {"CopyObjectResult": result, **encryption_said(attributes, context=True)}
    return Answer({**said, "CopySourceVersionId": source.version} if source.version else said)


def _directive(call: Call, name: str) -> str:
    asked: str = call.members.get(name) or "COPY"
    if asked not in _DIRECTIVES:
        raise invalid_argument(
            f"Unknown {'metadata' if name == 'MetadataDirective' else 'tagging'} directive.",
            "x-amz-metadata-directive"
            if name == "MetadataDirective"
            else "x-amz-tagging-directive",
            asked,
        )
    return asked


def _check_changes(call: Call, source: Source, there: Attributes, bucket: Bucket) -> None:
    """To copy something onto itself is to say something of it anew, be it the same; that it is to
    be encrypted otherwise than it was is said by the bucket as well. Raises InvalidRequest."""
    if (source.bucket, source.key) != (bucket.name, call.members["Key"]):
        return
    said = ("ServerSideEncryption", "StorageClass", "WebsiteRedirectLocation")
    if any(call.members.get(name) for name in said):
        return
    if call.members.get("MetadataDirective") == "REPLACE" or "encryption" in bucket.settings:
        return
    if there.headers.get(ENCRYPTION["ServerSideEncryption"], "AES256") != "AES256":
        return
    raise InvalidRequest(
        "This copy request is illegal because it is trying to copy an object to itself without "
        "changing the object's metadata, storage class, website redirect location or encryption "
        "attributes."
    )


def _attributes(asked: Attributes, there: Attributes, directives: dict[str, str]) -> Attributes:
    """Class, encryption and redirection are said anew by every copy, or are the default."""
    headers, metadata, tags = asked.headers, asked.metadata, there.tags
    if directives["MetadataDirective"] == "COPY":
        own = {STORAGE_CLASS, _PLACE, *ENCRYPTION.values()}
        content = {name for name in CONTENT.values() if name not in own}
        headers = {
            **{name: value for name, value in there.headers.items() if name in content},
            **{name: value for name, value in headers.items() if name in own},
        }
        metadata = there.metadata
    if directives["TaggingDirective"] == "REPLACE":
        tags = asked.tags
    return Attributes("", headers, metadata, tags)


def _digests(call: Call, reading: Reading) -> tuple[str, Checksum | None]:
    """ETag and checksum of the copy, which is one piece whatever its source came as."""
    there = reading.stored.attributes
    asked = kept_algorithm(call.members.get("ChecksumAlgorithm"))
    is_whole = "-" not in there.etag
    kept = there.checksum
    if is_whole and kept is not None and not kept.composite and asked in (None, kept.algorithm):
        return there.etag, kept
    algorithm = asked or (kept.algorithm if kept is not None else None)
    return digests(reading, 0, reading.stored.size, algorithm)
