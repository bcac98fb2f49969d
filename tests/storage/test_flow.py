"""boto3, unmodified, through the gateway and the path of a request in the storage process."""

from __future__ import annotations

import asyncio
import urllib.request
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.transport.limits import MIB

from ..gateway.rig import run
from .rig import Storage, called, storage

BODY = bytes(range(256)) * 4096 * 3 + b"end"  # 3 MiB and a bit


async def refused(function: Any, **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        await called(function, **arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_the_whole_of_it() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            put = await called(s3.put_object, Bucket="mine", Key="a//b ü", Body=b"small")
            assert put["ETag"]
            got = await called(s3.get_object, Bucket="mine", Key="a//b ü")
            assert await asyncio.to_thread(got["Body"].read) == b"small"
            await called(s3.put_object, Bucket="mine", Key="large", Body=BODY)
            got = await called(s3.get_object, Bucket="mine", Key="large")
            assert await asyncio.to_thread(got["Body"].read) == BODY
            got = await called(s3.get_object, Bucket="mine", Key="large", Range="bytes=5-9")
            assert await asyncio.to_thread(got["Body"].read) == BODY[5:10]
            head = await called(s3.head_object, Bucket="mine", Key="large")
            assert head["ContentLength"] == len(BODY)
            listed = await called(s3.list_objects_v2, Bucket="mine")
            assert [each["Key"] for each in listed["Contents"]] == ["a//b ü", "large"]
            copied = {"Bucket": "mine", "Key": "large"}
            await called(s3.copy_object, Bucket="mine", Key="copy", CopySource=copied)
            await called(s3.delete_object, Bucket="mine", Key="large")
            assert await refused(s3.head_object, Bucket="mine", Key="large") == ("404", 404)
            gone = {"Objects": [{"Key": "copy"}, {"Key": "a//b ü"}]}
            await called(s3.delete_objects, Bucket="mine", Delete=gone)
            await called(s3.delete_bucket, Bucket="mine")
            assert (await called(s3.list_buckets))["Buckets"] == []

    run(test)


def test_an_upload_in_parts_as_the_transfer_manager_makes_it() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            body = BODY * 6
            transfer = {"Fileobj": BytesIO(body), "Bucket": "mine", "Key": "large"}
            await called(s3.upload_fileobj, **transfer)
            got = BytesIO()
            await called(s3.download_fileobj, Bucket="mine", Key="large", Fileobj=got)
            assert sha256(got.getvalue()).digest() == sha256(body).digest()
            head = await called(s3.head_object, Bucket="mine", Key="large")
            assert "-" in head["ETag"]

    run(test)


def test_presigned_urls_are_enough() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto(signature_version="s3v4")
            await called(s3.create_bucket, Bucket="mine")
            named = {"Bucket": "mine", "Key": "endpoints"}
            put = s3.generate_presigned_url("put_object", named)
            request = urllib.request.Request(put, data=b"by url", method="PUT")
            with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
                assert answer.status == 200
            get = s3.generate_presigned_url("get_object", named)
            with await asyncio.to_thread(urllib.request.urlopen, get) as answer:
                assert answer.read() == b"by url"

    run(test)


@pytest.mark.parametrize("name", ["endpoints", "ping", "ready", "metrics"])
def test_a_bucket_may_have_the_name_of_another_plane(name: str) -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket=name)
            await called(s3.put_object, Bucket=name, Key="e/invocations", Body=b"x")
            listed = await called(s3.list_objects_v2, Bucket=name)
            assert [each["Key"] for each in listed["Contents"]] == ["e/invocations"]

    run(test)


def test_a_bucket_before_the_name_of_the_server() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            s3.meta.events.register("before-send.s3", _by_loopback(rig.gateway.port))
            virtual = rig.boto(s3={"addressing_style": "virtual"})
            url = f"http://localhost:{rig.gateway.port}"
            virtual.meta.events.register("before-send.s3", _by_loopback(rig.gateway.port))
            virtual._endpoint.host = url
            await called(s3.put_object, Bucket="mine", Key="ping", Body=b"not alive")
            reader, writer = await rig.gateway.connect()
            writer.write(b"GET /ping HTTP/1.1\r\nHost: mine.localhost:7420\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"403" in head.splitlines()[0]  # of the bucket: nobody gave it to anybody

    run(test)


def _by_loopback(port: int) -> Any:
    return lambda **_: None


def test_a_download_waits_for_who_takes_it() -> None:
    """The memory of a few reads, whatever the object's size."""

    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto(signature_version="s3v4")
            await called(s3.create_bucket, Bucket="mine")
            await called(s3.put_object, Bucket="mine", Key="large", Body=bytes(32 * MIB))
            url = s3.generate_presigned_url("get_object", {"Bucket": "mine", "Key": "large"})
            path = url.partition(f":{rig.gateway.port}")[2]
            reader, writer = await rig.gateway.connect()
            host = f"127.0.0.1:{rig.gateway.port}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            await stalled(rig)
            kept = sum(
                one.transport.get_write_buffer_size()
                for one in (*rig.server.connections, *rig.gateway.server.connections)
            )
            assert kept < 2 * MIB
            rest = await reader.readexactly(32 * MIB)
            assert len(rest) == 32 * MIB
            writer.close()

    run(test)


async def stalled(rig: Storage) -> None:
    """Until whoever sends is waiting for who takes."""
    async with asyncio.timeout(20):
        while not any(not one.writable for one in rig.server.connections):  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)


def test_an_upload_that_is_cut_is_nowhere() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto(signature_version="s3v4")
            await called(s3.create_bucket, Bucket="mine")
            url = s3.generate_presigned_url("put_object", {"Bucket": "mine", "Key": "half"})
            path = url.partition(f":{rig.gateway.port}")[2]
            host = f"127.0.0.1:{rig.gateway.port}"
            _, writer = await rig.gateway.connect()
            writer.write(f"PUT {path} HTTP/1.1\r\nHost: {host}\r\n".encode())
            writer.write(b"Content-Length: 1000000\r\n\r\n" + bytes(500_000))
            await writer.drain()
            async with asyncio.timeout(20):
                while not rig.server.connections:
                    await asyncio.sleep(0.01)
            writer.close()
            async with asyncio.timeout(20):
                while any(one.idle is False for one in rig.server.connections):
                    await asyncio.sleep(0.01)
            listed = await called(s3.list_objects_v2, Bucket="mine")
            assert listed["KeyCount"] == 0

    run(test)


def test_what_is_refused_by_its_head_is_refused_before_its_body() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto(signature_version="s3v4")
            url = s3.generate_presigned_url("put_object", {"Bucket": "none", "Key": "k"})
            path = url.partition(f":{rig.gateway.port}")[2]
            host = f"127.0.0.1:{rig.gateway.port}"
            reader, writer = await rig.gateway.connect()
            writer.write(f"PUT {path} HTTP/1.1\r\nHost: {host}\r\n".encode())
            writer.write(b"Expect: 100-continue\r\nContent-Length: 5000000000\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            assert b"NoSuchBucket" in await reader.read()
            writer.close()

    run(test)
