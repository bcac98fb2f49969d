"""Locks on objects, in buckets that have none: S3 refuses to tell of them as it refuses to set
them."""

from __future__ import annotations

from inservice.s3_errors import InvalidRequest
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard, versioned
from inservice.storage.operations.reading import found

_MEMBERS = ("VersionId", "LegalHold", "Retention", "BypassGovernanceRetention")


def _no_lock(call: Call) -> Answer:
    """Refused as AWS does: the bucket has no locks."""
    heard(call, *_MEMBERS)
    bucket = bucket_of(call)
    versioned(call)
    found(call, bucket.name, call.members["Key"])
    raise InvalidRequest("Bucket is missing Object Lock Configuration")


for _name in (
    *("GetObjectLegalHold", "PutObjectLegalHold"),
    *("GetObjectRetention", "PutObjectRetention"),
):
    operation(_name)(_no_lock)
