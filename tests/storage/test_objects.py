"""Objects: put, read, copied, deleted, listed, tagged."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import pytest

from inservice.errors import AwsError
from inservice.identity.principal import ANONYMOUS
from inservice.storage.calls import Span
from tests.storage.asking import OTHER, S3, checksum, md5, with_bucket

pytestmark = pytest.mark.usefixtures("stores")

TEN = b"0123456789"


def same(error: AwsError, code: str, status: int = 400, **members: Any) -> None:
    assert (error.code, error.status) == (code, status)
    assert {name: error.members.get(name) for name in members} == members


class TestPut:
    def test_what_was_said_is_said_back(self) -> None:
        s3 = with_bucket()
        put = s3.put(
            "bucket",
            "key",
            TEN,
            CacheControl="no-cache",
            ContentDisposition="attachment",
            ContentEncoding="gzip",
            ContentLanguage="de",
            ContentType="text/plain",
            Expires="tomorrow",
            Metadata={"Mixed": "Case", "b": "ü"},
            WebsiteRedirectLocation="/there",
            StorageClass="STANDARD_IA",
            Tagging="a=1&b=2",
            ACL="bucket-owner-full-control",
            ServerSideEncryption="aws:kms",
            SSEKMSEncryptionContext="e30=",
            RequestPayer="requester",
        )
        assert put == {
            "ETag": f'"{md5(TEN)}"',
            "ChecksumCRC64NVME": checksum("CRC64NVME", TEN),
            "ChecksumType": "FULL_OBJECT",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSEncryptionContext": "e30=",
        }
        answer = s3.answer("HeadObject", Bucket="bucket", Key="key")
        said = dict(answer.members)
        assert said.pop("LastModified") > 0
        assert said == {
            "AcceptRanges": "bytes",
            "CacheControl": "no-cache",
            "ContentDisposition": "attachment",
            "ContentEncoding": "gzip",
            "ContentLanguage": "de",
            "ContentLength": 10,
            "ContentType": "text/plain",
            "ETag": f'"{md5(TEN)}"',
            "Metadata": {"mixed": "Case", "b": "ü"},
            "ServerSideEncryption": "aws:kms",
            "StorageClass": "STANDARD_IA",
            "TagCount": 2,
            "WebsiteRedirectLocation": "/there",
        }
        assert answer.headers == (("Expires", "tomorrow"),)

    def test_what_is_said_of_nothing(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", b"")
        said = s3.ask("HeadObject", Bucket="bucket", Key="key")
        assert said["ContentType"] == "binary/octet-stream"
        assert said["ServerSideEncryption"] == "AES256"
        assert said["Metadata"] == {}
        assert not {"StorageClass", "TagCount", "Expires", "ContentEncoding"} & said.keys()

    def test_how_it_came_is_not_kept(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "a", ContentEncoding="aws-chunked")
        s3.put("bucket", "b", ContentEncoding="gzip,aws-chunked")
        assert "ContentEncoding" not in s3.ask("HeadObject", Bucket="bucket", Key="a")
        assert s3.ask("HeadObject", Bucket="bucket", Key="b")["ContentEncoding"] == "gzip"

    def test_a_date_of_the_model_is_a_date_of_http(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", Expires=1_700_000_000.0)
        answer = s3.answer("GetObject", Bucket="bucket", Key="key")
        assert answer.headers == (("Expires", "Tue, 14 Nov 2023 22:13:20 GMT"),)
        assert isinstance(answer.body, Span)

    @pytest.mark.parametrize(
        ("members", "code"),
        [
            ({"ACL": "public-read"}, "AccessControlListNotSupported"),
            ({"ACL": "fake"}, "InvalidArgument"),
            ({"GrantRead": "id=x"}, "AccessControlListNotSupported"),
            ({"GrantRead": "id=x", "ACL": "private"}, "InvalidRequest"),
            ({"ObjectLockMode": "GOVERNANCE"}, "InvalidRequest"),
            ({"ObjectLockLegalHoldStatus": "ON"}, "InvalidRequest"),
            ({"ServerSideEncryption": "KMS"}, "InvalidEncryptionAlgorithmError"),
            ({"SSEKMSKeyId": "key"}, "InvalidArgument"),
            ({"SSECustomerKey": "x"}, "NotImplemented"),
            ({"SSECustomerAlgorithm": "AES256"}, "NotImplemented"),
            ({"StorageClass": "OUTPOSTS"}, "InvalidStorageClass"),
            ({"StorageClass": "GLACIER"}, "NotImplemented"),
            ({"WebsiteRedirectLocation": "nowhere"}, "InvalidRedirectLocation"),
            ({"Metadata": {"a": "b" * 2048}}, "MetadataTooLarge"),
            ({"Tagging": "a=1&a=2"}, "InvalidArgument"),
            ({"Tagging": "a=1,b=2"}, "InvalidArgument"),
            ({"Tagging": "&".join(f"k{n}=" for n in range(11))}, "BadRequest"),
            ({"WriteOffsetBytes": 3}, "NotImplemented"),
            ({"ObjectLockEventHold": "ON"}, "NotImplemented"),
            ({"Key": "k" * 1025}, "KeyTooLongError"),
            ({"Key": "ü" * 513}, "KeyTooLongError"),
            ({"ExpectedBucketOwner": OTHER}, "AccessDenied"),
            ({"ExpectedBucketOwner": "me"}, "InvalidBucketOwnerAWSAccountID"),
            ({"IfMatch": "*"}, "NotImplemented"),
            ({"IfNoneMatch": '"etag"'}, "NotImplemented"),
            ({"IfMatch": '"etag"', "IfNoneMatch": "*"}, "NotImplemented"),
        ],
    )
    def test_what_is_refused_changes_nothing(self, members: dict[str, Any], code: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", b"before")
        said = {"Bucket": "bucket", "Key": "key", **members}
        assert s3.refused("PutObject", b"after", **said).code == code
        assert s3.data("bucket", "key") == b"before"
        assert s3.ask("ListObjectsV2", Bucket="bucket")["KeyCount"] == 1

    def test_on_conditions(self) -> None:
        s3 = with_bucket()
        first = s3.put("bucket", "key", b"1", IfNoneMatch="*")["ETag"]
        ask = {"Bucket": "bucket", "Key": "key"}
        error = s3.refused("PutObject", b"2", **ask, IfNoneMatch="*")
        same(error, "PreconditionFailed", 412, Condition="If-None-Match")
        error = s3.refused("PutObject", b"2", **ask, IfMatch='"another"')
        same(error, "PreconditionFailed", 412, Condition="If-Match")
        s3.put("bucket", "key", b"2", IfMatch=first)
        assert s3.data("bucket", "key") == b"2"
        error = s3.refused("PutObject", b"3", Bucket="bucket", Key="absent", IfMatch=first)
        same(error, "NoSuchKey", 404, Key="absent")

    def test_no_bucket(self) -> None:
        s3 = with_bucket()
        error = s3.refused("HeadObject", Bucket="absent", Key="key")
        same(error, "NoSuchBucket", 404, BucketName="absent")


class TestRead:
    @pytest.mark.parametrize(
        ("header", "data", "content_range"),
        [
            ("bytes=0-8", TEN[:9], "bytes 0-8/10"),
            ("bytes=1-1", b"1", "bytes 1-1/10"),
            ("bytes=1-", TEN[1:], "bytes 1-9/10"),
            ("bytes=-2", b"89", "bytes 8-9/10"),
            ("bytes=-15", TEN, "bytes 0-9/10"),
            ("bytes=0-100", TEN, "bytes 0-9/10"),
            ("bytes=1-0", TEN, None),
            ("bytes=-1-", TEN, None),
            ("bytes=0--1", TEN, None),
            ("bytes=0-1,3-4", TEN, None),
            ("0-8", TEN, None),
            ("bytes=-", TEN, None),
            ("lines=0-1", TEN, None),
        ],
    )
    def test_ranges(self, header: str, data: bytes, content_range: str | None) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN)
        ask = {"Bucket": "bucket", "Key": "key", "Range": header, "ChecksumMode": "ENABLED"}
        assert s3.data(**{k.lower(): v for k, v in list(ask.items())[:2]}, Range=header) == data
        for operation in ("GetObject", "HeadObject"):
            answer = s3.answer(operation, **ask)
            assert answer.status == (206 if content_range else 200)
            assert answer.members.get("ContentRange") == content_range
            assert answer.members["ContentLength"] == len(data)
            # A checksum of all of it beside a piece would make a good answer look torn.
            assert ("ChecksumCRC64NVME" in answer.members) == (data == TEN)

    @pytest.mark.parametrize("header", ["bytes=10-", "bytes=100-200", "bytes=-0"])
    def test_no_byte_is_in_the_range(self, header: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN)
        error = s3.refused("GetObject", Bucket="bucket", Key="key", Range=header)
        same(error, "InvalidRange", 416, RangeRequested=header, ActualObjectSize=10)
        s3.put("bucket", "empty", b"")
        assert s3.refused("GetObject", Bucket="bucket", Key="empty", Range="bytes=0-").status == 416

    def test_a_checksum_is_told_to_who_asks(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN, ChecksumAlgorithm="SHA256")
        ask = {"Bucket": "bucket", "Key": "key"}
        assert "ChecksumSHA256" not in s3.ask("HeadObject", **ask)
        said = s3.ask("HeadObject", **ask, ChecksumMode="ENABLED")
        assert said["ChecksumSHA256"] == checksum("SHA256", TEN)
        assert said["ChecksumType"] == "FULL_OBJECT"

    @pytest.mark.parametrize(
        ("conditions", "status"),
        [
            ({"IfMatch": "{etag}"}, 200),
            ({"IfMatch": "*"}, 200),
            ({"IfMatch": '"x", {etag}'}, 200),
            ({"IfMatch": '"x"'}, 412),
            ({"IfNoneMatch": "{etag}"}, 304),
            ({"IfNoneMatch": "W/{etag}"}, 304),
            ({"IfNoneMatch": "*"}, 304),
            ({"IfNoneMatch": '"x"'}, 200),
            ({"IfModifiedSince": 0.0}, 200),
            ({"IfModifiedSince": 2e9}, 304),
            ({"IfUnmodifiedSince": 0.0}, 412),
            ({"IfUnmodifiedSince": 2e9}, 200),
            ({"IfMatch": "{etag}", "IfUnmodifiedSince": 0.0}, 200),
            ({"IfNoneMatch": "{etag}", "IfModifiedSince": 0.0}, 304),
            ({"IfNoneMatch": '"x"', "IfModifiedSince": 2e9}, 200),
        ],
    )
    def test_on_conditions(self, conditions: dict[str, Any], status: int) -> None:
        s3 = with_bucket()
        etag = s3.put("bucket", "key", TEN)["ETag"]
        said = {
            name: value.replace("{etag}", etag) if isinstance(value, str) else value
            for name, value in conditions.items()
        }
        for operation in ("GetObject", "HeadObject"):
            ask = {"Bucket": "bucket", "Key": "key", **said}
            if status == 412:
                same(s3.refused(operation, **ask), "PreconditionFailed", 412)
                continue
            answer = s3.answer(operation, **ask)
            assert answer.status == status
            assert answer.members["ETag"] == etag
            if status == 304:
                assert answer.body is None

    def test_overrides(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN, ContentType="text/plain", Expires="never")
        ask = {
            "Bucket": "bucket",
            "Key": "key",
            "ResponseContentType": "text/html",
            "ResponseCacheControl": "no-store",
            "ResponseContentDisposition": "inline",
            "ResponseContentEncoding": "br",
            "ResponseContentLanguage": "fr",
            "ResponseExpires": 0.0,
        }
        answer = s3.answer("GetObject", **ask)
        said = answer.members
        assert said["ContentType"] == "text/html"
        assert said["CacheControl"] == "no-store"
        assert said["ContentDisposition"] == "inline"
        assert said["ContentEncoding"] == "br"
        assert said["ContentLanguage"] == "fr"
        assert answer.headers == (("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),)
        s3.caller = ANONYMOUS
        assert s3.refused("GetObject", **ask).code == "InvalidRequest"

    def test_versions(self) -> None:
        """An object has one, called null."""
        s3 = with_bucket()
        s3.put("bucket", "key", TEN)
        ask = {"Bucket": "bucket", "Key": "key"}
        assert s3.ask("GetObject", **ask, VersionId="null")["VersionId"] == "null"
        assert "VersionId" not in s3.ask("GetObject", **ask)
        same(s3.refused("GetObject", **ask, VersionId="x"), "InvalidArgument")
        same(s3.refused("GetObject", **ask, VersionId="x" * 32), "NoSuchVersion", 404, Key="key")

    def test_who_may_not_list_is_not_told_what_is_there(self) -> None:
        s3 = with_bucket()
        for operation in ("GetObject", "HeadObject", "GetObjectAttributes", "GetObjectTagging"):
            ask: dict[str, Any] = {"Bucket": "bucket", "Key": "absent"}
            if operation == "GetObjectAttributes":
                ask["ObjectAttributes"] = ["ETag"]
            s3.may = lambda action, arn: True
            same(s3.refused(operation, **ask), "NoSuchKey", 404, Key="absent")
            s3.may = lambda action, arn: (action, arn) != ("s3:ListBucket", "arn:aws:s3:::bucket")
            same(s3.refused(operation, **ask), "AccessDenied", 403)

    def test_an_object_in_one_piece_is_its_first_part(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN)
        ask = {"Bucket": "bucket", "Key": "key", "ChecksumMode": "ENABLED"}
        answer = s3.answer("GetObject", **ask, PartNumber=1)
        assert answer.status == 206
        assert answer.members["ContentRange"] == "bytes 0-9/10"
        assert "PartsCount" not in answer.members
        assert "ChecksumCRC64NVME" in answer.members
        error = s3.refused("GetObject", **ask, PartNumber=2)
        same(error, "InvalidPartNumber", 416, ActualPartCount=1, PartNumberRequested=2)
        same(s3.refused("GetObject", **ask, PartNumber=0), "InvalidArgument")
        same(s3.refused("GetObject", **ask, PartNumber=1, Range="bytes=0-1"), "InvalidRequest")


class TestAttributes:
    def test_those_that_are_asked_for(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN, ChecksumAlgorithm="CRC32")
        ask = {"Bucket": "bucket", "Key": "key"}
        every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
        said = s3.ask("GetObjectAttributes", **ask, ObjectAttributes=every)
        assert said.pop("LastModified") > 0
        assert said == {
            "ETag": md5(TEN),
            "Checksum": {"ChecksumCRC32": checksum("CRC32", TEN), "ChecksumType": "FULL_OBJECT"},
            "StorageClass": "STANDARD",
            "ObjectSize": 10,
        }
        said = s3.ask("GetObjectAttributes", **ask, ObjectAttributes=["ObjectSize"])
        assert said.keys() == {"LastModified", "ObjectSize"}
        for wrong in ([], ["Nothing"], ["ETag", "Nothing"]):
            error = s3.refused("GetObjectAttributes", **ask, ObjectAttributes=wrong)
            same(error, "InvalidArgument")


class TestDeleted:
    def test_what_is_not_there_is_deleted(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        for _ in range(2):
            assert s3.answer("DeleteObject", Bucket="bucket", Key="key").members == {}
        assert s3.refused("HeadObject", Bucket="bucket", Key="key").code == "NoSuchKey"

    def test_on_conditions(self) -> None:
        s3 = with_bucket()
        etag = s3.put("bucket", "key")["ETag"]
        ask = {"Bucket": "bucket", "Key": "key"}
        same(s3.refused("DeleteObject", **ask, IfMatch='"x"'), "PreconditionFailed", 412)
        for member, value in (("IfMatchSize", 4), ("IfMatchLastModifiedTime", 0.0)):
            same(s3.refused("DeleteObject", **ask, **{member: value}), "NotImplemented", 501)
        for value in (True, False):
            error = s3.refused("DeleteObject", **ask, BypassGovernanceRetention=value)
            same(error, "InvalidArgument")
        assert s3.data("bucket", "key") == b"data"
        for match in (etag, "*"):
            error = s3.refused("DeleteObject", Bucket="bucket", Key="absent", IfMatch=match)
            same(error, "NoSuchKey", 404)
        several = {"Objects": [{"Key": "absent", "ETag": etag}]}
        (said,) = s3.ask("DeleteObjects", Bucket="bucket", Delete=several)["Errors"]
        assert (said["Key"], said["Code"]) == ("absent", "NoSuchKey")
        s3.ask("DeleteObject", **ask, IfMatch=etag)
        assert s3.refused("HeadObject", **ask).code == "NoSuchKey"

    def test_another_version_than_the_one_it_has(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        said = s3.ask("DeleteObject", Bucket="bucket", Key="key", VersionId="x" * 32)
        assert said == {"VersionId": "x" * 32}
        assert s3.data("bucket", "key") == b"data"
        assert s3.ask("DeleteObject", Bucket="bucket", Key="key", VersionId="null")
        assert s3.refused("HeadObject", Bucket="bucket", Key="key").code == "NoSuchKey"

    def test_many_at_once_each_decided_by_itself(self) -> None:
        s3 = with_bucket()
        etag = s3.put("bucket", "mine/1")["ETag"]
        for key in ("mine/2", "mine/3", "theirs"):
            s3.put("bucket", key)
        s3.may = lambda action, arn: not (action == "s3:DeleteObject" and arn.endswith("/theirs"))
        objects = [
            {"Key": "mine/1", "ETag": etag},
            {"Key": "mine/2", "ETag": '"x"'},
            {"Key": "mine/3", "VersionId": "null"},
            {"Key": "theirs"},
            {"Key": "absent"},
        ]
        said = s3.ask("DeleteObjects", Bucket="bucket", Delete={"Objects": objects})
        assert said["Deleted"] == [
            {"Key": "mine/1"},
            {"Key": "mine/3", "VersionId": "null"},
            {"Key": "absent"},
        ]
        assert said["Errors"] == [
            {
                "Key": "mine/2",
                "Code": "PreconditionFailed",
                "Message": "At least one of the pre-conditions you specified did not hold",
            },
            {"Key": "theirs", "Code": "AccessDenied", "Message": "Access Denied"},
        ]
        left = s3.ask("ListObjectsV2", Bucket="bucket")["Contents"]
        assert [each["Key"] for each in left] == ["mine/2", "theirs"]

    def test_quietly(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        delete = {"Quiet": True, "Objects": [{"Key": "key"}]}
        assert s3.ask("DeleteObjects", Bucket="bucket", Delete=delete) == {}

    @pytest.mark.parametrize("count", [0, 1001])
    def test_not_so_many(self, count: int) -> None:
        s3 = with_bucket()
        s3.put("bucket", "0")
        delete = {"Objects": [{"Key": str(number)} for number in range(count)]}
        assert s3.refused("DeleteObjects", Bucket="bucket", Delete=delete).code == "MalformedXML"
        assert s3.data("bucket", "0") == b"data"

    def test_what_is_not_built_is_named(self) -> None:
        s3 = with_bucket()
        delete = {"Objects": [{"Key": "a", "Size": 4}]}
        error = s3.refused("DeleteObjects", Bucket="bucket", Delete=delete)
        assert error.code == "NotImplemented"
        assert "Delete.Objects.Size" in error.message


class TestCopied:
    def test_everything_comes_along(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "a b", TEN, ContentType="text/plain", Metadata={"x": "y"}, Tagging="t=1")
        said = s3.ask("CopyObject", Bucket="bucket", Key="copy", CopySource="/bucket/a%20b")
        result = said["CopyObjectResult"]
        assert result["ETag"] == f'"{md5(TEN)}"'
        assert result["ChecksumCRC64NVME"] == checksum("CRC64NVME", TEN)
        head = s3.ask("HeadObject", Bucket="bucket", Key="copy")
        assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"x": "y"})
        assert s3.ask("GetObjectTagging", Bucket="bucket", Key="copy")["TagSet"] == [
            {"Key": "t", "Value": "1"}
        ]
        assert s3.data("bucket", "copy") == TEN

    def test_or_is_said_anew(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "a", TEN, ContentType="text/plain", Metadata={"x": "y"}, Tagging="t=1")
        s3.ask(
            "CopyObject",
            Bucket="bucket",
            Key="copy",
            CopySource="bucket/a",
            MetadataDirective="REPLACE",
            Metadata={"z": "1"},
            TaggingDirective="REPLACE",
            StorageClass="ONEZONE_IA",
        )
        head = s3.ask("HeadObject", Bucket="bucket", Key="copy")
        assert (head["ContentType"], head["Metadata"]) == ("binary/octet-stream", {"z": "1"})
        assert head["StorageClass"] == "ONEZONE_IA"
        assert "TagCount" not in head

    def test_onto_itself_only_with_a_change(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN, Metadata={"x": "y"})
        ask = {"Bucket": "bucket", "Key": "key", "CopySource": "bucket/key"}
        useless: dict[str, Any]
        for useless in ({}, {"ACL": "private"}, {"Metadata": {}}, {"ChecksumAlgorithm": "SHA1"}):
            error = s3.refused("CopyObject", **ask, **useless)
            same(error, "InvalidRequest")
            assert "copy an object to itself" in error.message
        for useful in (
            {"StorageClass": "STANDARD"},
            {"StorageClass": "STANDARD_IA"},
            {"ServerSideEncryption": "AES256"},
            {"WebsiteRedirectLocation": "/x"},
            {"MetadataDirective": "REPLACE", "Metadata": {"z": "1"}},
        ):
            assert s3.ask("CopyObject", **ask, **useful)["CopyObjectResult"]
        assert s3.data("bucket", "key") == TEN

    def test_onto_itself_to_be_encrypted_otherwise(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN, ServerSideEncryption="aws:kms")
        ask = {"Bucket": "bucket", "Key": "key", "CopySource": "bucket/key"}
        assert s3.ask("CopyObject", **ask)["ServerSideEncryption"] == "AES256"
        same(s3.refused("CopyObject", **ask), "InvalidRequest")
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        said = {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}
        s3.ask("PutBucketEncryption", Bucket="bucket", **said)
        assert s3.ask("CopyObject", **ask)["ServerSideEncryption"] == "aws:kms"

    @pytest.mark.parametrize(
        ("source", "code"),
        [
            ("bucket", "InvalidArgument"),
            ("bucket/", "InvalidArgument"),
            ("/", "InvalidArgument"),
            ("", "InvalidArgument"),
            ("bucket/absent", "NoSuchKey"),
            ("absent/key", "NoSuchBucket"),
            ("bucket/key?versionId=x", "InvalidArgument"),
            ("arn:aws:s3:us-east-1:1:accesspoint/x/object/y", "NotImplemented"),
        ],
    )
    def test_from_nowhere(self, source: str, code: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        error = s3.refused("CopyObject", Bucket="bucket", Key="copy", CopySource=source)
        assert error.code == code
        assert s3.refused("HeadObject", Bucket="bucket", Key="copy").code == "NoSuchKey"

    @pytest.mark.parametrize(
        "key", ["a+b", "a b", "a?b", "a%2Fb", "ü/é", "?versionId=null", "a//b", "../x"]
    )
    def test_from_any_key(self, key: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", key, TEN)
        source = f"bucket/{quote(key)}"
        s3.ask("CopyObject", Bucket="bucket", Key="copy", CopySource=source)
        assert s3.data("bucket", "copy") == TEN
        said = s3.ask(
            "CopyObject", Bucket="bucket", Key="copy", CopySource=f"{source}?versionId=null"
        )
        assert said["CopySourceVersionId"] == "null"

    def test_a_plus_is_a_space_as_in_every_path(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "a b", TEN)
        s3.ask("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/a+b")
        assert s3.data("bucket", "copy") == TEN

    @pytest.mark.parametrize(
        ("conditions", "failed"),
        [
            ({"CopySourceIfMatch": "{etag}"}, None),
            ({"CopySourceIfMatch": '"x"'}, "x-amz-copy-source-If-Match"),
            ({"CopySourceIfNoneMatch": "{etag}"}, "x-amz-copy-source-If-None-Match"),
            ({"CopySourceIfNoneMatch": '"x"'}, None),
            ({"CopySourceIfModifiedSince": 1_800_000_000.0}, None),  # still to come
            ({"CopySourceIfModifiedSince": 1_700_000_003.0}, "x-amz-copy-source-If-Modified-Since"),
            ({"CopySourceIfUnmodifiedSince": 0.0}, "x-amz-copy-source-If-Unmodified-Since"),
            ({"CopySourceIfMatch": "{etag}", "CopySourceIfUnmodifiedSince": 0.0}, None),
        ],
    )
    def test_on_conditions(self, conditions: dict[str, Any], failed: str | None) -> None:
        s3 = with_bucket()
        etag = s3.put("bucket", "key", TEN)["ETag"]
        said = {k: etag if v == "{etag}" else v for k, v in conditions.items()}
        ask = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/key", **said}
        if failed is None:
            assert s3.ask("CopyObject", **ask)["CopyObjectResult"]
        else:
            same(s3.refused("CopyObject", **ask), "PreconditionFailed", 412, Condition=failed)

    def test_with_another_checksum(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", TEN)
        ask = {"Bucket": "bucket", "CopySource": "bucket/key"}
        said = s3.ask("CopyObject", **ask, Key="copy", ChecksumAlgorithm="SHA1")
        assert said["CopyObjectResult"]["ChecksumSHA1"] == checksum("SHA1", TEN)
        same(s3.refused("CopyObject", **ask, Key="c", ChecksumAlgorithm="ADLER"), "InvalidRequest")
        error = s3.refused("CopyObject", **ask, Key="c", ChecksumAlgorithm="XXHASH64")
        assert error.code == "NotImplemented"

    def test_whose(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        ask = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/key"}
        error = s3.refused("CopyObject", **ask, ExpectedSourceBucketOwner=OTHER)
        same(error, "AccessDenied", 403)

    @pytest.mark.parametrize("name", ["MetadataDirective", "TaggingDirective"])
    def test_no_such_directive(self, name: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        ask = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/key", name: "MERGE"}
        same(s3.refused("CopyObject", **ask), "InvalidArgument", ArgumentValue="MERGE")


KEYS = ("a", "b/1", "b/2", "b/c/3", "d", "e f", "ü")


def listed(s3: S3, version: int, **members: Any) -> list[str]:
    """Keys and prefixes, over all pages."""
    found: list[str] = []
    operation = "ListObjectsV2" if version == 2 else "ListObjects"
    for _ in itertools.count():
        page = s3.ask(operation, Bucket="bucket", **members)
        keys = [each["Key"] for each in page.get("Contents", ())]
        prefixes = [each["Prefix"] for each in page.get("CommonPrefixes", ())]
        found += sorted([*keys, *prefixes])
        if not page["IsTruncated"]:
            return found
        if version == 2:
            members["ContinuationToken"] = page["NextContinuationToken"]
        else:
            members["Marker"] = page.get("NextMarker") or keys[-1]
    raise AssertionError


class TestListed:
    @pytest.mark.parametrize("version", [1, 2])
    @pytest.mark.parametrize("most", [1, 2, 3, 1000])
    @pytest.mark.parametrize(
        ("members", "found"),
        [
            ({}, list(KEYS)),
            ({"Delimiter": "/"}, ["a", "b/", "d", "e f", "ü"]),
            ({"Prefix": "b/"}, ["b/1", "b/2", "b/c/3"]),
            ({"Prefix": "b/", "Delimiter": "/"}, ["b/1", "b/2", "b/c/"]),
            ({"Prefix": "b", "Delimiter": "/"}, ["b/"]),
            ({"Delimiter": " f"}, ["a", "b/1", "b/2", "b/c/3", "d", "e f", "ü"]),
            ({"Prefix": "z"}, []),
        ],
    )
    def test_over_pages(
        self, version: int, most: int, members: dict[str, Any], found: list[str]
    ) -> None:
        s3 = with_bucket()
        for key in KEYS:
            s3.put("bucket", key)
        assert listed(s3, version, MaxKeys=most, **members) == found

    def test_what_a_page_says(self) -> None:
        s3 = with_bucket()
        for key in KEYS:
            s3.put("bucket", key, TEN)
        page = s3.ask(
            "ListObjectsV2",
            Bucket="bucket",
            MaxKeys=2,
            StartAfter="a",
            Prefix="",
            Delimiter="/",
            EncodingType="url",
            FetchOwner=True,
            OptionalObjectAttributes=["RestoreStatus"],
        )
        [stored] = page.pop("Contents")
        assert stored.pop("LastModified") > 0
        assert len(stored.pop("Owner")["ID"]) == 64
        assert stored == {
            "Key": "d",
            "ETag": f'"{md5(TEN)}"',
            "Size": 10,
            "StorageClass": "STANDARD",
            "ChecksumAlgorithm": ["CRC64NVME"],
            "ChecksumType": "FULL_OBJECT",
        }
        assert page.pop("NextContinuationToken") not in ("d", "b/")
        assert page == {
            "Name": "bucket",
            "Prefix": "",
            "Delimiter": "/",
            "MaxKeys": 2,
            "KeyCount": 2,
            "StartAfter": "a",
            "EncodingType": "url",
            "IsTruncated": True,
            "CommonPrefixes": [{"Prefix": "b/"}],
        }

    def test_the_first_form_says_where_to_go_on_only_beside_a_delimiter(self) -> None:
        s3 = with_bucket()
        for key in KEYS:
            s3.put("bucket", key)
        page = s3.ask("ListObjects", Bucket="bucket", MaxKeys=1)
        assert page["IsTruncated"]
        assert page["Marker"] == ""
        assert "NextMarker" not in page
        page = s3.ask("ListObjects", Bucket="bucket", MaxKeys=2, Delimiter="/")
        assert page["NextMarker"] == "b/"
        assert page["Contents"][0]["Owner"]

    def test_a_marker_within_a_common_prefix_is_behind_it(self) -> None:
        s3 = with_bucket()
        for key in KEYS:
            s3.put("bucket", key)
        page = s3.ask("ListObjects", Bucket="bucket", Marker="b/1", Delimiter="/", MaxKeys=1)
        assert [each["Key"] for each in page["Contents"]] == ["d"]
        assert "CommonPrefixes" not in page

    @pytest.mark.parametrize("operation", ["ListObjects", "ListObjectsV2", "ListObjectVersions"])
    def test_what_may_hold_any_character_is_escaped(self, operation: str) -> None:
        s3 = with_bucket()
        for key in ("a/ü &", "a/b%2F"):
            s3.put("bucket", key)
        ask = {"Bucket": "bucket", "Prefix": "a/", "Delimiter": "%2F", "EncodingType": "url"}
        page = s3.ask(operation, **ask)
        contents = page["Versions" if operation == "ListObjectVersions" else "Contents"]
        assert [each["Key"] for each in contents] == ["a/%C3%BC+%26"]
        assert page["CommonPrefixes"] == [{"Prefix": "a/b%252F"}]
        assert page["Delimiter"] == "%252F"
        for wrong in ("value", ""):
            error = s3.refused(operation, Bucket="bucket", EncodingType=wrong)
            same(error, "InvalidArgument", ArgumentName="encoding-type")

    def test_how_many(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        page = s3.ask("ListObjectsV2", Bucket="bucket", MaxKeys=0)
        assert (page["KeyCount"], page["IsTruncated"], page["MaxKeys"]) == (0, False, 0)
        assert s3.ask("ListObjectsV2", Bucket="bucket", MaxKeys=5000)["MaxKeys"] == 1000
        error = s3.refused("ListObjectsV2", Bucket="bucket", MaxKeys=-1)
        same(error, "InvalidArgument", ArgumentName="max-keys")

    @pytest.mark.parametrize("token", ["", "key", "a2V5", "!", "MQ==", "Mf8="])
    def test_a_token_of_nobody(self, token: str) -> None:
        error = with_bucket().refused("ListObjectsV2", Bucket="bucket", ContinuationToken=token)
        same(error, "InvalidArgument", ArgumentName="continuation-token")

    def test_versions(self) -> None:
        s3 = with_bucket()
        for key in KEYS:
            s3.put("bucket", key)
        page = s3.ask("ListObjectVersions", Bucket="bucket", MaxKeys=2)
        assert [
            (each["Key"], each["VersionId"], each["IsLatest"]) for each in page["Versions"]
        ] == [
            ("a", "null", True),
            ("b/1", "null", True),
        ]
        assert (page["NextKeyMarker"], page["NextVersionIdMarker"]) == ("b/1", "null")
        page = s3.ask(
            "ListObjectVersions", Bucket="bucket", KeyMarker="b/1", VersionIdMarker="null"
        )
        assert [each["Key"] for each in page["Versions"]] == list(KEYS[2:])
        error = s3.refused("ListObjectVersions", Bucket="bucket", VersionIdMarker="null")
        same(error, "InvalidArgument")


class TestTagged:
    def test_put_read_deleted(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", Tagging="a=1&b")
        ask = {"Bucket": "bucket", "Key": "key"}
        first = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]
        assert s3.ask("GetObjectTagging", **ask) == {"TagSet": first}
        tags = [{"Key": "ключ", "Value": "x y+=._:/@-"}]
        s3.ask("PutObjectTagging", **ask, Tagging={"TagSet": tags})
        assert s3.ask("GetObjectTagging", **ask) == {"TagSet": tags}
        assert s3.ask("HeadObject", **ask)["TagCount"] == 1
        s3.ask("DeleteObjectTagging", **ask)
        assert s3.ask("GetObjectTagging", **ask) == {"TagSet": []}
        assert s3.data("bucket", "key") == b"data"

    @pytest.mark.parametrize(
        ("tags", "code", "words"),
        [
            ([{"Key": "a", "Value": "1"}] * 2, "InvalidTag", "multiple Tags with the same key"),
            ([{"Key": "aws:a", "Value": ""}], "InvalidTag", "cannot be prefixed with aws:"),
            ([{"Key": "a,b", "Value": ""}], "InvalidTag", "TagKey you have provided"),
            ([{"Key": "", "Value": ""}], "InvalidTag", "TagKey you have provided"),
            ([{"Key": "k" * 129, "Value": ""}], "InvalidTag", "TagKey you have provided"),
            ([{"Key": "a", "Value": "v" * 257}], "InvalidTag", "TagValue you have provided"),
            ([{"Key": "a", "Value": "<>"}], "InvalidTag", "TagValue you have provided"),
            ([{"Key": "a"}], "MalformedXML", ""),
            ([{"Value": "a"}], "MalformedXML", ""),
            ([{"Key": f"k{n}", "Value": ""} for n in range(11)], "BadRequest", "greater than 10"),
        ],
    )
    def test_refused(self, tags: list[dict[str, str]], code: str, words: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key", Tagging="kept=1")
        ask = {"Bucket": "bucket", "Key": "key"}
        error = s3.refused("PutObjectTagging", **ask, Tagging={"TagSet": tags})
        assert error.code == code
        assert words in error.message
        kept = s3.ask("GetObjectTagging", **ask)["TagSet"]
        assert kept == [{"Key": "kept", "Value": "1"}]

    @pytest.mark.parametrize("operation", ["PutObjectTagging", "DeleteObjectTagging"])
    def test_what_is_not_there(self, operation: str) -> None:
        error = with_bucket().refused(operation, Bucket="bucket", Key="absent")
        same(error, "NoSuchKey", 404, Key="absent")


class TestPlain:
    def test_acl(self) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        ask = {"Bucket": "bucket", "Key": "key"}
        acl = s3.ask("GetObjectAcl", **ask)
        assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
        s3.ask("PutObjectAcl", **ask, ACL="private")
        s3.ask("PutObjectAcl", **ask, AccessControlPolicy=acl)
        error = s3.refused("PutObjectAcl", **ask, ACL="public-read")
        same(error, "AccessControlListNotSupported")
        same(s3.refused("PutObjectAcl", **ask), "MissingSecurityHeader")

    @pytest.mark.parametrize(
        "operation",
        ["GetObjectLegalHold", "PutObjectLegalHold", "GetObjectRetention", "PutObjectRetention"],
    )
    def test_locks(self, operation: str) -> None:
        s3 = with_bucket()
        s3.put("bucket", "key")
        error = s3.refused(operation, Bucket="bucket", Key="key")
        same(error, "InvalidRequest")
        assert error.message == "Bucket is missing Object Lock Configuration"
        same(s3.refused(operation, Bucket="bucket", Key="absent"), "NoSuchKey", 404)
