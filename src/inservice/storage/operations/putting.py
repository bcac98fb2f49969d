"""PutObject: what was received becomes the object."""

from __future__ import annotations

from dataclasses import replace

from inservice.checksums import ALGORITHMS
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations import asked_conditions
from inservice.storage.operations.asked import bucket_of, heard
from inservice.storage.operations.object_headers import (
    HEARD,
    attributes_of,
    checksum_said,
    encryption_said,
    quoted,
)

CHECKSUMS = tuple(f"Checksum{algorithm}" for algorithm in ALGORITHMS)
"""Members that state a checksum of the body; whoever took the body has held it against them."""


@operation("PutObject")
def put_object(call: Call) -> Answer:
    """Make it the object under its key. On an error it is as if it never came."""
    assert call.received is not None
    received = call.received
    try:
        heard(call, *HEARD, *CHECKSUMS, "ContentLength", "IfMatch", "IfNoneMatch")
        bucket = bucket_of(call)
        attributes = replace(
            attributes_of(call, bucket), etag=received.md5, checksum=received.checksum
        )
        when = asked_conditions.of_write(call.members)
        key = call.members["Key"]
        call.blobs.keep(bucket.name, key, received.incoming, attributes, when)
    finally:
        received.incoming.discard()
    return Answer(
        {
            "ETag": quoted(received.md5),
            **checksum_said(received.checksum),
            **encryption_said(attributes, context=True),
        }
    )
