"""ListParts and ListMultipartUploads.

Both say where to go on even if there is nothing to go on with, as S3 does. Where a page ends with a
common prefix S3 says nothing there, from which no client can go on: here it is the prefix.
"""

from __future__ import annotations

from typing import Any

from inservice.blobs.base import Bucket, Upload
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard, number, owner
from inservice.storage.operations.listing import behind, escaped
from inservice.storage.operations.multipart import upload_of
from inservice.storage.operations.object_headers import checksum_said, quoted, storage_class


@operation("ListParts")
def list_parts(call: Call) -> Answer:
    """The parts that came so far."""
    heard(call, "MaxParts", "PartNumberMarker", "UploadId")
    bucket = bucket_of(call)
    most = number(call, "MaxParts", "max-parts", 1000)
    after = number(call, "PartNumberMarker", "part-number-marker", 0, 2**31 - 1)
    upload = upload_of(call)
    page, truncated = call.blobs.parts(upload, after, most)
    members: dict[str, Any] = {
        "Bucket": bucket.name,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1][0].number if page else 0,
        "MaxParts": most,
        "IsTruncated": truncated and most > 0,
        **_whose(bucket, upload),
    }
    if upload.checksum_algorithm:
        members |= _checksum(upload)
    if page:
        members["Parts"] = [
            {
                "PartNumber": part.number,
                "LastModified": kept_at,
                "ETag": quoted(part.etag),
                "Size": part.size,
                **(checksum_said(part.checksum, typed=False) if upload.checksum_algorithm else {}),
            }
            for part, kept_at in page
        ]
    return Answer(members)


@operation("ListMultipartUploads")
def list_multipart_uploads(call: Call) -> Answer:
    """The uploads under way, by key and then by when they began."""
    heard(
        call,
        *("Delimiter", "EncodingType", "KeyMarker", "MaxUploads", "Prefix", "UploadIdMarker"),
    )
    bucket = bucket_of(call)
    prefix, delimiter = call.members.get("Prefix") or "", call.members.get("Delimiter") or ""
    key = call.members.get("KeyMarker") or ""
    # Beside no key it means nothing, and is told all the same.
    upload_id = (call.members.get("UploadIdMarker") or "") if key else ""
    most = number(call, "MaxUploads", "max-uploads", 1000)
    place = key if upload_id else behind(key, prefix, delimiter)
    page = call.blobs.uploads(bucket.name, prefix, delimiter, (place, upload_id), most)
    members: dict[str, Any] = {
        "Bucket": bucket.name,
        "KeyMarker": escaped(call, key),
        "UploadIdMarker": upload_id,
        "NextKeyMarker": escaped(call, page.last_key),
        "NextUploadIdMarker": page.last_id,
        "MaxUploads": most,
        "IsTruncated": page.truncated,
    }
    if call.members.get("EncodingType"):
        members["EncodingType"] = call.members["EncodingType"]
    if prefix:
        members["Prefix"] = escaped(call, prefix)
    if delimiter:
        members["Delimiter"] = escaped(call, delimiter)
    if page.uploads:
        members["Uploads"] = [_upload(call, bucket, each) for each in page.uploads]
    if page.prefixes:
        members["CommonPrefixes"] = [{"Prefix": escaped(call, each)} for each in page.prefixes]
    return Answer(members)


def _upload(call: Call, bucket: Bucket, upload: Upload) -> dict[str, Any]:
    told = {
        "Key": escaped(call, upload.key),
        "UploadId": upload.id,
        "Initiated": upload.began_at,
        **_whose(bucket, upload),
    }
    return told | _checksum(upload) if upload.checksum_algorithm else told


def _whose(bucket: Bucket, upload: Upload) -> dict[str, Any]:
    """The owner of the bucket owns what is in it, whoever puts it there."""
    whose = owner(bucket)
    return {
        "Initiator": {**whose, "DisplayName": bucket.account},
        "Owner": whose,
        "StorageClass": storage_class(upload.attributes),
    }


def _checksum(upload: Upload) -> dict[str, Any]:
    return {"ChecksumAlgorithm": upload.checksum_algorithm, "ChecksumType": upload.checksum_type}
