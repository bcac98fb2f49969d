"""What a browser is told for pages of other origins: the words and headers are S3's."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from inservice.storage.cors import allowed

from .hosted import hosted
from .rig import Storage

PAGE = "https://app.example"
RULE: dict[str, Any] = {
    "AllowedMethods": ["GET", "PUT"],
    "AllowedOrigins": [PAGE, "http://*.test"],
    "AllowedHeaders": ["x-amz-*", "Content-Type"],
    "ExposeHeaders": ["ETag"],
    "MaxAgeSeconds": 60,
}
TOLD = {
    "Access-Control-Allow-Origin": PAGE,
    "Access-Control-Allow-Methods": "GET, PUT",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "ETag",
    "Access-Control-Max-Age": "60",
    "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
}
LOWER = {name.lower(): value for name, value in TOLD.items()}


@pytest.mark.parametrize(
    ("origin", "method", "headers", "fits"),
    [
        (PAGE, "GET", [], True),
        (PAGE, "DELETE", [], False),
        ("https://app.example.org", "GET", [], False),
        ("http://a.test", "PUT", [], True),
        ("http://.test", "PUT", [], True),
        ("http://test", "PUT", [], False),
        (PAGE, "PUT", ["x-amz-acl", "content-type"], True),
        (PAGE, "PUT", ["x-amz-acl", "authorization"], False),
        ("", "GET", [], False),
    ],
)
def test_rules(origin: str, method: str, headers: list[str], fits: bool) -> None:
    assert (allowed([RULE], origin, method, headers) is not None) is fits


def test_the_first_rule_that_fits_is_told() -> None:
    everybody = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    assert allowed([RULE, everybody], PAGE, "GET") == TOLD
    assert allowed([RULE, everybody], "null", "GET") == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET",
        "Vary": TOLD["Vary"],
    }
    assert allowed([RULE, everybody], "null", "GET", ["x-amz-acl"]) is None


@pytest.fixture(scope="module")
def rig() -> Iterator[Storage]:
    with hosted() as served:
        client = served.boto()
        for name in ("with", "without"):
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="key", Body=b"data")
        client.put_bucket_cors(Bucket="with", CORSConfiguration={"CORSRules": [RULE]})
        client.close()
        yield served


def asked(
    rig: Storage, method: str, path: str, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", rig.gateway.port)
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def preflight(rig: Storage, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked(rig, "OPTIONS", path, named)


def test_a_preflight_is_told_of_the_rule(rig: Storage) -> None:
    status, headers, body = preflight(
        rig,
        "/with/key",
        Origin=PAGE,
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="X-Amz-Acl, content-type",
    )
    assert (status, body) == (200, "")
    assert headers["access-control-allow-headers"] == "x-amz-acl, content-type"
    assert LOWER.items() <= headers.items()
    assert headers["x-amz-request-id"]


@pytest.mark.parametrize(
    ("path", "said", "status", "code", "words", "kind"),
    [
        ("/with", {}, 400, "BadRequest", "Insufficient information. Origin request", ""),
        ("/absent", {}, 400, "BadRequest", "Insufficient information. Origin request", ""),
        ("/absent", {"Origin": PAGE}, 403, "AccessForbidden", "CORS is not enabled", "BUCKET"),
        (
            "/without/key",
            {"Origin": PAGE, "Access_Control_Request_Method": "PUT"},
            *(403, "AccessForbidden", "CORS is not enabled for this bucket", "BUCKET"),
        ),
        ("/with", {"Origin": PAGE}, 400, "BadRequest", "Access-Control-Request-Method", ""),
        (
            "/with/key",
            {"Origin": "https://other.example", "Access_Control_Request_Method": "GET"},
            *(403, "AccessForbidden", "This CORS request is not allowed", "OBJECT"),
        ),
        (
            "/with",
            {"Origin": PAGE, "Access_Control_Request_Method": "DELETE"},
            *(403, "AccessForbidden", "This CORS request is not allowed", "BUCKET"),
        ),
    ],
)
def test_a_preflight_is_refused(
    rig: Storage, path: str, said: dict[str, str], status: int, code: str, words: str, kind: str
) -> None:
    answered, headers, body = preflight(rig, path, **said)
    assert answered == status
    assert f"<Code>{code}</Code>" in body
    assert words in body
    assert "access-control-allow-origin" not in headers
    found = re.search("<ResourceType>(.*?)</ResourceType>", body)
    assert (found[1] if found else "") == kind


def test_an_answer_is_told_of_it_as_well(rig: Storage) -> None:
    client = rig.boto(signature_version="s3v4")
    url = client.generate_presigned_url("get_object", {"Bucket": "with", "Key": "key"})
    client.close()
    path = url.partition(f":{rig.gateway.port}")[2]
    status, headers, body = asked(rig, "GET", path, {"Origin": PAGE})
    assert (status, body) == (200, "data")
    assert LOWER.items() <= headers.items()
    status, headers, body = asked(rig, "GET", path, {"Origin": "https://other.example"})
    assert (status, body) == (200, "data")
    assert "access-control-allow-origin" not in headers
    status, headers, _ = asked(rig, "GET", "/with/key", {"Origin": PAGE})
    assert status == 403  # who is refused is told so, where a page may read it
    assert headers["access-control-allow-origin"] == PAGE
