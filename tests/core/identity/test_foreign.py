"""Signatures of services that are not here, made by botocore, S3's dialect among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import (
    S3SigV4Auth,
    S3SigV4QueryAuth,
    SigV4Auth,
    SigV4QueryAuth,
)
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.identity.signers import HOST, KEY, KEYS, TEMPORARY, Key

from inservice.errors import (
    AwsError,
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    OutdatedSignature,
    UnrecognizedClient,
)
from inservice.identity.foreign import ForeignRequest, stated_service, verify
from inservice.s3_errors import (
    InvalidArgument,
    SignatureDoesNotMatch,
    XAmzContentSHA256Mismatch,
)


def now() -> float:
    return datetime.now(UTC).timestamp()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def signed(
    auth: type[SigV4Auth],
    service: str,
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    body: bytes = b"",
    key_id: str = "AKIA",
    context: dict[str, Any] | None = None,
    **headers: str,
) -> ForeignRequest:
    key = KEYS.get(key_id, KEY)
    url = f"http://{HOST}{path}{'?' if query else ''}{query}"
    request = AWSRequest(method, url, data=body, headers=headers)
    request.context.update(context or {})
    credentials = Credentials(key_id, key.secret, key.session_token)
    auth(credentials, service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    fields = [(name.lower().encode(), _bytes(value)) for name, value in prepared.headers.items()]
    target = prepared.url.removeprefix(f"http://{HOST}")
    sent_path, _, sent_query = target.partition("?")
    return ForeignRequest(
        method,
        sent_path.encode(),
        sent_query.encode(),
        [(b"host", HOST.encode()), *(f for f in fields if f[0] != b"host")],
        body,
    )


def refused(request: ForeignRequest, kind: type[AwsError], at: float | None = None) -> None:
    with pytest.raises(kind):
        verify(request, keys=KEYS.get, now=at or now())


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t"), max_size=12)
PATHS = st.lists(TEXT, max_size=4).map(lambda parts: "/" + quote("/".join(parts), safe="/~"))
QUERIES = st.lists(st.tuples(TEXT, TEXT), max_size=4, unique_by=lambda pair: pair[0]).map(
    lambda pairs: "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs if k)
)
AUTHS = [
    (SigV4Auth, "ecr"),
    (SigV4QueryAuth, "sns"),
    (S3SigV4Auth, "s3"),
    (S3SigV4QueryAuth, "s3"),
]


@pytest.mark.parametrize(("auth", "service"), AUTHS, ids=lambda part: str(part))
@settings(max_examples=50)
@given(path=PATHS, query=QUERIES, body=st.binary(max_size=8))
def test_what_botocore_signs_is_verified_and_nothing_else(
    auth: type[SigV4Auth], service: str, path: str, query: str, body: bytes
) -> None:
    if issubclass(auth, SigV4QueryAuth):
        body = b""  # botocore makes parameters of it
    method = "POST" if body else "GET"
    request = signed(auth, service, method=method, path=path, query=query, body=body)
    assert stated_service(request.headers, request.query) == service
    assert verify(request, keys=KEYS.get, now=now()) == KEY
    mismatch = SignatureDoesNotMatch if service == "s3" else InvalidSignature
    refused(replace(request, method="DELETE"), mismatch)
    refused(replace(request, path=request.path + b"x"), mismatch)
    refused(replace(request, query=request.query + b"&zz=1"), mismatch)
    host = [(b"host", b"elsewhere"), *request.headers[1:]]
    refused(replace(request, headers=host), mismatch)
    if auth is not S3SigV4QueryAuth:  # which leaves the body unsigned
        other = XAmzContentSHA256Mismatch if service == "s3" else InvalidSignature
        refused(replace(request, body=body + b"x"), other)


@pytest.mark.parametrize(
    "mark",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    ],
)
def test_bodies_that_s3_signs_in_other_ways(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3SigV4Auth, "payload", lambda *_: mark)
    monkeypatch.setattr(S3SigV4Auth, "_should_sha256_sign_payload", lambda *_: True)
    request = signed(S3SigV4Auth, "s3", method="PUT", path="/b/k", body=b"chunks")
    assert dict(request.headers)[b"x-amz-content-sha256"] == mark.encode()
    assert verify(request, keys=KEYS.get, now=now()) == KEY
    other = [(n, b"UNSIGNED-X" if n == b"x-amz-content-sha256" else v) for n, v in request.headers]
    refused(replace(request, headers=other), InvalidArgument)


def test_a_parameter_that_repeats_and_blanks_in_headers() -> None:
    query = "tagKeys=b&tagKeys=a&tagKeys=b&empty"
    headers: dict[str, Any] = {"X-Y": "a   b"}
    request = signed(SigV4Auth, "eks", method="DELETE", path="/tags/x", query=query, **headers)
    assert verify(request, keys=KEYS.get, now=now()) == KEY


@pytest.mark.parametrize("auth", [SigV4Auth, SigV4QueryAuth])
def test_temporary_keys_come_with_their_token(auth: type[SigV4Auth]) -> None:
    request = signed(auth, "ecr", key_id="ASIA")
    assert verify(request, keys=KEYS.get, now=now()) == TEMPORARY
    with pytest.raises(UnrecognizedClient):
        verify(request, keys={"ASIA": KEY}.get, now=now())
    with pytest.raises(UnrecognizedClient):
        verify(request, keys=dict[str, Key]().get, now=now())
    refused(signed(auth, "ecr", key_id="OVER"), ExpiredToken)


def test_clocks_and_lifetimes() -> None:
    for auth, lifetime in ((SigV4Auth, 300), (SigV4QueryAuth, 3_600)):
        request = signed(auth, "ecr")
        assert verify(request, keys=KEYS.get, now=now() + lifetime - 5) == KEY
        refused(request, InvalidSignature, now() + lifetime + 5)
        refused(request, InvalidSignature, now() - 305)


def test_version_2_is_told_apart_and_is_s3_s_alone() -> None:
    header = [(b"host", HOST.encode()), (b"authorization", b"AWS AKIA:c2ln=")]
    presigned = b"AWSAccessKeyId=AKIA&Expires=1&Signature=c2ln"
    for headers, query in ((header, b""), (header[:1], presigned)):
        assert stated_service(headers, query) == "s3"
        refused(ForeignRequest("GET", b"/b/k", query, headers, b""), OutdatedSignature)
    bare = ForeignRequest("GET", b"/b", b"X-Amz-Credential=A/20260101/r/s3/aws4_request", [], b"")
    refused(bare, MissingAuthenticationToken)
    for query in (b"", presigned + b"&Action=DescribeAlarms&SignatureVersion=2", b"Signature=c2ln"):
        assert stated_service(header[:1], query) is None
        refused(ForeignRequest("GET", b"/", query, header[:1], b""), MissingAuthenticationToken)


def test_what_is_no_signature() -> None:
    bare = ForeignRequest("GET", b"/", b"", [(b"host", HOST.encode())], b"")
    refused(bare, MissingAuthenticationToken)
    assert stated_service(bare.headers, b"") is None
    good = dict(signed(SigV4Auth, "ecr").headers)
    for name, value in (
        (b"authorization", good[b"authorization"].replace(b"/aws4_request", b"/aws5_request")),
        (b"authorization", good[b"authorization"][:-1]),
        (b"x-amz-date", b"yesterday"),
    ):
        refused(replace(bare, headers=list({**good, name: value}.items())), IncompleteSignature)
    del good[b"x-amz-date"]
    refused(replace(bare, headers=list(good.items())), IncompleteSignature)
