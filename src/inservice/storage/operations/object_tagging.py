"""The tags of an object that is there."""

from __future__ import annotations

from typing import Any

from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard, versioned
from inservice.storage.operations.reading import found
from inservice.storage.operations.tags import object_tags
from inservice.values import tags_told


@operation("GetObjectTagging")
def get_object_tagging(call: Call) -> Answer:
    """Its tags; none is a set of tags as well."""
    heard(call, "VersionId")
    bucket = bucket_of(call)
    said = _version(call)
    stored = found(call, bucket.name, call.members["Key"])
    return Answer({"TagSet": tags_told(stored.attributes.tags), **said})


@operation("PutObjectTagging")
def put_object_tagging(call: Call) -> Answer:
    """All of them at once."""
    heard(call, "VersionId", "Tagging")
    bucket = bucket_of(call)
    said = _version(call)
    tags = object_tags((call.members.get("Tagging") or {}).get("TagSet") or [])
    call.blobs.set_tags(bucket.name, call.members["Key"], tags)
    return Answer(said)


@operation("DeleteObjectTagging")
def delete_object_tagging(call: Call) -> Answer:
    """Have none."""
    heard(call, "VersionId")
    bucket = bucket_of(call)
    said = _version(call)
    call.blobs.set_tags(bucket.name, call.members["Key"], {})
    return Answer(said)


def _version(call: Call) -> dict[str, Any]:
    version = versioned(call)
    return {"VersionId": version} if version else {}
