"""What heads say, over sockets and through a gateway: ways to sign that are refused by their names,
keys as they stand in a path, and answers that have no body."""

from __future__ import annotations

import asyncio
import re
import time
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.gateway.rig import KEY, REGION, run
from tests.storage.rig import Storage, allow, called, policy, storage


async def answered(
    rig: Storage, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers, and the members of the error, of a request that nobody tidies up."""
    reader, writer = await rig.gateway.connect()
    sent = {"Host": f"127.0.0.1:{rig.gateway.port}", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**sent, **(headers or {})}.items())
    writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1")
    told = {
        name.lower(): value
        for name, value in re.findall(r"^([\w-]+): *(.*?)\r$", head, flags=re.MULTILINE)
    }
    size = 0 if method == "HEAD" else int(told.get("content-length", 0))
    document = await reader.readexactly(size)
    writer.close()
    error: dict[str, str] = {}
    if document.startswith(b"<?xml"):
        for element in ElementTree.fromstring(document):
            error[element.tag.rpartition("}")[2]] = element.text or ""
    return int(head.split()[1]), told, error


def signed(rig: Storage, method: str, target: str, body: bytes = b"") -> dict[str, str]:
    """The headers of a request of the root's, to exactly this target."""
    url = f"http://127.0.0.1:{rig.gateway.port}{target}"
    request = AWSRequest(method, url, data=body)
    credentials = Credentials(KEY.id, KEY.secret, KEY.session_token)
    S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def test_ways_to_sign_that_are_refused_by_name() -> None:
    async def test() -> None:
        async with storage() as rig:
            await called(rig.boto().create_bucket, Bucket="mine")
            old = "authorization mechanism you have provided is not supported. Please use AWS4-HMAC"
            how = "In boto3 that is Config(signature_version='s3v4'), or signature_version"
            v2 = "AWSAccessKeyId=AKIA&Expires=9999999999&Signature=c2ln"
            good = signed(rig, "GET", "/mine")
            sigv4a = good["Authorization"].replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
            form = {"Content-Type": "multipart/form-data; boundary=x"}
            for method, target, headers, code, words in (
                ("GET", "/mine", {"Authorization": "AWS AKIA:c2ln"}, "InvalidRequest", old),
                ("GET", f"/mine?{v2}", {}, "InvalidRequest", old),
                ("GET", f"/mine?{v2}", {}, "InvalidRequest", how),
                ("GET", "/mine", {**good, "Authorization": sigv4a}, "NotImplemented", "SigV4A"),
                ("POST", "/mine", form, "NotImplemented", "POST forms of S3"),
            ):
                status, _, error = await answered(rig, method, target, headers, b"")
                assert (error.get("Code"), words in error.get("Message", "")) == (code, True)
                assert status == (501 if code == "NotImplemented" else 400)

    run(test)


def test_a_presigned_url_of_more_than_a_week_or_of_yesterday() -> None:
    async def test() -> None:
        async with storage() as rig:
            credentials = Credentials(KEY.id, KEY.secret, KEY.session_token)
            request = AWSRequest("GET", f"http://127.0.0.1:{rig.gateway.port}/mine/k")
            S3SigV4QueryAuth(credentials, "s3", REGION, expires=604_801).add_auth(request)
            assert request.url is not None
            target = request.url.partition(str(rig.gateway.port))[2]
            status, _, error = await answered(rig, "GET", target)
            assert (status, error["Code"]) == (400, "AuthorizationQueryParametersError")
            day = time.strftime("%Y%m%d", time.gmtime(time.time() - 2 * 86_400))
            past = re.sub(r"\d{8}(?=T\d{6}Z|%2F)", day, target).replace("=604801", "=60")
            status, _, error = await answered(rig, "GET", past)
            assert (status, error["Code"], error["Message"]) == (
                403,
                "AccessDenied",
                "Request has expired",
            )
            assert error["X-Amz-Expires"] == "60"

    run(test)


KEYS = {
    "a//b": "a//b",
    "/leading": "/leading",
    "../../etc/passwd": "../../etc/passwd",
    "./a/../b/.": "./a/../b/.",
    "a%2Fb": "a/b",
    "a%252Fb": "a%2Fb",
    "plus%2Bplus": "plus+plus",
    "blank+blank": "blank blank",
    "%E2%82%AC": "€",
    "endpoints/x/invocations": "endpoints/x/invocations",
    "ping": "ping",
}
"""A path behind the bucket → the key."""


def test_a_key_is_what_the_path_says() -> None:
    """Through all that has a part in it: the gateway, the signature, the reading, the store."""

    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            await called(s3.delete_public_access_block, Bucket="mine")
            may = allow("s3:GetObject", on="arn:aws:s3:::mine/*", Principal="*")
            await called(s3.put_bucket_policy, Bucket="mine", Policy=policy(may))
            for raw, key in KEYS.items():
                await called(s3.put_object, Bucket="mine", Key=key, Body=key.encode())
                status, told, _ = await answered(rig, "GET", f"/mine/{raw}")
                assert (status, told["content-length"]) == (200, str(len(key.encode())))
                listed = await called(s3.list_objects_v2, Bucket="mine", Prefix=key)
                assert [each["Key"] for each in listed["Contents"]] == [key]
                await called(s3.delete_object, Bucket="mine", Key=key)
                assert (await answered(rig, "GET", f"/mine/{raw}"))[0] in (403, 404)

    run(test)


def test_a_signature_for_one_key_is_none_for_another() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            for key in ("a b", "a+b"):
                await called(s3.put_object, Bucket="mine", Key=key, Body=key.encode())
            headers = signed(rig, "GET", "/mine/a%20b")
            for target, status in (
                ("/mine/a%20b", 200),
                ("/mine/a+b", 200),
                ("/mine/a%2Bb", 403),
                ("/mine//a%20b", 403),
                ("/mine/./a%20b", 403),
            ):
                assert (await answered(rig, "GET", target, headers))[0] == status
            listing = signed(rig, "GET", "/mine?prefix=a%20b")
            assert (await answered(rig, "GET", "/mine?prefix=a%2Bb", listing))[0] == 403

    run(test)


def test_answers_without_a_body_have_none() -> None:
    async def test() -> None:
        async with storage() as rig:
            s3 = rig.boto()
            await called(s3.create_bucket, Bucket="mine")
            put = await called(s3.put_object, Bucket="mine", Key="k", Body=b"it")
            headers = signed(rig, "HEAD", "/mine/none")
            status, told, _ = await answered(rig, "HEAD", "/mine/none", headers)
            assert status == 404
            assert told["x-amz-request-id"]
            headers = {**signed(rig, "GET", "/mine/k"), "If-None-Match": put["ETag"]}
            status, told, error = await answered(rig, "GET", "/mine/k", headers)
            assert (status, error) == (304, {})
            assert int(told.get("content-length", 0)) == 0

    run(test)
