"""ListObjects, ListObjectsV2 and ListObjectVersions.

With `encoding-type=url` whatever may hold any character comes escaped: keys, and what the client
said and is told again.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

from inservice.blobs.base import Bucket, Page, StoredObject
from inservice.objects.listing import rolled_up
from inservice.objects.names import text_bytes
from inservice.storage.calls import Answer, Call, operation
from inservice.storage.operations.asked import bucket_of, heard, number, owner
from inservice.storage.operations.object_headers import quoted, storage_class
from inservice.storage.operations.refusals import invalid_argument
from inservice.storage.operations.tokens import said_by, token_of

_HEARD = ("Delimiter", "EncodingType", "MaxKeys", "Prefix", "OptionalObjectAttributes")


@operation("ListObjectsV2")
def list_objects_v2(call: Call) -> Answer:
    """A page of keys, continued by a token."""
    heard(call, *_HEARD, "ContinuationToken", "FetchOwner", "StartAfter")
    bucket = bucket_of(call)
    token, start = call.members.get("ContinuationToken"), call.members.get("StartAfter")
    after = (start or "") if token is None else said_by(token)
    page, said = _page(call, bucket, after)
    said["KeyCount"] = len(page.objects) + len(page.prefixes)
    if token is not None:
        said["ContinuationToken"] = token
    elif start:
        said["StartAfter"] = escaped(call, start)
    if page.truncated:
        said["NextContinuationToken"] = token_of(page.last)
    whose = owner(bucket) if call.members.get("FetchOwner") else None
    return Answer(_told(call, said, page, whose))


@operation("ListObjects")
def list_objects(call: Call) -> Answer:
    """A page, continued by a key. S3 says by which only where there is a delimiter: otherwise it
    is the last one of the page."""
    heard(call, *_HEARD, "Marker")
    bucket = bucket_of(call)
    marker = call.members.get("Marker") or ""
    page, said = _page(call, bucket, marker)
    said["Marker"] = escaped(call, marker)
    if page.truncated and call.members.get("Delimiter"):
        said["NextMarker"] = escaped(call, page.last)
    return Answer(_told(call, said, page, owner(bucket)))


@operation("ListObjectVersions")
def list_object_versions(call: Call) -> Answer:
    """Every object has one version, called "null", and it is the latest."""
    heard(call, *_HEARD, "KeyMarker", "VersionIdMarker")
    bucket = bucket_of(call)
    marker = call.members.get("KeyMarker") or ""
    version = call.members.get("VersionIdMarker") or ""
    if version and not marker:
        raise invalid_argument(
            "A version-id marker cannot be specified without a key marker.",
            "version-id-marker",
            version,
        )
    page, said = _page(call, bucket, marker)
    said |= {"KeyMarker": escaped(call, marker), "VersionIdMarker": version}
    if page.truncated:
        said["NextKeyMarker"] = escaped(call, page.last)
        if not page.prefixes or page.prefixes[-1] != page.last:
            said["NextVersionIdMarker"] = "null"
    told = _told(call, said, page, owner(bucket))
    if contents := told.pop("Contents", None):
        told["Versions"] = [{**each, "VersionId": "null", "IsLatest": True} for each in contents]
    return Answer(told)


def escaped(call: Call, text: str) -> str:
    """What may hold any character, as the client wants to have it. Raises InvalidArgument."""
    encoding = call.members.get("EncodingType")
    if encoding is None:
        return text
    if encoding != "url":
        raise invalid_argument(
            "Invalid Encoding Method specified in Request", "encoding-type", encoding
        )
    return quote_plus(text, safe="/*")


def behind(marker: str, prefix: str, delimiter: str) -> str:
    """What a page begins behind that follows a marker of the client's own: a common prefix that the
    marker is rolled up in lies before it, and is not told again."""
    rolled = rolled_up(text_bytes(marker), text_bytes(prefix), text_bytes(delimiter))
    return rolled.decode() if marker.startswith(prefix) and rolled else marker


def _page(call: Call, bucket: Bucket, after: str) -> tuple[Page, dict[str, Any]]:
    """The page, and what is said of every one."""
    prefix, delimiter = call.members.get("Prefix") or "", call.members.get("Delimiter") or ""
    most = number(call, "MaxKeys", "max-keys", 1000)
    said: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": escaped(call, prefix),
        "MaxKeys": most,
    }
    if delimiter:
        said["Delimiter"] = escaped(call, delimiter)
    if call.members.get("EncodingType"):
        said["EncodingType"] = call.members["EncodingType"]
    page = call.blobs.page(bucket.name, prefix, delimiter, behind(after, prefix, delimiter), most)
    said["IsTruncated"] = page.truncated
    return page, said


def _told(
    call: Call, said: dict[str, Any], page: Page, whose: dict[str, Any] | None
) -> dict[str, Any]:
    if page.objects:
        said["Contents"] = [_object(call, each, whose) for each in page.objects]
    if page.prefixes:
        said["CommonPrefixes"] = [{"Prefix": escaped(call, prefix)} for prefix in page.prefixes]
    return said


def _object(call: Call, stored: StoredObject, whose: dict[str, Any] | None) -> dict[str, Any]:
    attributes = stored.attributes
    told: dict[str, Any] = {
        "Key": escaped(call, stored.key),
        "LastModified": stored.modified_at,
        "ETag": quoted(attributes.etag),
        "Size": stored.size,
        "StorageClass": storage_class(attributes),
    }
    if attributes.checksum is not None:
        told["ChecksumAlgorithm"] = [attributes.checksum.algorithm]
        told["ChecksumType"] = "COMPOSITE" if attributes.checksum.composite else "FULL_OBJECT"
    if whose is not None:
        told["Owner"] = whose
    return told
