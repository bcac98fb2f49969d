"""Objects on a disk that is full: writes are refused in S3's form, and what is there stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import Server
from tests.acceptance.test_storage import MIB, s3
from tests.volumes import Volume, mounted
from tests.waiting import wait_until


@pytest.fixture
def small() -> Iterator[tuple[Volume, Server]]:
    """A volume with a server that has no model."""
    with mounted(48) as volume:
        started = Server.start(volume.path / "data")
        try:
            yield volume, started
        finally:
            volume.free()
            started.stop()


def test_a_write_is_refused_and_what_is_there_is_read_listed_and_deleted(
    small: tuple[Volume, Server],
) -> None:
    volume, objects = small
    client = s3(objects, retries={"total_max_attempts": 1})
    client.create_bucket(Bucket="full")
    body = os.urandom(MIB)
    client.put_object(Bucket="full", Key="there", Body=body)
    client.put_object(Bucket="full", Key="small", Body=b"small")
    upload = client.create_multipart_upload(Bucket="full", Key="parts")["UploadId"]
    volume.fill()
    for write in (
        lambda: client.put_object(Bucket="full", Key="there", Body=os.urandom(MIB)),
        lambda: client.put_object(Bucket="full", Key="tiny", Body=b"x"),
        lambda: client.create_bucket(Bucket="another"),
        lambda: client.upload_part(
            Bucket="full", Key="parts", UploadId=upload, PartNumber=1, Body=os.urandom(MIB)
        ),
    ):
        assert refused(write) == (503, "InsufficientStorage")
    assert client.get_object(Bucket="full", Key="there")["Body"].read() == body
    objects.kill("storage")
    wait_until(lambda: answers(client))
    listed = client.list_objects_v2(Bucket="full")["Contents"]
    assert [each["Key"] for each in listed] == ["small", "there"]
    client.delete_object(Bucket="full", Key="small")
    assert client.get_object(Bucket="full", Key="there")["Body"].read() == body
    volume.free()
    wait_until(volume.is_reserved)
    client.put_object(Bucket="full", Key="again", Body=body)
    listed = client.list_objects_v2(Bucket="full")["Contents"]
    assert [each["Key"] for each in listed] == ["again", "there"]


def test_an_upload_that_fills_the_disk_is_refused_and_takes_nothing(
    small: tuple[Volume, Server],
) -> None:
    volume, objects = small
    client = s3(objects, retries={"total_max_attempts": 1})
    client.create_bucket(Bucket="full")
    client.put_object(Bucket="full", Key="there", Body=b"x")
    too_much = bytes((volume.mib + 8) * MIB)
    assert refused(lambda: client.put_object(Bucket="full", Key="there", Body=too_much)) == (
        503,
        "InsufficientStorage",
    )
    assert client.get_object(Bucket="full", Key="there")["Body"].read() == b"x"
    wait_until(volume.is_reserved)
    client.put_object(Bucket="full", Key="there", Body=bytes(MIB))


def answers(client: object) -> bool:
    try:
        client.list_buckets()  # type: ignore[attr-defined]
    except ClientError:
        return False
    return True


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]
