"""What boto3 makes of the answers: every operation over the wire, by its serializer and parser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.storage.calls import OPERATIONS

from ..gateway.rig import KEY
from .hosted import hosted
from .rig import Storage
from .test_buckets import BLOCK

TEN = b"0123456789"
CONTROL = "a\x01b"
ODD_KEYS = (
    "a//b",
    "..",
    "../x",
    "a b+c&d=e?f#g%h",
    "ü/é",
    "\U0001f600",
    "new\nline",
    "a\x01b",
    "/",
)


@pytest.fixture(scope="module")
def rig() -> Iterator[Storage]:
    with hosted() as served:
        yield served


@pytest.fixture
def s3(rig: Storage) -> Iterator[Any]:
    client = rig.boto()
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = f"bucket-{abs(hash(request.node.nodeid)):x}"[:40]
    s3.create_bucket(Bucket=name)
    return name


def refused(function: Any, **members: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        function(**members)
    error: dict[str, Any] = dict(caught.value.response["Error"])
    error["status"] = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return error


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_what_terraform_reads_of_a_plain_bucket(s3: Any, bucket: str) -> None:
    ask = {"Bucket": bucket}
    head = s3.head_bucket(**ask)
    assert head["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/xml"
    assert told(head) == {
        "BucketRegion": "us-east-1",
        "BucketArn": f"arn:aws:s3:::{bucket}",
        "AccessPointAlias": False,
    }
    assert s3.get_bucket_location(**ask)["LocationConstraint"] is None
    for method in (
        *("get_bucket_versioning", "get_bucket_accelerate_configuration"),
        *("get_bucket_logging", "get_bucket_notification_configuration"),
    ):
        assert told(getattr(s3, method)(**ask)) == {}
    assert s3.get_bucket_request_payment(**ask)["Payer"] == "BucketOwner"
    rules = s3.get_bucket_encryption(**ask)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    controls = s3.get_bucket_ownership_controls(**ask)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    block = s3.get_public_access_block(**ask)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(BLOCK, True)
    acl = s3.get_bucket_acl(**ask)
    assert acl["Grants"][0]["Grantee"] == {"Type": "CanonicalUser", "ID": acl["Owner"]["ID"]}
    for method, code in (
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_policy", "NoSuchBucketPolicy"),
    ):
        error = refused(getattr(s3, method), **ask)
        assert (error["Code"], error["status"], error["BucketName"]) == (code, 404, bucket)
    for kind in ("analytics", "inventory", "metrics", "intelligent_tiering"):
        listed = getattr(s3, f"list_bucket_{kind}_configurations")(**ask)
        assert told(listed) == {"IsTruncated": False}


def test_settings_come_back_as_they_were_put(s3: Any, bucket: str) -> None:
    ask = {"Bucket": bucket}
    tags = [{"Key": "team", "Value": "ml + co"}]
    s3.put_bucket_tagging(**ask, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(**ask)["TagSet"] == tags
    rule = {
        "ID": "r",
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://a.example", "*"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 5,
    }
    s3.put_bucket_cors(**ask, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(**ask)["CORSRules"] == [rule]
    s3.put_bucket_versioning(**ask, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_versioning(**ask)["Status"] == "Suspended"
    kms = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"},
        "BucketKeyEnabled": True,
    }
    s3.put_bucket_encryption(**ask, ServerSideEncryptionConfiguration={"Rules": [kms]})
    said = s3.get_bucket_encryption(**ask)["ServerSideEncryptionConfiguration"]["Rules"]
    assert said == [kms]
    acl = s3.get_bucket_acl(**ask)
    s3.put_bucket_acl(**ask, AccessControlPolicy={"Owner": acl["Owner"], "Grants": acl["Grants"]})
    block = dict.fromkeys(BLOCK, False)
    s3.put_public_access_block(**ask, PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(**ask)["PublicAccessBlockConfiguration"] == block
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(**ask, Policy=text)
    assert s3.get_bucket_policy(**ask)["Policy"] == text
    assert s3.get_bucket_policy_status(**ask)["PolicyStatus"] == {"IsPublic": True}


def test_a_policy_lets_anybody_in_only_while_that_is_not_blocked(
    rig: Storage, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=TEN)
    url = f"http://127.0.0.1:{rig.gateway.port}/{bucket}/key"
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Bucket": bucket, "Policy": json.dumps({"Statement": statement})}
    assert refused(s3.put_bucket_policy, **policy)["Code"] == "AccessDenied"
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(**policy)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == TEN


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_text_is_a_key(s3: Any, bucket: str, key: str) -> None:
    at = {"Bucket": bucket, "Key": key}
    s3.put_object(**at, Body=TEN, Metadata={"a": "b"}, Tagging="t=1")
    assert s3.get_object(**at)["Body"].read() == TEN
    assert s3.head_object(**at)["Metadata"] == {"a": "b"}
    assert s3.get_object_tagging(**at)["TagSet"] == [{"Key": "t", "Value": "1"}]
    for method in ("list_objects", "list_objects_v2"):
        assert [each["Key"] for each in getattr(s3, method)(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == TEN
    begun = s3.create_multipart_upload(**at)
    s3.abort_multipart_upload(**at, UploadId=begun["UploadId"])
    if key == CONTROL:  # of which XML cannot tell
        s3.delete_object(**at)
        assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy"]
        return
    assert begun["Key"] == key
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert [each["Key"] for each in gone["Deleted"]] == [key, "copy"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("header", ["bytes=0-3", "bytes=-4", "bytes=4-", "bytes=0-99"])
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_range_is_held_against_no_other_checksum(
    s3: Any, bucket: str, header: str, algorithm: str
) -> None:
    """boto3 asks for the checksum of everything, and refuses what is not that."""
    s3.put_object(Bucket=bucket, Key="key", Body=TEN, ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="key", Range=header)
    assert got["Body"].read() in (TEN[:4], TEN[-4:], TEN[4:], TEN)
    whole = s3.get_object(Bucket=bucket, Key="key")
    assert whole["Body"].read() == TEN
    assert whole[f"Checksum{algorithm}"]


def test_headers_come_back_as_they_were_put(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "key"}
    s3.put_object(
        **at,
        Body=TEN,
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="a.bin"',
        ContentEncoding="gzip",
        ContentLanguage="de",
        ContentType="text/plain",
        Expires="Thu, 01 Dec 2033 16:00:00 GMT",
        ServerSideEncryption="aws:kms",
        StorageClass="STANDARD_IA",
    )
    head = s3.head_object(**at)
    assert head["ContentDisposition"] == 'attachment; filename="a.bin"'
    assert (head["ContentEncoding"], head["ContentLanguage"]) == ("gzip", "de")
    assert head["ExpiresString"] == "Thu, 01 Dec 2033 16:00:00 GMT"
    assert (head["ServerSideEncryption"], head["StorageClass"]) == ("aws:kms", "STANDARD_IA")
    assert (head["CacheControl"], head["ContentType"]) == ("no-cache", "text/plain")
    got = s3.get_object(**at, ResponseContentType="text/html", ResponseContentEncoding="identity")
    assert (got["ContentType"], got["ContentEncoding"]) == ("text/html", "identity")
    assert got["Body"].read() == TEN
    same = refused(s3.get_object, **at, IfNoneMatch=head["ETag"])
    assert (same["Code"], same["status"]) == ("304", 304)
    assert refused(s3.head_object, **at, IfMatch='"x"')["status"] == 412
    later = refused(s3.head_object, **at, IfModifiedSince=head["LastModified"])
    assert later["status"] == 304


def test_an_upload_in_parts(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "key"}
    begun = s3.create_multipart_upload(**at, ChecksumAlgorithm="SHA256")
    upload = {**at, "UploadId": begun["UploadId"]}
    first = b"x" * 5 * 1024 * 1024
    s3.put_object(Bucket=bucket, Key="source", Body=TEN)
    one = s3.upload_part(**upload, PartNumber=1, Body=first, ChecksumAlgorithm="SHA256")
    two = s3.upload_part_copy(
        **upload,
        PartNumber=2,
        CopySource={"Bucket": bucket, "Key": "source"},
        CopySourceRange="bytes=2-5",
    )["CopyPartResult"]
    listed = s3.list_parts(**upload)
    assert [part["Size"] for part in listed["Parts"]] == [len(first), 4]
    assert listed["ChecksumAlgorithm"] == "SHA256"
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [each["UploadId"] for each in uploads] == [begun["UploadId"]]
    parts = [
        {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}
        for number, part in enumerate((one, two), 1)
    ]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-2"')
    assert done["ChecksumSHA256"].endswith("-2")
    assert s3.get_object(**at)["Body"].read() == first + TEN[2:6]
    part = s3.get_object(**at, PartNumber=2)
    assert (part["Body"].read(), part["PartsCount"]) == (TEN[2:6], 2)
    attributes = s3.get_object_attributes(
        **at, ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"]
    )
    assert attributes["ObjectParts"]["TotalPartsCount"] == 2
    assert [each["PartNumber"] for each in attributes["ObjectParts"]["Parts"]] == [1, 2]
    assert attributes["ETag"] == done["ETag"].strip('"')


def test_pages_as_boto3_turns_them(s3: Any, bucket: str) -> None:
    keys = [f"a/{number}" for number in range(5)] + ["b", "c/1", "c/2"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for name in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
        assert [each["Key"] for page in pages for each in page["Contents"]] == keys
        pages = s3.get_paginator(name).paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
        )
        prefixes = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
        assert prefixes == ["a/", "c/"]
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 3}
    )
    found = [(each["Key"], each["VersionId"]) for page in pages for each in page["Versions"]]
    assert found == [(key, "null") for key in keys]
    begun = [s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 3}
    )
    assert [each["UploadId"] for page in pages for each in page["Uploads"]] == begun


def test_what_is_not_built_says_so(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=TEN)
    at = {"Bucket": bucket, "Key": "key"}
    for function, members, named in (
        (s3.restore_object, {**at, "RestoreRequest": {"Days": 1}}, "RestoreObject"),
        (s3.get_object_torrent, at, "GetObjectTorrent"),
        (
            s3.put_bucket_versioning,
            {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled"}},
            "versioning",
        ),
        (
            s3.put_bucket_website,
            {"Bucket": bucket, "WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}}},
            "website",
        ),
        (
            s3.put_object,
            {**at, "SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
            "SSE-C",
        ),
    ):
        error = refused(function, **members)
        assert error["Code"] == "NotImplemented"
        assert named in error["Message"]


def test_every_operation_that_is_built_can_be_asked(s3: Any) -> None:
    """A method of boto3's for each: what answers is not the router but the operation."""
    methods = s3.meta.method_to_api_mapping
    asked = 0
    for method, operation in sorted(methods.items()):
        if operation not in OPERATIONS or operation in ("ListBuckets", "CreateBucket"):
            continue
        shape = s3.meta.service_model.operation_model(operation).input_shape
        members = {name: _least(shape.members[name]) for name in shape.required_members}
        members |= {"Bucket": "no-such-bucket"}
        error = refused(getattr(s3, method), **members)
        assert error["Code"] in ("NoSuchBucket", "404"), (operation, error)
        asked += 1
    assert asked > 80
    assert KEY.id


def _least(shape: Any) -> Any:
    """The smallest value that a shape takes."""
    match shape.type_name:
        case "structure":
            return {name: _least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [_least(shape.member)]
        case "integer" | "long":
            return 1
        case "boolean":
            return True
        case "timestamp":
            return 0
        case _:
            return shape.enum[0] if shape.enum else "bucket/key"
