"""Bodies as clients send them that boto3 is not: signed by hand, over sockets, through a gateway.

Java's and Go's SDKs sign chunks over HTTP, others put a checksum behind the body, some write one
byte at a time, and whoever means harm puts more into a body than was said. What is acknowledged is
there with its digests; whatever else came left nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

import pytest

from inservice.identity.sigv4.s3 import SIGNED_CHUNKS, UNSIGNED_CHUNKS_TRAILER
from tests.gateway.rig import KEY, run
from tests.storage.encoded import KINDS, Upload, checksum
from tests.storage.rig import Storage, called, storage

LARGE = bytes(range(256)) * 400


def upload(rig: Storage, kind: bytes, chunks: list[bytes], key: str, **more: Any) -> Upload:
    """PutObject into the bucket, signed now with the root's key."""
    return Upload(
        kind,
        chunks,
        path=f"/mine/{key}",
        host=f"127.0.0.1:{rig.gateway.port}",
        key_id=KEY.id,
        secret=KEY.secret,
        at=time.time(),
        **more,
    )


async def answered(
    rig: Storage, sent: Upload, pieces: Iterable[bytes], *, length: int | None
) -> tuple[int, dict[str, str], str]:
    """Status, headers and error code of a PutObject whose body goes out in these pieces; without a
    length it goes in HTTP's own chunks."""
    reader, writer = await rig.gateway.connect()
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    fields = b"".join(b"%b: %b\r\n" % field for field in sent.fields.items())
    writer.write(b"PUT %b HTTP/1.1\r\n%b%b\r\n\r\n" % (sent.path.encode(), fields, framing))
    try:
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if length is None else piece)
            await writer.drain()
        if length is None:
            writer.write(b"0\r\n\r\n")
    except ConnectionError:
        pass  # refused before all had been sent
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1")
    told = {
        name.lower(): value
        for name, value in re.findall(r"^([\w-]+): *(.*?)\r$", head, flags=re.MULTILINE)
    }
    body = await reader.readexactly(int(told.get("content-length", 0)))
    writer.close()
    code = ElementTree.fromstring(body).findtext("Code") if body else ""
    return int(head.split()[1]), told, code or ""


async def stored(rig: Storage, key: str) -> bytes | None:
    s3 = rig.boto()
    try:
        got = await called(s3.get_object, Bucket="mine", Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    body: bytes = await asyncio.to_thread(got["Body"].read)
    return body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("framed", [False, True])
def test_chunks_of_every_kind_are_taken(kind: bytes, framed: bool) -> None:
    async def test() -> None:
        async with storage() as rig:
            await called(rig.boto().create_bucket, Bucket="mine")
            trailer = None if kind == SIGNED_CHUNKS else "x-amz-checksum-crc32c"
            headers = {"content-encoding": "aws-chunked,gzip"}
            sent = upload(rig, kind, [LARGE, b"rest"], "k", trailer=trailer, headers=headers)
            encoded = sent.encoded()
            length = None if framed else len(encoded)
            status, told, _ = await answered(rig, sent, [encoded], length=length)
            assert status == 200
            if trailer is not None:
                assert told[trailer] == checksum("CRC32C", LARGE + b"rest")
            assert await stored(rig, "k") == LARGE + b"rest"
            head = await called(rig.boto().head_object, Bucket="mine", Key="k")
            assert head["ContentEncoding"] == "gzip"
            assert head["ContentLength"] == len(LARGE) + 4

    run(test)


def test_a_slow_writer_is_waited_for_byte_by_byte() -> None:
    async def test() -> None:
        async with storage() as rig:
            await called(rig.boto().create_bucket, Bucket="mine")
            sent = upload(rig, SIGNED_CHUNKS, [b"one", b""][:1], "slow")
            encoded = sent.encoded()
            pieces = (encoded[at : at + 1] for at in range(len(encoded)))
            status, _, _ = await answered(rig, sent, pieces, length=len(encoded))
            assert (status, await stored(rig, "slow")) == (200, b"one")

    run(test)


def test_what_was_not_said_or_not_signed_leaves_nothing() -> None:
    async def test() -> None:
        async with storage() as rig:
            await called(rig.boto().create_bucket, Bucket="mine")
            plain = upload(rig, UNSIGNED_CHUNKS_TRAILER, [b"data"], "k")
            signed = upload(rig, SIGNED_CHUNKS, [LARGE, b"rest"], "k")
            good = signed.encoded()
            smuggled = b"4\r\ndata\r\n0\r\n\r\nDELETE /mine HTTP/1.1\r\nhost: h\r\n\r\n"
            for sent, encoded, code in (
                (plain, smuggled, "MalformedTrailerError"),
                (plain, b"4\r\ndata\r\n", "IncompleteBody"),
                (plain, b"-4\r\ndata\r\n0\r\n\r\n", "IncompleteBody"),
                (plain, b"ffffffffffff\r\ndata", "IncompleteBody"),
                (plain, b"4;" + b"x" * 100_000, "IncompleteBody"),
                (signed, good.replace(b"rest", b"tser"), "SignatureDoesNotMatch"),
                (signed, good[:-90] + b"\r\n", "IncompleteBody"),
            ):
                status, _, told = await answered(rig, sent, [encoded], length=len(encoded))
                assert (told, status >= 400) == (code, True)
                assert await stored(rig, "k") is None
            assert (await called(rig.boto().list_buckets))["Buckets"][0]["Name"] == "mine"

    run(test)


def test_a_refused_body_is_not_waited_for() -> None:
    """What the head is wrong in is answered while the body has not come."""

    async def test() -> None:
        async with storage() as rig:
            await called(rig.boto().create_bucket, Bucket="mine")
            for headers, code in (
                ({"content-md5": "no digest"}, "InvalidDigest"),
                ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
                ({"x-amz-trailer": "x-amz-checksum-crc16"}, "InvalidRequest"),
            ):
                sent = upload(rig, UNSIGNED_CHUNKS_TRAILER, [b"data"], "k", headers=headers)
                _, _, told = await answered(rig, sent, [], length=1_000_000)
                assert told == code

    run(test)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256", "SHA512"])
def test_boto3_s_checksums_are_verified_kept_and_told(algorithm: str) -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            value = checksum(algorithm, LARGE)
            member = f"Checksum{algorithm}"
            put = await called(
                s3.put_object, Bucket="mine", Key="k", Body=LARGE, ChecksumAlgorithm=algorithm
            )
            assert put[member] == value
            head = await called(s3.head_object, Bucket="mine", Key="k", ChecksumMode="ENABLED")
            assert head[member] == value
            assert await stored(rig, "k") == LARGE
            wrong = {"Bucket": "mine", "Key": "other", "Body": b"x", member: value}
            with pytest.raises(s3.exceptions.ClientError, match="BadDigest"):
                await called(s3.put_object, **wrong)
            assert await stored(rig, "other") is None

    run(test)
