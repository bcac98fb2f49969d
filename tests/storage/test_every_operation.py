"""What holds for all of S3's operations that are built."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader

from inservice.storage.calls import OPERATIONS
from tests.storage.asking import OTHER, S3, with_bucket

MODEL = Loader().load_service_model("s3", "service-2")
OF_BUCKETS = sorted(OPERATIONS.keys() - {"CreateBucket", "ListBuckets"})

WITHOUT_EFFECT = {
    "Bucket",
    "Key",
    "ExpectedBucketOwner",
    "ContentMD5",
    "ChecksumAlgorithm",
    "RequestPayer",
    "Body",
}
NEEDED: dict[str, Any] = {
    "Key": "key",
    "UploadId": "upload",
    "PartNumber": 1,
    "CopySource": "bucket/key",
    "Id": "id",
    "ObjectAttributes": ["ETag"],
}


def members_of(name: str) -> dict[str, Any]:
    """What of its input an operation cannot do without."""
    members = MODEL["shapes"][MODEL["operations"][name]["input"]["shape"]]["members"]
    return {member: value for member, value in NEEDED.items() if member in members}


def test_each_is_one_of_aws() -> None:
    assert OPERATIONS.keys() <= MODEL["operations"].keys()
    assert len(OPERATIONS) > 90


@pytest.mark.parametrize("name", OF_BUCKETS)
def test_a_bucket_that_is_not_there(name: str) -> None:
    s3 = with_bucket("elsewhere")
    if name in ("PutObject", "UploadPart"):
        s3.ask("CreateBucket", Bucket="bucket")
        call = {"Bucket": "bucket", **members_of(name)}
        answered = s3.refused if name == "UploadPart" else s3.ask
        assert answered(name, b"", **call)  # its data went to a bucket that was there
        return
    error = s3.refused(name, Bucket="bucket", **members_of(name))
    assert (error.code, error.status) == ("NoSuchBucket", 404)


@pytest.mark.parametrize("name", OF_BUCKETS)
def test_a_bucket_of_another_account_than_was_said(name: str) -> None:
    s3 = with_bucket()
    s3.put("bucket", "key")
    ask = {"Bucket": "bucket", **members_of(name)}
    error = s3.refused(name, **ask, ExpectedBucketOwner=OTHER)
    assert (error.code, error.status) == ("AccessDenied", 403)
    error = s3.refused(name, **ask, ExpectedBucketOwner="anybody")
    assert (error.code, error.status) == ("InvalidBucketOwnerAWSAccountID", 400)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_nothing_is_accepted_and_ignored(name: str) -> None:
    """A member that an operation does not hear is refused by its name."""
    s3 = with_bucket()
    s3.put("bucket", "key")
    error = s3.refused(name, **{"Bucket": "bucket", **members_of(name)}, NeverHeardOf="x")
    assert error.code in ("NotImplemented", "InvalidArgument")
    if not name.startswith(("PutBucket", "PutObjectLock")) or "NeverHeardOf" in error.message:
        assert "NeverHeardOf" in error.message


def test_the_customers_key_is_refused_wherever_it_can_be_said() -> None:
    said = 0
    for name in sorted(OPERATIONS):
        input_shape = MODEL["operations"][name].get("input", {}).get("shape")
        for member in MODEL["shapes"].get(input_shape, {}).get("members", {}):
            if "SSECustomer" in member:
                s3 = S3()
                s3.ask("CreateBucket", Bucket="bucket")
                error = s3.refused(name, Bucket="bucket", **members_of(name), **{member: "x"})
                assert error.code == "NotImplemented"
                assert "SSE-C" in error.message
                said += 1
    assert said > 20
