"""What an operation of S3 touches: IAM's actions, the ARNs they are done to, and the condition keys
that say how.

S3 names its actions after what is done and not after the operation that does it: HeadObject is
`s3:GetObject`, ListObjects is `s3:ListBucket`. Most operations touch one thing; a copy also reads,
and who writes an object with tags or with an ACL has to be allowed to set those as well. Whoever
calls must be allowed all of it.

What an operation only finds out while it works, as each key of DeleteObjects, is asked by it
(`calls.Call.may`). No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from inservice.identity.policies.variables import ContextValue
from inservice.objects.addressing import copied_from
from inservice.partitions import partition_of

Members = Mapping[str, Any]

OF_BUCKET: Final[Mapping[str, str]] = {
    "DeleteBucket": "DeleteBucket",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketAbac": "GetBucketAbac",
    "PutBucketAbac": "PutBucketAbac",
    "GetBucketAcl": "GetBucketAcl",
    "PutBucketAcl": "PutBucketAcl",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketLogging": "GetBucketLogging",
    "PutBucketLogging": "PutBucketLogging",
    "GetBucketNotification": "GetBucketNotification",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotification": "PutBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketOwnershipControls": "GetBucketOwnershipControls",
    "PutBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetBucketPolicy": "GetBucketPolicy",
    "PutBucketPolicy": "PutBucketPolicy",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "GetBucketPolicyStatus": "GetBucketPolicyStatus",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetBucketRequestPayment": "GetBucketRequestPayment",
    "PutBucketRequestPayment": "PutBucketRequestPayment",
    "GetBucketTagging": "GetBucketTagging",
    "PutBucketTagging": "PutBucketTagging",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketVersioning": "GetBucketVersioning",
    "PutBucketVersioning": "PutBucketVersioning",
    "GetBucketWebsite": "GetBucketWebsite",
    "PutBucketWebsite": "PutBucketWebsite",
    "DeleteBucketWebsite": "DeleteBucketWebsite",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    **{
        f"{verb}Bucket{kind}Configuration{ending}": f"{right}{kind}Configuration"
        for kind in ("Analytics", "Inventory", "Metrics", "IntelligentTiering")
        for verb, ending, right in (
            ("Get", "", "Get"),
            ("List", "s", "Get"),
            ("Put", "", "Put"),
            ("Delete", "", "Put"),
        )
    },
}
"""Operations on a bucket, and the action that each of them is."""

OF_OBJECT: Final[Mapping[str, str]] = {
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObjectAttributes",
    "GetObjectTorrent": "GetObject",
    "SelectObjectContent": "GetObject",
    "GetObjectAcl": "GetObjectAcl",
    "PutObjectAcl": "PutObjectAcl",
    "GetObjectTagging": "GetObjectTagging",
    "PutObjectTagging": "PutObjectTagging",
    "DeleteObjectTagging": "DeleteObjectTagging",
    "GetObjectLegalHold": "GetObjectLegalHold",
    "PutObjectLegalHold": "PutObjectLegalHold",
    "GetObjectRetention": "GetObjectRetention",
    "PutObjectRetention": "PutObjectRetention",
    "RestoreObject": "RestoreObject",
    "PutObject": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "AbortMultipartUpload": "AbortMultipartUpload",
    "ListParts": "ListMultipartUploadParts",
    "DeleteObject": "DeleteObject",
}
"""Operations on an object, and the action that each of them is, beside what `touches` adds."""

_OF_VERSIONS: Final = frozenset(
    (
        *("GetObject", "GetObjectAcl", "GetObjectTagging", "GetObjectAttributes"),
        *("PutObjectAcl", "PutObjectTagging", "DeleteObject", "DeleteObjectTagging"),
    )
)
"""Actions that have another name where a version is named."""

ASKS_ITSELF: Final = frozenset(("DeleteObjects",))
"""Operations that touch nothing but what they ask about while they work, each key by itself."""

_LISTING: Final = {
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "MaxKeys": "s3:max-keys",
}

_HEADERS: Final = (
    *("x-amz-acl", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp"),
    *("x-amz-grant-write-acp", "x-amz-grant-full-control", "x-amz-copy-source"),
    *("x-amz-metadata-directive", "x-amz-server-side-encryption"),
    *("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-storage-class"),
    *("x-amz-server-side-encryption-customer-algorithm", "x-amz-website-redirect-location"),
    *("x-amz-content-sha256", "x-amz-object-ownership", "if-match", "if-none-match"),
)
"""Headers that are condition keys, with `s3:` before them."""

_GRANTS: Final = ("ACL", *(f"Grant{kind}" for kind in ("FullControl", "Read", "ReadACP", "Write")))


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that is done to one resource."""

    action: str  # s3:PutObject
    resource: str  # ARN; * where it is nothing in particular
    bucket: str = ""  # whose policy has a say, and whose account it is of
    key: str = ""  # of an object
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def touches(operation: str, members: Members, region: str) -> Iterator[Touch]:
    """All that an operation touches, by what is known before it works."""
    arn = f"arn:{partition_of(region)}:s3:::"
    bucket, key = members.get("Bucket") or "", members.get("Key") or ""
    if operation == "ListBuckets":
        yield Touch("s3:ListAllMyBuckets", "*")
    elif operation == "CreateBucket":
        yield from _created(arn + bucket, members)
    elif operation in OF_BUCKET:
        yield Touch(f"s3:{OF_BUCKET[operation]}", arn + bucket, bucket, "", _listing(members))
    elif operation in OF_OBJECT:
        yield from _object(operation, members, arn, bucket, key)


def each_key(members: Members, region: str) -> Iterator[Touch]:
    """What DeleteObjects will ask about."""
    bucket = members.get("Bucket") or ""
    for each in (members.get("Delete") or {}).get("Objects") or ():
        key = each.get("Key") or ""
        arn = f"arn:{partition_of(region)}:s3:::{bucket}/{key}"
        yield Touch("s3:DeleteObject", arn, bucket, key)


def _created(arn: str, members: Members) -> Iterator[Touch]:
    """A bucket that is not there yet: nobody else's policy has a say."""
    place = (members.get("CreateBucketConfiguration") or {}).get("LocationConstraint")
    context = {"s3:locationconstraint": place} if place else {}
    yield Touch("s3:CreateBucket", arn, context=context)
    if any(members.get(name) for name in (*_GRANTS, "GrantWriteACP")):
        yield Touch("s3:PutBucketAcl", arn)
    if members.get("ObjectOwnership"):
        yield Touch("s3:PutBucketOwnershipControls", arn)


def _object(operation: str, members: Members, arn: str, bucket: str, key: str) -> Iterator[Touch]:
    resource = f"{arn}{bucket}/{key}"
    context = _tagging(members)
    if version := members.get("VersionId"):
        context["s3:versionid"] = str(version)

    def touch(action: str) -> Touch:
        named = f"{action}Version" if version and action in _OF_VERSIONS else action
        return Touch(f"s3:{_spelled(named)}", resource, bucket, key, context)

    yield touch(OF_OBJECT[operation])
    if operation == "GetObjectAttributes":
        yield touch("GetObject")
    if operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        if members.get("Tagging"):
            yield touch("PutObjectTagging")
        if any(members.get(name) for name in (*_GRANTS, "GrantWriteACP")):
            yield touch("PutObjectAcl")
    if operation in ("CopyObject", "UploadPartCopy"):
        yield _source(members.get("CopySource"), arn)


def _source(said: object, arn: str) -> Touch:
    """What a copy reads."""
    bucket, key, version = copied_from(said if isinstance(said, str) else "")
    if not version:
        return Touch("s3:GetObject", f"{arn}{bucket}/{key}", bucket, key)
    context = {"s3:versionid": version}
    return Touch("s3:GetObjectVersion", f"{arn}{bucket}/{key}", bucket, key, context)


def _spelled(action: str) -> str:
    """The version is not at the end of each name that has one."""
    for kind in ("Acl", "Tagging", "Attributes"):
        if action.endswith(f"{kind}Version"):
            return action.replace(f"{kind}Version", f"Version{kind}")
    return action


def _listing(members: Members) -> dict[str, ContextValue]:
    given = ((key, members.get(name)) for name, key in _LISTING.items())
    return {key: str(value) for key, value in given if value is not None}


def _tagging(members: Members) -> dict[str, ContextValue]:
    """Tags that are asked for: as a header of an object that is made, or as a document."""
    said = members.get("Tagging")
    tags: dict[str, str] = {}
    if isinstance(said, str):
        tags = dict(parse_qsl(said, keep_blank_values=True))
    elif isinstance(said, Mapping):
        for tag in said.get("TagSet") or ():
            tags[str(tag.get("Key"))] = str(tag.get("Value"))
    if not tags:
        return {}
    context: dict[str, ContextValue] = {
        f"s3:requestobjecttag/{key.lower()}": value for key, value in tags.items()
    }
    context["s3:requestobjecttagkeys"] = tuple(tags)
    return context


def request_keys(
    fields: Mapping[bytes, bytes],
    *,
    signed: bool,
    presigned: bool,
    signed_at: float | None,
    now: float,
) -> dict[str, ContextValue]:
    """S3's condition keys of the request as such. `signed_at` is when a presigned one was signed;
    None of any other."""
    keys: dict[str, ContextValue] = {}
    if signed:
        keys["s3:signatureversion"] = "AWS4-HMAC-SHA256"
        keys["s3:authtype"] = "REST-QUERY-STRING" if presigned else "REST-HEADER"
    if signed_at is not None:
        keys["s3:signatureage"] = str(max(0, int((now - signed_at) * 1000)))
    for name in _HEADERS:
        value = fields.get(name.encode())
        if value is not None:
            keys[f"s3:{name}"] = value.decode("utf-8", "replace")
    return keys
