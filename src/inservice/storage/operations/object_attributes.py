"""GetObjectAttributes: what is known of an object without its data."""

from __future__ import annotations

from typing import Any

from inservice.blobs.base import StoredObject
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard, number, versioned
from inservice.storage.operations.object_headers import checksum_said, storage_class
from inservice.storage.operations.reading import found, part_checksum
from inservice.storage.operations.refusals import invalid_argument

_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


@operation("GetObjectAttributes")
def get_object_attributes(call: Call) -> Answer:
    """Those that are asked for: ETag, checksum, parts, storage class, size."""
    heard(call, "VersionId", "MaxParts", "PartNumberMarker", "ObjectAttributes")
    bucket = bucket_of(call)
    version = versioned(call)
    asked = call.members.get("ObjectAttributes") or []
    if not asked or not set(asked) <= set(_ATTRIBUTES):
        raise invalid_argument(
            "Invalid attribute name specified.", "x-amz-object-attributes", ",".join(asked)
        )
    stored = found(call, bucket.name, call.members["Key"])
    attributes = stored.attributes
    known: dict[str, Any] = {
        "ETag": attributes.etag,  # the one place where S3 tells it without quotes
        "StorageClass": storage_class(attributes),
        "ObjectSize": stored.size,
    }
    if attributes.checksum is not None:
        whole = checksum_said(attributes.checksum)
        value = f"Checksum{attributes.checksum.algorithm}"
        known["Checksum"] = {**whole, value: whole[value].partition("-")[0]}
    if stored.parts and "ObjectParts" in asked:
        known["ObjectParts"] = _parts(call, stored)
    members = {name: known[name] for name in asked if name in known}
    members["LastModified"] = stored.modified_at
    return Answer({**members, "VersionId": version} if version else members)


def _parts(call: Call, stored: StoredObject) -> dict[str, Any]:
    """How many; and which, of an object whose checksum is made of theirs."""
    parts: dict[str, Any] = {"TotalPartsCount": len(stored.parts)}
    checksum = stored.attributes.checksum
    if checksum is None or not checksum.composite:
        return parts
    most = number(call, "MaxParts", "max-parts", 1000)
    after = call.members.get("PartNumberMarker") or 0
    left = [part for part in stored.parts if part.number > after]
    page = left[:most]
    parts |= {
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": most,
        "IsTruncated": len(left) > len(page),
    }
    if page:
        parts["Parts"] = [
            {"PartNumber": part.number, "Size": part.size, **part_checksum(stored, part)}
            for part in page
        ]
    return parts
