"""Uploads in parts: begun, given parts, listed, completed, given up."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.objects.digests import composite
from tests.storage.asking import S3, checksum, md5, with_bucket
from tests.storage.test_objects import same

pytestmark = pytest.mark.usefixtures("stores")

MIB5 = 5 * 1024 * 1024
FIRST, LAST = b"a" * MIB5, b"z" * 3
KEY: dict[str, Any] = {"Bucket": "bucket", "Key": "key"}


def begun(**members: Any) -> tuple[S3, dict[str, Any]]:
    """An S3 with an upload that has two parts, and how it is addressed."""
    s3 = with_bucket()
    return s3, {**KEY, "UploadId": s3.uploaded("bucket", "key", FIRST, LAST, **members)}


def named(s3: S3, upload: dict[str, Any], **wrong: Any) -> dict[str, Any]:
    parts = s3.ask("ListParts", **upload)["Parts"]
    chosen = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    chosen[0].update(wrong)
    return {"MultipartUpload": {"Parts": chosen}}


class TestBegun:
    @pytest.mark.parametrize(
        ("algorithm", "asked", "kind"),
        [
            ("CRC32", None, "COMPOSITE"),
            ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
            ("CRC32C", None, "COMPOSITE"),
            ("SHA1", None, "COMPOSITE"),
            ("SHA256", "COMPOSITE", "COMPOSITE"),
            ("CRC64NVME", None, "FULL_OBJECT"),
        ],
    )
    def test_with_a_checksum(self, algorithm: str, asked: str | None, kind: str) -> None:
        said = {"ChecksumAlgorithm": algorithm, **({"ChecksumType": asked} if asked else {})}
        answer = with_bucket().ask("CreateMultipartUpload", **KEY, **said)
        assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == (algorithm, kind)

    @pytest.mark.parametrize(
        ("members", "code", "words"),
        [
            ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"}, None, "crc64nvme"),
            ({"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"}, None, "sha1"),
            ({"ChecksumAlgorithm": "TEST"}, None, "Checksum algorithm provided is unsupported"),
            ({"ChecksumType": "COMPOSITE"}, None, "can only be used with"),
            ({"ChecksumAlgorithm": "SHA512"}, "NotImplemented", "SHA512"),
            ({"ChecksumAlgorithm": "XXHASH3"}, "NotImplemented", "XXHASH3"),
            ({"StorageClass": "OUTPOSTS"}, "InvalidStorageClass", ""),
            ({"ACL": "public-read"}, "AccessControlListNotSupported", ""),
            ({"Tagging": "a=1&a=2"}, "InvalidArgument", "x-amz-tagging"),
            ({"Key": "k" * 1025}, "KeyTooLongError", ""),
        ],
    )
    def test_refused(self, members: dict[str, Any], code: str | None, words: str) -> None:
        s3 = with_bucket()
        error = s3.refused("CreateMultipartUpload", **{**KEY, **members})
        assert error.code == (code or "InvalidRequest")
        assert words in error.message
        assert "Uploads" not in s3.ask("ListMultipartUploads", Bucket="bucket")

    def test_says_what_it_is_told(self) -> None:
        s3 = with_bucket()
        said = s3.ask("CreateMultipartUpload", **KEY, ServerSideEncryption="aws:kms")
        assert said.pop("UploadId")
        assert said == {**KEY, "ServerSideEncryption": "aws:kms"}


class TestParts:
    @pytest.mark.parametrize("number", [-1, 0, 10_001])
    @pytest.mark.parametrize("operation", ["UploadPart", "UploadPartCopy"])
    def test_numbers(self, operation: str, number: int) -> None:
        s3, upload = begun()
        error = s3.refused(operation, **upload, PartNumber=number)
        same(error, "InvalidArgument", ArgumentName="partNumber", ArgumentValue=str(number))

    def test_of_no_upload(self) -> None:
        s3, upload = begun()
        for wrong in ({"UploadId": "fakeid"}, {"Key": "another"}):
            for operation in ("UploadPart", "AbortMultipartUpload", "ListParts"):
                numbered = {"PartNumber": 1} if operation == "UploadPart" else {}
                error = s3.refused(operation, **{**upload, **wrong}, **numbered)
                same(error, "NoSuchUpload", 404)

    def test_says_its_checksum_as_it_came(self) -> None:
        s3, upload = begun()
        said = s3.ask("UploadPart", LAST, **upload, PartNumber=2, ChecksumAlgorithm="CRC32")
        assert said == {
            "ETag": f'"{md5(LAST)}"',
            "ChecksumCRC32": checksum("CRC32", LAST),
            "ServerSideEncryption": "AES256",
        }

    def test_has_the_checksum_of_its_upload(self) -> None:
        s3, upload = begun(algorithm="SHA256")
        for said, actual in (({}, "null"), ({"ChecksumAlgorithm": "CRC32"}, "crc32")):
            error = s3.refused("UploadPart", b"x", **upload, PartNumber=2, **said)
            same(error, "InvalidRequest")
            assert "expected checksum Type: sha256" in error.message
            assert f"actual checksum Type: {actual}" in error.message
        assert s3.ask("ListParts", **upload)["Parts"][1]["Size"] == len(LAST)

    def test_listed(self) -> None:
        s3, upload = begun(algorithm="SHA256")
        page = s3.ask("ListParts", **upload, MaxParts=1)
        [part] = page.pop("Parts")
        assert part.pop("LastModified") > 0
        assert part == {
            "PartNumber": 1,
            "ETag": f'"{md5(FIRST)}"',
            "Size": MIB5,
            "ChecksumSHA256": checksum("SHA256", FIRST),
        }
        assert page.pop("Owner")["ID"] == page.pop("Initiator")["ID"]
        assert page == {
            **upload,
            "PartNumberMarker": 0,
            "NextPartNumberMarker": 1,
            "MaxParts": 1,
            "IsTruncated": True,
            "StorageClass": "STANDARD",
            "ChecksumAlgorithm": "SHA256",
            "ChecksumType": "COMPOSITE",
        }
        page = s3.ask("ListParts", **upload, PartNumberMarker=1)
        assert [part["PartNumber"] for part in page["Parts"]] == [2]
        assert (page["NextPartNumberMarker"], page["IsTruncated"]) == (2, False)
        same(s3.refused("ListParts", **upload, MaxParts=-1), "InvalidArgument")

    def test_of_an_upload_without_a_checksum_none_is_listed(self) -> None:
        s3, upload = begun()
        page = s3.ask("ListParts", **upload)
        assert page["Parts"][0].keys() == {"PartNumber", "LastModified", "ETag", "Size"}
        assert "ChecksumAlgorithm" not in page


class TestCopied:
    @pytest.mark.parametrize(
        ("header", "data"),
        [("bytes=0-8", b"012345678"), ("bytes=1-1", b"1"), (None, b"0123456789")],
    )
    def test_a_stretch(self, header: str | None, data: bytes) -> None:
        s3, upload = begun(algorithm="CRC32C")
        s3.put("bucket", "src", b"0123456789")
        said = {"CopySourceRange": header} if header else {}
        answer = s3.ask("UploadPartCopy", **upload, PartNumber=2, CopySource="bucket/src", **said)
        result = answer["CopyPartResult"]
        assert result.pop("LastModified") > 0
        assert result == {"ETag": f'"{md5(data)}"', "ChecksumCRC32C": checksum("CRC32C", data)}
        s3.completed("bucket", "key", upload["UploadId"])
        assert s3.data("bucket", "key") == FIRST + data

    @pytest.mark.parametrize(
        "header",
        ["0-8", "bytes=1-0", "bytes=-1-", "bytes=0--1", "bytes=0-1,3-4", "bytes=-", "bytes=-2"],
    )
    def test_of_no_range(self, header: str) -> None:
        s3, upload = begun()
        s3.put("bucket", "src", b"0123456789")
        ask = {**upload, "PartNumber": 2, "CopySource": "bucket/src", "CopySourceRange": header}
        error = s3.refused("UploadPartCopy", **ask)
        same(error, "InvalidArgument", ArgumentValue=header)
        assert "must be of the form bytes=first-last" in error.message

    def test_of_a_range_beyond_its_end(self) -> None:
        s3, upload = begun()
        s3.put("bucket", "src", b"0123456789")
        ask = {**upload, "PartNumber": 2, "CopySource": "bucket/src"}
        error = s3.refused("UploadPartCopy", **ask, CopySourceRange="bytes=0-100")
        same(error, "InvalidArgument")
        assert error.message == "Range specified is not valid for source object of size: 10"
        error = s3.refused("UploadPartCopy", **ask, CopySourceRange="bytes=100-200")
        same(error, "InvalidRequest")
        assert error.message == "The specified copy range is invalid for the source object size"

    def test_on_conditions(self) -> None:
        s3, upload = begun()
        s3.put("bucket", "src", b"0123456789")
        ask = {**upload, "PartNumber": 2, "CopySource": "bucket/src"}
        error = s3.refused("UploadPartCopy", **ask, CopySourceIfMatch='"x"')
        same(error, "PreconditionFailed", 412, Condition="x-amz-copy-source-If-Match")


class TestCompleted:
    def test_without_a_checksum(self) -> None:
        s3, upload = begun(ContentType="text/plain", Metadata={"a": "b"}, Tagging="t=1")
        said = s3.completed("bucket", "key", upload["UploadId"])
        both = bytes.fromhex(md5(FIRST) + md5(LAST))
        assert said == {
            **KEY,
            "Location": "/bucket/key",
            "ETag": f'"{md5(both)}-2"',
            "ChecksumCRC64NVME": checksum("CRC64NVME", FIRST + LAST),
            "ChecksumType": "FULL_OBJECT",
            "ServerSideEncryption": "AES256",
        }
        assert s3.data("bucket", "key") == FIRST + LAST
        head = s3.ask("HeadObject", **KEY)
        assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"a": "b"})
        assert head["TagCount"] == 1
        assert "Uploads" not in s3.ask("ListMultipartUploads", Bucket="bucket")
        same(s3.refused("ListParts", **upload), "NoSuchUpload", 404)

    @pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
    def test_with_the_checksum_of_checksums(self, algorithm: str) -> None:
        s3, upload = begun(algorithm=algorithm)
        said = s3.completed("bucket", "key", upload["UploadId"])
        sums = [checksum(algorithm, FIRST), checksum(algorithm, LAST)]
        assert said[f"Checksum{algorithm}"] == composite(algorithm, sums)
        assert said["ChecksumType"] == "COMPOSITE"
        attributes = s3.ask(
            "GetObjectAttributes", **KEY, ObjectAttributes=["Checksum", "ObjectParts"], MaxParts=1
        )
        assert attributes["Checksum"][f"Checksum{algorithm}"] == said[
            f"Checksum{algorithm}"
        ].removesuffix("-2")
        assert attributes["ObjectParts"] == {
            "TotalPartsCount": 2,
            "PartNumberMarker": 0,
            "NextPartNumberMarker": 1,
            "MaxParts": 1,
            "IsTruncated": True,
            "Parts": [{"PartNumber": 1, "Size": MIB5, f"Checksum{algorithm}": sums[0]}],
        }
        after = s3.ask(
            "GetObjectAttributes", **KEY, ObjectAttributes=["ObjectParts"], PartNumberMarker=10
        )["ObjectParts"]
        assert (after["NextPartNumberMarker"], "Parts" in after) == (0, False)

    @pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
    def test_with_the_checksum_of_the_whole(self, algorithm: str) -> None:
        s3, upload = begun(algorithm=algorithm, ChecksumType="FULL_OBJECT")
        whole = checksum(algorithm, FIRST + LAST)
        ask = {**upload, **named(s3, upload)}
        error = s3.refused(
            "CompleteMultipartUpload", **ask, **{f"Checksum{algorithm}": checksum(algorithm, b"")}
        )
        same(error, "BadDigest")
        said = s3.ask("CompleteMultipartUpload", **ask, **{f"Checksum{algorithm}": whole})
        assert said[f"Checksum{algorithm}"] == whole
        parts = s3.ask("GetObjectAttributes", **KEY, ObjectAttributes=["ObjectParts"])
        assert parts["ObjectParts"] == {"TotalPartsCount": 2}

    def test_read_part_by_part(self) -> None:
        s3, upload = begun(algorithm="CRC32C")
        s3.completed("bucket", "key", upload["UploadId"])
        assert s3.data("bucket", "key", PartNumber=2) == LAST
        said = s3.answer("HeadObject", **KEY, PartNumber=2, ChecksumMode="ENABLED")
        assert said.status == 206
        assert said.members["ContentRange"] == f"bytes {MIB5}-{MIB5 + 2}/{MIB5 + 3}"
        assert said.members["PartsCount"] == 2
        assert said.members["ChecksumCRC32C"] == checksum("CRC32C", LAST)
        assert said.members["ChecksumType"] == "COMPOSITE"
        error = s3.refused("GetObject", **KEY, PartNumber=3)
        same(error, "InvalidPartNumber", 416, ActualPartCount=2, PartNumberRequested=3)

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            ({"ETag": '"x"'}, "InvalidPart"),
            ({"PartNumber": 7}, "InvalidPartOrder"),
            ({"PartNumber": 2}, "InvalidPartOrder"),
            ({"PartNumber": None}, "MalformedXML"),
            ({"ETag": None}, "MalformedXML"),
            ({"ChecksumCRC32": "AAAAAA=="}, "InvalidPart"),
        ],
    )
    def test_with_other_parts(self, wrong: dict[str, Any], code: str) -> None:
        s3, upload = begun()
        error = s3.refused("CompleteMultipartUpload", **upload, **named(s3, upload, **wrong))
        assert error.code == code
        same(s3.refused("HeadObject", **KEY), "NoSuchKey", 404)
        assert s3.ask("ListParts", **upload)["Parts"]

    @pytest.mark.parametrize("parts", [[], [{"PartNumber": 1, "ETag": "x"}] * 10_001])
    def test_with_too_few_or_too_many(self, parts: list[dict[str, Any]]) -> None:
        s3, upload = begun()
        error = s3.refused("CompleteMultipartUpload", **upload, MultipartUpload={"Parts": parts})
        same(error, "MalformedXML")

    def test_a_small_part_is_the_last(self) -> None:
        s3 = with_bucket()
        upload = {**KEY, "UploadId": s3.uploaded("bucket", "key", LAST, FIRST)}
        error = s3.refused("CompleteMultipartUpload", **upload, **named(s3, upload))
        same(error, "EntityTooSmall", ProposedSize=3, MinSizeAllowed=MIB5, PartNumber=1)

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ({"ChecksumType": "FULL_OBJECT"}, "created using the COMPOSITE checksum mode"),
            ({}, "must include the checksum for each part. It was missing for part 1"),
        ],
    )
    def test_as_it_began(self, said: dict[str, Any], words: str) -> None:
        s3, upload = begun(algorithm="CRC32")
        error = s3.refused("CompleteMultipartUpload", **upload, **named(s3, upload), **said)
        same(error, "InvalidRequest")
        assert words in error.message

    def test_with_a_checksum_of_another_kind(self) -> None:
        s3, upload = begun(algorithm="CRC32")
        parts = named(s3, upload, ChecksumSHA256=checksum("SHA256", FIRST))
        error = s3.refused("CompleteMultipartUpload", **upload, **parts)
        same(error, "BadDigest")
        assert "The sha256 you specified for part 1" in error.message
        s3, upload = begun()
        error = s3.refused(
            "CompleteMultipartUpload", **upload, **named(s3, upload), ChecksumType="COMPOSITE"
        )
        assert "created using the null checksum mode" in error.message

    def test_as_long_as_was_said(self) -> None:
        s3, upload = begun()
        ask = {**upload, **named(s3, upload)}
        error = s3.refused("CompleteMultipartUpload", **ask, MpuObjectSize=5)
        same(error, "InvalidRequest")
        assert f"header value 5 does not match what was computed: {MIB5 + 3}" in error.message
        assert s3.ask("CompleteMultipartUpload", **ask, MpuObjectSize=MIB5 + 3)

    def test_twice(self) -> None:
        """Whoever did not hear the answer asks again: with the same parts it is the same."""
        s3, upload = begun()
        ask = {**upload, **named(s3, upload), "MpuObjectSize": MIB5 + 3}
        said = s3.ask("CompleteMultipartUpload", **ask)
        assert s3.ask("CompleteMultipartUpload", **ask) == said
        fewer = {"MultipartUpload": {"Parts": ask["MultipartUpload"]["Parts"][:1]}}
        same(s3.refused("CompleteMultipartUpload", **upload, **fewer), "NoSuchUpload", 404)
        for operation in ("AbortMultipartUpload", "ListParts"):
            same(s3.refused(operation, **upload), "NoSuchUpload", 404)
        error = s3.refused("UploadPart", b"late", **upload, PartNumber=1)
        same(error, "NoSuchUpload", 404)
        assert s3.data("bucket", "key") == FIRST + LAST

    def test_on_conditions(self) -> None:
        s3, upload = begun()
        etag = s3.put("bucket", "key")["ETag"]
        ask = {**upload, **named(s3, upload)}
        error = s3.refused("CompleteMultipartUpload", **ask, IfNoneMatch="*")
        same(error, "PreconditionFailed", 412, Condition="If-None-Match")
        error = s3.refused("CompleteMultipartUpload", **ask, IfMatch='"x"')
        same(error, "PreconditionFailed", 412, Condition="If-Match")
        same(s3.refused("CompleteMultipartUpload", **ask, IfMatch="*"), "NotImplemented", 501)
        assert s3.data("bucket", "key") == b"data"
        assert s3.ask("CompleteMultipartUpload", **ask, IfMatch=etag)

    def test_a_copy_is_one_piece(self) -> None:
        s3, upload = begun(algorithm="SHA256")
        s3.completed("bucket", "key", upload["UploadId"])
        said = s3.ask("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/key")
        result = said["CopyObjectResult"]
        assert result["ETag"] == f'"{md5(FIRST + LAST)}"'
        assert result["ChecksumSHA256"] == checksum("SHA256", FIRST + LAST)
        assert result["ChecksumType"] == "FULL_OBJECT"
        assert "PartsCount" not in s3.ask("HeadObject", Bucket="bucket", Key="copy", PartNumber=1)


class TestGivenUp:
    def test_with_its_parts(self) -> None:
        s3, upload = begun()
        s3.ask("AbortMultipartUpload", **upload)
        same(s3.refused("AbortMultipartUpload", **upload), "NoSuchUpload", 404)
        assert s3.blobs.usage().bytes == 0

    def test_only_if(self) -> None:
        s3, upload = begun()
        error = s3.refused("AbortMultipartUpload", **upload, IfMatchInitiatedTime=0.0)
        assert error.code == "NotImplemented"


class TestListed:
    def test_what_a_page_says(self) -> None:
        s3 = with_bucket()
        upload_id = s3.uploaded("bucket", "a b", algorithm="CRC32")
        s3.uploaded("bucket", "c/d")
        page = s3.ask(
            "ListMultipartUploads", Bucket="bucket", Delimiter="/", EncodingType="url", MaxUploads=1
        )
        [upload] = page.pop("Uploads")
        assert upload.pop("Initiated") > 0
        assert upload.pop("Owner")["ID"] == upload.pop("Initiator")["ID"]
        assert upload == {
            "Key": "a+b",
            "UploadId": upload_id,
            "StorageClass": "STANDARD",
            "ChecksumAlgorithm": "CRC32",
            "ChecksumType": "COMPOSITE",
        }
        assert page == {
            "Bucket": "bucket",
            "KeyMarker": "",
            "UploadIdMarker": "",
            "NextKeyMarker": "a+b",
            "NextUploadIdMarker": upload_id,
            "MaxUploads": 1,
            "IsTruncated": True,
            "Delimiter": "/",
            "EncodingType": "url",
        }

    def test_of_nothing(self) -> None:
        assert with_bucket().ask("ListMultipartUploads", Bucket="bucket") == {
            "Bucket": "bucket",
            "KeyMarker": "",
            "UploadIdMarker": "",
            "NextKeyMarker": "",
            "NextUploadIdMarker": "",
            "MaxUploads": 1000,
            "IsTruncated": False,
        }

    @pytest.mark.parametrize("most", [1, 2, 1000])
    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ({}, ["a", "a", "b/1", "b/2", "c"]),
            ({"Delimiter": "/"}, ["a", "a", "b/", "c"]),
            ({"Prefix": "b/", "Delimiter": "/"}, ["b/1", "b/2"]),
            ({"Prefix": "x"}, []),
        ],
    )
    def test_over_pages(self, most: int, said: dict[str, Any], found: list[str]) -> None:
        s3 = with_bucket()
        for key in ("a", "b/2", "b/1", "c", "a"):
            s3.uploaded("bucket", key)
        told: list[str] = []
        while True:
            page = s3.ask("ListMultipartUploads", Bucket="bucket", MaxUploads=most, **said)
            told += [each["Key"] for each in page.get("Uploads", ())]
            told += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
            if not page["IsTruncated"]:
                break
            said = {
                **said,
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }
        assert sorted(told) == found

    def test_behind_a_marker(self) -> None:
        """Of a key alone, what is behind all uploads of that key; of an upload alone, nothing."""
        s3 = with_bucket()
        first = s3.uploaded("bucket", "a")
        second = s3.uploaded("bucket", "a")
        third = s3.uploaded("bucket", "b/1")

        def listed(**said: Any) -> list[str]:
            page = s3.ask("ListMultipartUploads", Bucket="bucket", **said)
            return [each["UploadId"] for each in page.get("Uploads", ())]

        assert listed(KeyMarker="a") == [third]
        assert listed(KeyMarker="a", UploadIdMarker=first) == [second, third]
        assert listed(UploadIdMarker=first) == [first, second, third]
        assert listed(KeyMarker="b/0", Delimiter="/") == []
