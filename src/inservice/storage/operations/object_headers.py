"""What is kept of an object beside its data: read from the members of a request, and said back in
those of an answer.

What the client sent comes back as it was sent, under the name of the header; members that mean
nothing here are refused where an operation hears them not.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from inservice.blobs.base import Attributes, Bucket, Checksum, StoredObject
from inservice.checksums import ALGORITHMS
from inservice.errors import NotImplementedYet
from inservice.objects.names import key_bytes
from inservice.s3_errors import InvalidRequest, InvalidStorageClass, MetadataTooLarge
from inservice.storage.calls import Call
from inservice.storage.operations.bucket_settings import ENCRYPTIONS
from inservice.storage.operations.refusals import (
    AccessControlListNotSupported,
    InvalidEncryptionAlgorithmError,
    InvalidRedirectLocation,
    invalid_argument,
)
from inservice.storage.operations.settings import setting
from inservice.storage.operations.tags import header_tags

CONTENT = {
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "Expires": "Expires",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}
"""Members that say what an object is → the header that is kept."""

ENCRYPTION = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
}
STORAGE_CLASS = "x-amz-storage-class"

GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
LOCKS = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus")
HEARD = (
    *(*CONTENT, *ENCRYPTION, *GRANTS, *LOCKS),
    *("ACL", "Metadata", "StorageClass", "Tagging"),
)
"""What whoever makes an object hears."""

_METADATA_SIZE_MAX = 2048
_CLASSES = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING")
_CLASSES_READ_AT_ONCE = (*_CLASSES, "GLACIER_IR")
_CLASSES_RESTORED = ("GLACIER", "DEEP_ARCHIVE")
_CANNED = (
    *("private", "public-read", "public-read-write", "authenticated-read"),
    *("aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"),
)
_CANNED_TAKEN = ("private", "bucket-owner-full-control")
_DEFAULT_TYPE = "binary/octet-stream"


def attributes_of(call: Call, bucket: Bucket) -> Attributes:
    """What is kept of the object that a request makes, but its ETag and checksum.

    Raises InvalidArgument, InvalidStorageClass, MetadataTooLarge, KeyTooLongError …
    """
    key_bytes(call.members["Key"])  # refuses one that cannot be
    check_access(call.members)
    tagging = call.members.get("Tagging")
    return Attributes(
        etag="",
        headers={**content_of(call.members), **encryption_of(call, bucket), **class_of(call)},
        metadata=metadata_of(call.members),
        tags=header_tags(tagging) if tagging else {},
    )


def check_access(members: Mapping[str, Any]) -> None:
    """Refuse an ACL that gives anybody anything, and a lock: there are none in any bucket."""
    acl = members.get("ACL")
    if acl is not None and acl not in _CANNED:
        raise invalid_argument("", "x-amz-acl", acl)
    grants = any(members.get(grant) for grant in GRANTS)
    if acl is not None and grants:
        raise InvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
    if grants or acl not in (None, *_CANNED_TAKEN):
        raise AccessControlListNotSupported
    if any(members.get(lock) for lock in LOCKS):
        raise InvalidRequest("Bucket is missing Object Lock Configuration")


def content_of(members: Mapping[str, Any]) -> dict[str, str]:
    """The headers that say what an object is."""
    headers: dict[str, str] = {}
    for member, name in CONTENT.items():
        value = members.get(member)
        if value is None or value == "":
            continue
        headers[name] = said_date(value) if member == "Expires" else str(value)
    headers.setdefault("Content-Type", _DEFAULT_TYPE)
    # How the body came over the wire is no property of the object.
    codings = [each.strip() for each in headers.pop("Content-Encoding", "").split(",")]
    if kept := ",".join(each for each in codings if each not in ("", "aws-chunked")):
        headers["Content-Encoding"] = kept
    place = headers.get("x-amz-website-redirect-location")
    if place is not None and not place.startswith(("/", "http://", "https://")):
        raise InvalidRedirectLocation
    return headers


def said_date(value: float | str) -> str:
    """A date of HTTP; one that is none as it was sent, which is how S3 keeps `Expires`."""
    return value if isinstance(value, str) else formatdate(value, usegmt=True)


def encryption_of(call: Call, bucket: Bucket) -> dict[str, str]:
    """What it is said to be encrypted with: by the request, else by the bucket's default."""
    said = {name: call.members.get(name) for name in ENCRYPTION}
    algorithm = said["ServerSideEncryption"]
    if algorithm is not None and algorithm not in ENCRYPTIONS:
        raise InvalidEncryptionAlgorithmError(
            ArgumentName="x-amz-server-side-encryption", ArgumentValue=algorithm
        )
    keyed = said["SSEKMSKeyId"] or said["SSEKMSEncryptionContext"]
    if keyed and algorithm in (None, "AES256"):
        raise invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header "
            "x-amz-server-side-encryption : aws:kms",
            "x-amz-server-side-encryption",
            algorithm,
        )
    if algorithm is None:
        rule = (setting(bucket, "encryption") or [{}])[0]
        default = rule.get("ApplyServerSideEncryptionByDefault") or {}
        said["ServerSideEncryption"] = algorithm = default.get("SSEAlgorithm", "AES256")
        said["SSEKMSKeyId"] = default.get("KMSMasterKeyID")
        if said["BucketKeyEnabled"] is None:
            said["BucketKeyEnabled"] = rule.get("BucketKeyEnabled")
    if not said["BucketKeyEnabled"] or algorithm == "AES256":
        said["BucketKeyEnabled"] = None
    return {
        ENCRYPTION[name]: "true" if value is True else str(value)
        for name, value in said.items()
        if value
    }


def class_of(call: Call) -> dict[str, str]:
    """The storage class, which is kept and said back: all data lies in one place here."""
    asked = call.members.get("StorageClass")
    if asked in (None, _CLASSES[0]):
        return {}
    if asked in _CLASSES_RESTORED:
        raise NotImplementedYet(
            f"StorageClass {asked}", "what is archived has to be restored first"
        )
    if asked not in _CLASSES_READ_AT_ONCE:
        raise InvalidStorageClass(StorageClassRequested=asked)
    return {STORAGE_CLASS: asked}


def metadata_of(members: Mapping[str, Any]) -> dict[str, str]:
    """The user's own metadata. Raises MetadataTooLarge."""
    metadata = {key.lower(): value for key, value in (members.get("Metadata") or {}).items()}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > _METADATA_SIZE_MAX:
        raise MetadataTooLarge(Size=size, MaxSizeAllowed=_METADATA_SIZE_MAX)
    return metadata


def kept_algorithm(asked: str | None) -> str | None:
    """A checksum that is asked for by its name. Raises InvalidRequest."""
    if asked is None:
        return None
    if asked.startswith("XXHASH"):
        raise NotImplementedYet(f"the checksum {asked}")
    if asked not in ALGORITHMS:
        raise InvalidRequest(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            "types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    return asked


# ── said back ────────────────────────────────────────────────────────────────────────────────────


def quoted(etag: str) -> str:
    """An ETag as every answer but GetObjectAttributes has it."""
    return f'"{etag}"'


def encryption_said(attributes: Attributes, *, context: bool = False) -> dict[str, Any]:
    """The members that tell of encryption; its context only to who just said it."""
    said: dict[str, Any] = {}
    for member, name in ENCRYPTION.items():
        value = attributes.headers.get(name)
        if value is not None and (context or member != "SSEKMSEncryptionContext"):
            said[member] = True if member == "BucketKeyEnabled" else value
    said.setdefault("ServerSideEncryption", "AES256")
    return said


def checksum_said(checksum: Checksum | None, *, typed: bool = True) -> dict[str, Any]:
    """The members that tell a checksum."""
    if checksum is None:
        return {}
    said: dict[str, Any] = {f"Checksum{checksum.algorithm}": checksum.value}
    if typed:
        said["ChecksumType"] = "COMPOSITE" if checksum.composite else "FULL_OBJECT"
    return said


def storage_class(attributes: Attributes) -> str:
    """The class that an object was put with."""
    return attributes.headers.get(STORAGE_CLASS, _CLASSES[0])


def object_said(stored: StoredObject) -> dict[str, Any]:
    """The members by which HeadObject and GetObject tell of an object, whatever part is asked for;
    its length and checksum are for them to say. `Expires` is told as a header, as it was sent."""
    attributes = stored.attributes
    said: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": stored.modified_at,
        "ETag": quoted(attributes.etag),
        "Metadata": dict(attributes.metadata),
        **encryption_said(attributes),
    }
    for member, name in CONTENT.items():
        if name in attributes.headers and member != "Expires":
            said[member] = attributes.headers[name]
    if STORAGE_CLASS in attributes.headers:
        said["StorageClass"] = attributes.headers[STORAGE_CLASS]
    if attributes.tags:
        said["TagCount"] = len(attributes.tags)
    return said
