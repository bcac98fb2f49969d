"""What operations touch: all of them something, and under the names that AWS's reference has."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.storage import operations as operations
from inservice.storage.audited import is_audited
from inservice.storage.calls import OPERATIONS
from inservice.storage.touches import ASKS_ITSELF, request_keys, touches

BUCKET, OBJECT = "arn:aws:s3:::b", "arn:aws:s3:::b/k"
HERE = {"Bucket": "b", "Key": "k"}


def touched(operation: str, **members: Any) -> list[tuple[str, str]]:
    found = touches(operation, {**HERE, **members}, "us-east-1")
    return [(each.action.removeprefix("s3:"), each.resource) for each in found]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_touches_something(operation: str) -> None:
    members = {**HERE, "CopySource": "from/key"}
    assert operation in ASKS_ITSELF or list(touches(operation, members, "us-east-1"))


@pytest.mark.parametrize(
    ("operation", "members", "expected"),
    [
        ("ListBuckets", {}, [("ListAllMyBuckets", "*")]),
        ("CreateBucket", {}, [("CreateBucket", BUCKET)]),
        (
            "CreateBucket",
            {"ACL": "private", "ObjectOwnership": "ObjectWriter"},
            [
                ("CreateBucket", BUCKET),
                ("PutBucketAcl", BUCKET),
                ("PutBucketOwnershipControls", BUCKET),
            ],
        ),
        ("HeadBucket", {}, [("ListBucket", BUCKET)]),
        ("ListObjectVersions", {}, [("ListBucketVersions", BUCKET)]),
        ("DeleteBucketCors", {}, [("PutBucketCORS", BUCKET)]),
        ("GetBucketEncryption", {}, [("GetEncryptionConfiguration", BUCKET)]),
        ("HeadObject", {}, [("GetObject", OBJECT)]),
        ("GetObject", {"VersionId": "null"}, [("GetObjectVersion", OBJECT)]),
        ("GetObjectAcl", {"VersionId": "null"}, [("GetObjectVersionAcl", OBJECT)]),
        ("GetObjectTagging", {"VersionId": "null"}, [("GetObjectVersionTagging", OBJECT)]),
        ("DeleteObject", {"VersionId": "null"}, [("DeleteObjectVersion", OBJECT)]),
        (
            "GetObjectAttributes",
            {"VersionId": "null"},
            [("GetObjectVersionAttributes", OBJECT), ("GetObjectVersion", OBJECT)],
        ),
        ("PutObject", {}, [("PutObject", OBJECT)]),
        (
            "PutObject",
            {"Tagging": "a=b", "GrantRead": "id=x"},
            [("PutObject", OBJECT), ("PutObjectTagging", OBJECT), ("PutObjectAcl", OBJECT)],
        ),
        (
            "CopyObject",
            {"CopySource": "/from/a%20b/c"},
            [("PutObject", OBJECT), ("GetObject", "arn:aws:s3:::from/a b/c")],
        ),
        (
            "UploadPartCopy",
            {"CopySource": "from/a?versionId=null"},
            [("PutObject", OBJECT), ("GetObjectVersion", "arn:aws:s3:::from/a")],
        ),
        ("AbortMultipartUpload", {}, [("AbortMultipartUpload", OBJECT)]),
        ("ListParts", {}, [("ListMultipartUploadParts", OBJECT)]),
        ("DeleteObjects", {}, []),
    ],
)
def test_actions_are_those_of_aws(
    operation: str, members: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert touched(operation, **members) == expected


def test_the_partition_is_that_of_the_region() -> None:
    (touch,) = touches("HeadBucket", HERE, "cn-north-1")
    assert touch.resource == "arn:aws-cn:s3:::b"


def test_a_listing_says_what_it_lists() -> None:
    members = {**HERE, "Prefix": "a/", "Delimiter": "/", "MaxKeys": 0}
    (touch,) = touches("ListObjectsV2", members, "us-east-1")
    assert touch.context == {"s3:prefix": "a/", "s3:delimiter": "/", "s3:max-keys": "0"}


@pytest.mark.parametrize(
    "tagging", ["Team=red&b=", {"TagSet": [{"Key": "Team", "Value": "red"}, {"Key": "b"}]}]
)
def test_tags_that_are_asked_for_are_condition_keys(tagging: object) -> None:
    operation = "PutObject" if isinstance(tagging, str) else "PutObjectTagging"
    first = next(touches(operation, {**HERE, "Tagging": tagging}, "us-east-1"))
    assert first.context["s3:requestobjecttag/team"] == "red"
    assert first.context["s3:requestobjecttagkeys"] == ("Team", "b")


def test_condition_keys_of_a_request() -> None:
    fields = {b"x-amz-acl": b"private", b"x-amz-content-sha256": b"UNSIGNED-PAYLOAD"}
    keys = request_keys(fields, signed=True, presigned=True, signed_at=10.0, now=12.5)
    assert keys == {
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:authtype": "REST-QUERY-STRING",
        "s3:signatureage": "2500",
        "s3:x-amz-acl": "private",
        "s3:x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    }
    assert request_keys({}, signed=False, presigned=False, signed_at=None, now=1.0) == {}


def test_what_is_done_to_a_bucket_is_audited_and_what_reads_or_is_of_objects_is_not() -> None:
    assert {name for name in OPERATIONS if is_audited(name)} >= {
        *("CreateBucket", "DeleteBucket", "PutBucketPolicy", "DeleteBucketPolicy"),
        *("PutBucketTagging", "PutPublicAccessBlock", "DeleteBucketCors"),
    }
    for name in ("PutObject", "DeleteObject", "DeleteObjects", "GetBucketPolicy", "ListBuckets"):
        assert not is_audited(name)
