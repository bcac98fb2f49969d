"""Whose a request is, of those that might be S3's: by its signature, its Host and its shape."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inservice.gateway.answers import RequestIds
from inservice.gateway.carried import Places
from inservice.gateway.front import GatewayConnection
from inservice.gateway.storage import SignedForStorage, UnsignedForStorage
from inservice.objects.addressing import bucket_of_host
from inservice.transport.limits import Limits
from inservice.transport.messages import Request
from inservice.transport.server import Response, serve

from .rig import Rig, gateway, read_answer, run

HOST = b"127.0.0.1:7420"


def signed_for(service: bytes, algorithm: bytes = b"AWS4-HMAC-SHA256") -> bytes:
    scope = b"AKID/20260101/us-east-1/" + service + b"/aws4_request"
    return algorithm + b" Credential=" + scope + b", SignedHeaders=host, Signature=" + b"0" * 64


def presigned(service: bytes, slash: bytes = b"%2F") -> bytes:
    scope = slash.join((b"AKID", b"20260101", b"us-east-1", service, b"aws4_request"))
    return b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + scope


def with_storage(rig: Rig) -> None:
    pool = rig.gateway.client.pool(f"unix:{rig.directory / 'storage.sock'}")
    places, ids = Places(4), RequestIds()
    *first, last = rig.planes
    signed, unsigned = (kind(pool, places, ids) for kind in (SignedForStorage, UnsignedForStorage))
    rig.planes = (signed, *first, unsigned, last)


def claimed(rig: Rig, method: str, target: bytes, **fields: bytes) -> str:
    headers = [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    request = Request(
        method, target, 1, [*headers, *([] if "host" in fields else [(b"host", HOST)])]
    )
    connection = GatewayConnection(rig.server, rig.planes)
    return next(
        type(plane).__name__ for plane in rig.planes if plane.claim(connection, request) is not None
    )


SIGNED = "SignedForStorage"
UNSIGNED = "UnsignedForStorage"
RUNTIME, OTHERS, CONTROL = "RuntimePlane", "UnsignedPlane", "ControlPlane"
S3, SAGEMAKER = signed_for(b"s3"), signed_for(b"sagemaker")
LOCAL = b"mine.localhost:7420"
FORM = b"multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("plane", "method", "target", "fields"),
    [
        # by the scope of the signature, and never by the path
        (SIGNED, "GET", b"/bucket/key", {"authorization": S3}),
        (SIGNED, "GET", b"/", {"authorization": S3}),
        (SIGNED, "GET", b"/ping", {"authorization": S3}),
        (SIGNED, "GET", b"/metrics", {"authorization": S3}),
        (SIGNED, "POST", b"/endpoints/e/invocations", {"authorization": S3}),
        (SIGNED, "PUT", b"/x", {"authorization": signed_for(b"s3", b"AWS4-ECDSA-P256-SHA256")}),
        (SIGNED, "PUT", b"/x", {"authorization": b"AWS AKID:c2ln"}),
        (RUNTIME, "POST", b"/endpoints/e/invocations", {"authorization": SAGEMAKER}),
        (RUNTIME, "POST", b"/endpoints/e/invocations", {}),
        (RUNTIME, "POST", b"/endpoints/s3/aws4_request", {"authorization": SAGEMAKER}),
        (CONTROL, "POST", b"/", {"authorization": SAGEMAKER}),
        (CONTROL, "GET", b"/bucket/key", {"authorization": signed_for(b"ecr")}),
        (CONTROL, "GET", b"/bucket/key", {"authorization": signed_for(b"s3express")}),
        (CONTROL, "GET", b"/bucket/key", {"authorization": signed_for(b"xs3")}),
        (CONTROL, "GET", b"/metrics", {"authorization": b"Bearer t"}),
        (
            CONTROL,
            "GET",
            b"/v20180820/tags/x",
            {"authorization": S3, "x_amz_account_id": b"000000000000"},
        ),
        # by a presigned URL
        (SIGNED, "GET", b"/endpoints/e?" + presigned(b"s3"), {}),
        (SIGNED, "GET", b"/b/k?x-id=GetObject&" + presigned(b"s3", b"/"), {}),
        (SIGNED, "GET", b"/b/k?" + presigned(b"s3", b"%2f"), {}),
        (SIGNED, "GET", b"/b/k?AWSAccessKeyId=A&Signature=s&Expires=1", {}),
        (CONTROL, "GET", b"/?Action=GetCallerIdentity&" + presigned(b"sts"), {}),
        (CONTROL, "GET", b"/?Action=A&AWSAccessKeyId=A&Signature=s&Expires=1", {}),
        # a bucket before the server's name
        (SIGNED, "GET", b"/ping", {"host": LOCAL}),
        (SIGNED, "GET", b"/", {"host": LOCAL}),
        (SIGNED, "GET", b"/endpoints/x", {"host": b"mine.s3.us-east-1.amazonaws.com"}),
        (OTHERS, "GET", b"/ping", {"host": b"localhost:7420"}),
        (CONTROL, "POST", b"/", {"host": LOCAL, "x_amz_target": b"SageMaker.ListModels"}),
        # of nobody, and like S3's
        (UNSIGNED, "GET", b"/bucket/key", {}),
        (UNSIGNED, "HEAD", b"/bucket", {}),
        (UNSIGNED, "PUT", b"/bucket/key", {}),
        (UNSIGNED, "DELETE", b"/bucket/key", {}),
        (UNSIGNED, "OPTIONS", b"/bucket/key", {"origin": b"http://x"}),
        (UNSIGNED, "POST", b"/bucket?delete", {}),
        (UNSIGNED, "POST", b"/bucket/key?uploads=", {}),
        (UNSIGNED, "POST", b"/bucket/key?uploadId=x", {}),
        (UNSIGNED, "POST", b"/bucket", {"content_type": FORM}),
        (UNSIGNED, "GET", b"/", {"amz_sdk_request": b"attempt=1"}),
        # of nobody, and others'
        (OTHERS, "GET", b"/ping", {}),
        (OTHERS, "GET", b"/ready", {}),
        (OTHERS, "GET", b"/", {"accept": b"text/html"}),
        (CONTROL, "GET", b"/", {}),
        (CONTROL, "GET", b"/metrics", {}),
        (CONTROL, "GET", b"/instance-credentials", {}),
        (CONTROL, "POST", b"/", {}),
        (CONTROL, "POST", b"/nowhere", {}),
        (CONTROL, "POST", b"/", {"x_amz_target": b"SageMaker.ListModels"}),
        (
            CONTROL,
            "POST",
            b"/service/S/operation/O",
            {"smithy_protocol": b"rpc-v2-cbor"},
        ),
        (CONTROL, "GET", b"/?Action=AssumeRoleWithWebIdentity", {"amz_sdk_request": b"a"}),
        (CONTROL, "GET", b"/x?X-Amz-Credential=A%2F1%2Fr%2Fecr%2Faws4_request", {}),
    ],
)
def test_a_request_is_claimed(
    plane: str, method: str, target: bytes, fields: dict[str, bytes]
) -> None:
    async def test() -> None:
        async with gateway() as rig:
            with_storage(rig)
            assert claimed(rig, method, target, **fields) == plane

    run(test)


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("localhost:7420", ""),
        ("localhost", ""),
        ("127.0.0.1:7420", ""),
        ("[::1]:7420", ""),
        ("inservice.example.com", ""),
        ("mine.localhost:7420", "mine"),
        ("MINE.localhost.", "mine"),
        ("my.dotted.bucket.localhost", "my.dotted.bucket"),
        ("s3.localhost:7420", ""),
        ("mine.s3.localhost:7420", "mine"),
        ("s3.amazonaws.com", ""),
        ("s3.us-east-1.amazonaws.com", ""),
        ("mine.s3.amazonaws.com", "mine"),
        ("mine.s3.eu-west-1.amazonaws.com", "mine"),
        ("mine.s3-eu-west-1.amazonaws.com", "mine"),
        ("mine.s3.dualstack.eu-west-1.amazonaws.com", "mine"),
        ("my.dotted.bucket.s3.example.org:9000", "my.dotted.bucket"),
        ("s3", ""),
        ("news3.example.com", ""),
    ],
)
def test_a_bucket_is_told_by_the_host_as_far_as_it_can_be(host: str, bucket: str) -> None:
    assert bucket_of_host(host) == bucket


def test_while_storage_is_away_its_clients_hear_so_in_their_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inservice.gateway.carried.PATIENCE_SECONDS", 0.2)

    async def test() -> None:
        async with gateway() as rig:
            with_storage(rig)
            for request in (
                b"GET /bucket/key HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % S3,
                b"PUT /bucket/key HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
            ):
                reader, writer = await rig.connect()
                writer.write(request)
                status, headers, body = await read_answer(reader)
                writer.close()
                assert status == 503
                assert body.startswith(b"<?xml")
                assert b"<Code>ServiceUnavailable</Code>" in body
                assert b"xml" in headers[b"content-type"]

    run(test)


def test_a_body_that_keeps_no_pace_is_refused_as_s3_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with gateway(replace(Limits(), body_seconds=0.1)) as rig:
            with_storage(rig)
            taken = asyncio.Event()

            def answer(_: Request) -> Response:
                taken.set()
                return Response(200)

            path = rig.directory / "storage.sock"
            rig.backends.append(await serve(answer, path=path))
            reader, writer = await rig.connect()
            writer.write(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nslow")
            status, _, body = await read_answer(reader)
            writer.close()
            assert status == 408
            assert b"<Error><Code>RequestTimeout</Code>" in body
            assert not taken.is_set()

    run(test)
