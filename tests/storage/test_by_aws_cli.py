"""AWS's own command line: `aws s3` and `aws s3api`, unmodified, against the storage server."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..gateway.rig import KEY, REGION
from .hosted import hosted
from .rig import Storage

AWS = Path("/usr/bin/aws")
LARGE = bytes(range(256)) * 4096 * 9  # 9 MiB: more than the command line sends at once

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not AWS.exists(), reason="Debian's awscli is not installed"),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[Storage]:
    with hosted() as served:
        yield served


Aws = Callable[..., str]


@pytest.fixture
def aws(rig: Storage, tmp_path: Path) -> Aws:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    url = f"http://127.0.0.1:{rig.gateway.port}"
    environment = {
        **clean,
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": KEY.id,
        "AWS_SECRET_ACCESS_KEY": KEY.secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
    }

    def run(*words: str, typed: bytes = b"", code: int = 0) -> str:
        ran = subprocess.run(
            [AWS, f"--endpoint-url={url}", *words],  # Debian's does not know the variable for it
            input=typed,
            capture_output=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert ran.returncode == code, ran.stderr.decode()
        return (ran.stdout if code == 0 else ran.stderr).decode()

    return run


@pytest.fixture
def bucket(aws: Aws) -> str:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    aws("s3", "mb", f"s3://{name}")
    return name


def listed(aws: Aws, place: str) -> list[str]:
    lines = aws("s3", "ls", "--recursive", place).splitlines()
    return [line.split(maxsplit=3)[3] for line in lines]


def test_files_there_and_back(aws: Aws, bucket: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one.txt").write_text("one")
    (tree / "below" / "two.bin").write_bytes(LARGE)
    (tree / "below" / "ü +&.txt").write_text("odd")
    aws("s3", "cp", "--recursive", "tree", f"s3://{bucket}/tree")
    names = ["tree/below/two.bin", "tree/below/ü +&.txt", "tree/one.txt"]
    assert listed(aws, f"s3://{bucket}") == names
    assert "PRE below/" in aws("s3", "ls", f"s3://{bucket}/tree/")
    assert "Total Objects: 3" in aws("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}")
    aws("s3", "sync", f"s3://{bucket}/tree", "back")
    for path in ("one.txt", "below/two.bin", "below/ü +&.txt"):
        assert (tmp_path / "back" / path).read_bytes() == (tree / path).read_bytes()
    # A second one finds nothing to do: sizes and times agree.
    assert aws("s3", "sync", "tree", f"s3://{bucket}/tree") == ""
    assert aws("s3", "sync", f"s3://{bucket}/tree", "back") == ""
    (tree / "one.txt").unlink()
    said = aws("s3", "sync", "--delete", "tree", f"s3://{bucket}/tree")
    assert said == f"delete: s3://{bucket}/tree/one.txt\n"
    aws("s3", "rb", "--force", f"s3://{bucket}")
    assert f"{bucket}\n" not in aws("s3", "ls")


def test_objects_from_place_to_place(aws: Aws, bucket: str, tmp_path: Path) -> None:
    aws("s3", "cp", "-", f"s3://{bucket}/typed", typed=b"typed in")
    assert aws("s3", "cp", f"s3://{bucket}/typed", "-") == "typed in"
    (tmp_path / "large").write_bytes(LARGE)
    options = ("--metadata", "a=b", "--content-type", "text/x", "--storage-class", "STANDARD_IA")
    aws("s3", "cp", *options, "large", f"s3://{bucket}/large")
    other = f"{bucket}-2"
    aws("s3", "mb", f"s3://{other}")
    # One that came in parts is copied in parts: its headers and tags come along.
    aws("s3", "cp", f"s3://{bucket}/large", f"s3://{other}/copy")
    head = json.loads(aws("s3api", "head-object", "--bucket", other, "--key", "copy"))
    assert (head["Metadata"], head["ContentType"]) == ({"a": "b"}, "text/x")
    assert head["ContentLength"] == len(LARGE)
    aws("s3", "mv", f"s3://{other}/copy", f"s3://{bucket}/moved")
    assert aws("s3", "ls", f"s3://{other}") == ""
    aws("s3", "cp", f"s3://{bucket}/moved", "back")
    assert (tmp_path / "back").read_bytes() == LARGE
    aws("s3", "mv", f"s3://{bucket}/typed", "typed")
    assert (tmp_path / "typed").read_text() == "typed in"
    aws("s3", "rm", "--recursive", "--exclude", "large", f"s3://{bucket}")
    assert listed(aws, f"s3://{bucket}") == ["large"]


def test_a_presigned_url(aws: Aws, bucket: str) -> None:
    aws("s3", "cp", "-", f"s3://{bucket}/key", typed=b"by url")
    url = aws("s3", "presign", f"s3://{bucket}/key", "--expires-in", "60").strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"by url"


def test_what_is_wrong_is_said_as_of_aws(aws: Aws, bucket: str) -> None:
    said = aws("s3", "ls", "s3://no-such-bucket-here", code=254)
    assert "An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation" in said
    said = aws("s3", "cp", f"s3://{bucket}/absent", "-", code=1)
    assert "An error occurred (404) when calling the HeadObject operation" in said
    assert said.endswith(": Not Found\n")
    aws("s3", "cp", "-", f"s3://{bucket}/key", typed=b"x")
    said = aws("s3", "rb", f"s3://{bucket}", code=1)
    assert "(BucketNotEmpty) when calling the DeleteBucket operation" in said
    said = aws("s3", "website", f"s3://{bucket}", "--index-document", "i.html", code=254)
    assert "(NotImplemented) when calling the PutBucketWebsite operation" in said


@pytest.mark.long  # boto3 asks the same in test_by_boto3
def test_the_api_itself(aws: Aws, bucket: str, tmp_path: Path) -> None:
    """`s3api`, operation by operation, in the order in which somebody would ask."""

    def api(operation: str, *words: str, code: int = 0) -> Any:
        said = aws("s3api", operation, "--bucket", bucket, *words, code=code)
        return json.loads(said) if said.startswith("{") else said

    (tmp_path / "body").write_bytes(b"0123456789")
    put = api(
        *("put-object", "--key", "k", "--body", "body", "--tagging", "a=1"),
        *("--checksum-algorithm", "SHA256", "--metadata", "m=n"),
    )
    assert put["ChecksumSHA256"]
    head = api("head-object", "--key", "k", "--checksum-mode", "ENABLED")
    assert head["ChecksumSHA256"] == put["ChecksumSHA256"]
    got = api("get-object", "--key", "k", "--range", "bytes=2-4", "out")
    assert (got["ContentRange"], (tmp_path / "out").read_bytes()) == ("bytes 2-4/10", b"234")
    attributes = api("get-object-attributes", "--key", "k", "--object-attributes", "ObjectSize")
    assert attributes["ObjectSize"] == 10
    assert api("get-object-tagging", "--key", "k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    api("put-object-tagging", "--key", "k", "--tagging", "TagSet=[{Key=b,Value=2}]")
    api("delete-object-tagging", "--key", "k")
    assert api("get-object-acl", "--key", "k")["Grants"][0]["Permission"] == "FULL_CONTROL"
    copy = api("copy-object", "--key", "copy", "--copy-source", f"{bucket}/k")
    assert copy["CopyObjectResult"]["ETag"] == put["ETag"]
    page = api("list-objects-v2", "--max-items", "1")
    assert page["NextToken"]
    assert api("list-object-versions")["Versions"][0]["VersionId"] == "null"
    upload = api("create-multipart-upload", "--key", "parts")["UploadId"]
    part = api(
        *("upload-part", "--key", "parts", "--upload-id", upload, "--part-number", "1"),
        *("--body", "body"),
    )
    assert api("list-multipart-uploads")["Uploads"][0]["UploadId"] == upload
    assert api("list-parts", "--key", "parts", "--upload-id", upload)["Parts"][0]["Size"] == 10
    named = json.dumps({"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    done = api(
        *("complete-multipart-upload", "--key", "parts", "--upload-id", upload),
        *("--multipart-upload", named),
    )
    assert done["ETag"].endswith('-1"')
    gone = json.dumps({"Objects": [{"Key": "k"}, {"Key": "copy"}, {"Key": "parts"}]})
    assert len(api("delete-objects", "--delete", gone)["Deleted"]) == 3
    assert "(404)" in api("head-object", "--key", "k", code=254)
    api("delete-bucket")
