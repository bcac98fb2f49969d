"""botocore signs, we verify; then everything that can be changed about a signed request is."""

from __future__ import annotations

import json
import posixpath
import re
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from string import ascii_lowercase, digits
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.depth import examples

from inservice.errors import (
    AuthenticationError,
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)
from inservice.identity.principal import AccessKey, Account
from inservice.identity.sigv4 import claims

ROOT = Account("000000000000").root
KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ROOT)
TEMPORARY = AccessKey("ASIAEXAMPLE", "another/secret", ROOT, session_token="IQoJb3JpZ2luX2VjE==")
KEYS = {key.id: key for key in (KEY, TEMPORARY)}
NOBODY: dict[str, AccessKey] = {}
SERVICES = frozenset({"sagemaker", "monitoring"})


@dataclass(frozen=True)
class Signed:
    """A request as a server receives it."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    at: float  # epoch seconds

    def verify(self, now: float | None = None, **changes: Any) -> claims.Claim[AccessKey]:
        arguments: dict[str, Any] = {"keys": KEYS.get, "services": SERVICES, **changes}
        return claims.verify(
            self.method,
            self.path,
            self.query,
            self.headers,
            sha256(self.body).hexdigest(),
            now=self.at if now is None else now,
            **arguments,
        )

    def header(self, name: bytes, change: Callable[[bytes], bytes]) -> Signed:
        return replace(
            self,
            headers=tuple((n, change(v) if n == name else v) for n, v in self.headers),
        )

    def with_value(self, name: bytes, value: bytes) -> Signed:
        return self.header(name, lambda _: value)

    def with_header(self, name: bytes, value: bytes) -> Signed:
        return replace(self, headers=(*self.headers, (name, value)))

    def without(self, name: bytes) -> Signed:
        return replace(self, headers=tuple(h for h in self.headers if h[0] != name))


def sign(
    *,
    method: str = "POST",
    target: str = "/",
    body: bytes = b'{"EndpointName": "demo"}',
    headers: dict[str, str] | None = None,
    key: AccessKey = KEY,
    region: str = "eu-central-1",
    service: str = "sagemaker",
    presigned: int | None = None,
) -> Signed:
    """Let botocore sign."""
    request = AWSRequest(method, f"http://127.0.0.1:7420{target}", data=body, headers=headers or {})
    credentials = Credentials(key.id, key.secret, key.session_token)
    if presigned is None:
        SigV4Auth(credentials, service, region).add_auth(request)
    else:
        SigV4QueryAuth(credentials, service, region, expires=presigned).add_auth(request)
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    stamp = request.context["timestamp"]
    received = {name.lower().encode(): _bytes(value) for name, value in prepared.headers.items()}
    received[b"host"] = b"127.0.0.1:7420"
    return Signed(
        method=method,
        path=url.path.encode(),
        query=url.query.encode(),
        headers=tuple(received.items()),
        body=body,
        at=datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp(),
    )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


JSON = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.DescribeEndpoint"}
names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFG0123456789-_.~", min_size=1, max_size=8)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
segments = st.lists(names | st.just("a%20b") | st.just("x%2Fy"), max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> Signed:
    pairs = draw(st.dictionaries(names, st.text(max_size=6), max_size=3))
    safe = "-_.~"
    query = "&".join(f"{quote(k, safe=safe)}={quote(v, safe=safe)}" for k, v in pairs.items())
    path = "/" + "/".join(draw(segments))
    headers = {
        f"x-amzn-sagemaker-{name.lower()}": value
        for name, value in draw(st.dictionaries(names, texts, max_size=3)).items()
    }
    presigned = draw(st.none() | st.integers(1, 604_800))
    return sign(
        method=draw(st.sampled_from(["GET", "POST", "PUT"])),
        target=f"{path}?{query}" if query else path,
        body=draw(st.binary(max_size=40)) if presigned is None else b"",
        headers={**headers, "Content-Type": "text/csv"} if draw(st.booleans()) else headers,
        key=draw(st.sampled_from([KEY, TEMPORARY])),
        region=draw(st.sampled_from(["us-east-1", "eu-central-1", "local", "cn-north-1"])),
        service=draw(st.sampled_from(sorted(SERVICES))),
        presigned=presigned,
    )


@settings(max_examples=examples(200), deadline=None, database=None)
@given(requests())
def test_what_botocore_signs_is_accepted(request: Signed) -> None:
    claim = request.verify()
    assert claim.key in (KEY, TEMPORARY)
    assert claim.service in SERVICES


def test_a_claim_names_the_key_and_the_region_of_the_scope() -> None:
    claim = sign(region="ap-southeast-2").verify()
    assert (claim.key, claim.region, claim.service) == (KEY, "ap-southeast-2", "sagemaker")


def test_a_claim_is_read_before_the_body_is_there() -> None:
    """The data plane refuses strangers without reading what they upload."""
    request = sign()
    head = (request.method, request.path, request.query, request.headers)
    claim = claims.claim(*head, keys=KEYS.get, now=request.at, services=SERVICES)
    assert claim.key is KEY
    claim.verify(sha256(request.body).hexdigest())
    with pytest.raises(InvalidSignature):
        claim.verify(claims.EMPTY_SHA256)
    with pytest.raises(UnrecognizedClient):
        claims.claim(*head, keys=NOBODY.get, now=request.at, services=SERVICES)


# ── the negative corpus ──────────────────────────────────────────────────────────────────────────


def mutations(request: Signed) -> Iterator[Signed]:
    """Every single change of every part, as somebody on the way could make it."""
    yield replace(request, method="DELETE")
    yield replace(request, path=request.path + b"x")
    yield replace(request, body=request.body + b"x")
    yield replace(request, query=request.query + b"&extra=1")
    signed = dict(request.headers)[b"authorization"].partition(b"SignedHeaders=")[2]
    for name in signed.partition(b",")[0].split(b";"):
        yield request.without(name)
        yield request.header(name, lambda value: value + b"x")
        yield replace(request, headers=(*request.headers, (name, dict(request.headers)[name])))
        yield replace(request, headers=((name, b"other"), *request.headers))
    authorization = dict(request.headers)[b"authorization"]
    for n, byte in enumerate(authorization):
        for bit in range(8):
            changed = authorization[:n] + bytes([byte ^ 1 << bit]) + authorization[n + 1 :]
            yield request.with_value(b"authorization", changed)
        if byte != ord(" ") or authorization[n - 1 : n] != b",":  # that blank may be left out
            cut = authorization[:n] + authorization[n + 1 :]
            yield request.with_value(b"authorization", cut)
    for extra in (b"x-amz-meta", b"x-amzn-sagemaker-target-variant", b"content-type"):
        if extra not in dict(request.headers):
            yield request.with_header(extra, b"injected")
    yield request.with_header(b"authorization", authorization)


@pytest.mark.parametrize("key", [KEY, TEMPORARY], ids=["permanent", "temporary"])
@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "bare"])
def test_no_single_change_is_accepted(key: AccessKey, headers: dict[str, str]) -> None:
    request = sign(headers=headers, key=key, target="/endpoints/demo/invocations?a=1")
    request.verify()
    count = 0
    for changed in mutations(request):
        with pytest.raises(AuthenticationError) as refused:
            changed.verify()
        assert refused.value.status == 403
        count += 1
    assert count > 1_500


@settings(max_examples=examples(300), deadline=None, database=None)
@given(requests(), st.data())
def test_no_changed_byte_is_accepted(request: Signed, data: st.DataObject) -> None:
    """Flip one byte anywhere in what was signed."""
    parts = ["path", "query", "body"] + [f"header {i}" for i in range(len(request.headers))]
    part = data.draw(st.sampled_from(parts))
    if part.startswith("header"):
        name, value = request.headers[int(part.split()[1])]
        if name == b"content-length":  # the transport's, never signed
            return
        before = value
    else:
        name, before = b"", getattr(request, part)
    at = data.draw(st.integers(0, max(0, len(before) - 1)))
    new = before[:at] + bytes([data.draw(st.integers(0x21, 0x7E))]) + before[at + 1 :]
    if canonically_equal(before, new):
        return
    if part == "query" and set(before.split(b"&")) - {b""} == set(new.split(b"&")) - {b""}:
        return  # an `&` more or less, with nothing behind it, is no parameter
    changed: dict[str, Any] = {part: new}
    with pytest.raises(AuthenticationError):
        (request.with_value(name, new) if name else replace(request, **changed)).verify()


def canonically_equal(before: bytes, after: bytes) -> bool:
    """The same to SigV4: encoded bytes in either case, blanks and segments that fold."""

    def canonical(text: bytes) -> bytes:
        first, *encoded = b" ".join(text.split()).split(b"%")
        text = b"%".join([first, *(part[:2].upper() + part[2:] for part in encoded)])
        return posixpath.normpath(b"/" + text.lstrip(b"/"))

    return canonical(before) == canonical(after)


@pytest.mark.parametrize("path", [b"", b".", b"*", b"http://127.0.0.1:7420/"])
def test_a_target_that_is_no_path_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidSignature):
        replace(sign(), path=path).verify()


def test_each_part_that_is_missing_is_named() -> None:
    request = sign(headers=JSON)
    with pytest.raises(MissingAuthenticationToken):
        request.without(b"authorization").verify()
    for part in (b"Credential", b"SignedHeaders", b"Signature"):
        whole = dict(request.headers)[b"authorization"]
        broken = request.with_value(b"authorization", whole.replace(part + b"=", b"X="))
        with pytest.raises(IncompleteSignature, match=part.decode()):
            broken.verify()
    with pytest.raises(IncompleteSignature, match="X-Amz-Date"):
        request.without(b"x-amz-date").verify()
    for scheme in (b"Bearer abc", b"Basic YTpi", b"AWS4-ECDSA-P256-SHA256 Credential=a", b""):
        with pytest.raises(IncompleteSignature):
            request.with_value(b"authorization", scheme).verify()


def test_the_clock_may_be_off_by_five_minutes() -> None:
    request = sign()
    request.verify(now=request.at + 300)
    request.verify(now=request.at - 300)
    with pytest.raises(InvalidSignature, match=r"Signature expired: \d{8}T\d{6}Z is now earlier"):
        request.verify(now=request.at + 301)
    with pytest.raises(InvalidSignature, match="Signature not yet current"):
        request.verify(now=request.at - 301)


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        (b"/20200101/eu-central-1/sagemaker/aws4_request", "does not match YYYYMMDD"),
        (b"/{date}/eu-central-1/s3/aws4_request", "correct service"),
        (b"/{date}/eu-central-1/sagemaker/aws4", "valid terminator"),
        (b"/{date}/us-east-1/sagemaker/aws4_request", "does not match the signature"),
        (b"/{date}/eu-central-1/monitoring/aws4_request", "does not match the signature"),
        (b"/{date}/eu-central-1/sagemaker", "5 slash-delimited"),
        (b"/x/{date}/eu-central-1/sagemaker/aws4_request", "5 slash-delimited"),
    ],
)
def test_the_scope_is_held_to_what_was_signed(scope: bytes, says: str) -> None:
    request = sign()
    date = datetime.fromtimestamp(request.at, UTC).strftime("%Y%m%d").encode()
    original = b"/" + date + b"/eu-central-1/sagemaker/aws4_request"
    new = scope.replace(b"{date}", date)
    with pytest.raises(AuthenticationError, match=says):
        request.header(b"authorization", lambda value: value.replace(original, new)).verify()


def test_impossible_dates_are_refused() -> None:
    request = sign()
    for stamp in (b"20201301T000000Z", b"20200101T250000Z", b"2020-01-01T00:00:00Z", b""):
        with pytest.raises(AuthenticationError):
            request.with_value(b"x-amz-date", stamp).verify()


def test_host_has_to_be_signed() -> None:
    request = sign().header(b"authorization", lambda value: value.replace(b"host;", b""))
    with pytest.raises(InvalidSignature, match="Host"):
        request.verify()


@pytest.mark.parametrize(
    "digest",
    [
        b"UNSIGNED-PAYLOAD",
        b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        b"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ],
)
def test_the_body_is_always_signed(digest: bytes) -> None:
    """They belong to S3. botocore signs them as it is told, and is refused."""
    request = sign(headers={"X-Amz-Content-SHA256": digest.decode()})
    with pytest.raises(InvalidSignature, match="x-amz-content-sha256"):
        request.verify()


def test_a_stated_digest_has_to_be_that_of_the_body() -> None:
    right = sign(headers={"X-Amz-Content-SHA256": sha256(b"x").hexdigest()}, body=b"x")
    right.verify()
    wrong = sign(headers={"X-Amz-Content-SHA256": sha256(b"y").hexdigest()}, body=b"x")
    with pytest.raises(InvalidSignature):
        wrong.verify()
    with pytest.raises(InvalidSignature):
        replace(right, body=b"y").verify()


def test_the_trace_header_may_be_added_on_the_way() -> None:
    claim = sign().with_header(b"x-amzn-trace-id", b"Root=1-67891233-abcdef").verify()
    assert claim.key is KEY


# ── presigned ────────────────────────────────────────────────────────────────────────────────────


def presigned(expires: int = 600, **arguments: Any) -> Signed:
    return sign(
        method="GET", body=b"", target="/?Action=GetCallerIdentity", presigned=expires, **arguments
    )


def test_a_presigned_request_lives_as_long_as_it_says() -> None:
    request = presigned()
    request.verify(now=request.at + 600)
    with pytest.raises(InvalidSignature, match="Signature expired"):
        request.verify(now=request.at + 601)
    with pytest.raises(InvalidSignature, match="not yet current"):
        request.verify(now=request.at - 301)


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "1e9", "", "+5", "99999999"])
def test_a_life_outside_of_its_bounds_is_refused(expires: str) -> None:
    request = presigned()
    query = request.query.replace(b"X-Amz-Expires=600", f"X-Amz-Expires={expires}".encode())
    with pytest.raises(IncompleteSignature, match="X-Amz-Expires"):
        replace(request, query=query).verify()


def test_the_longest_life_can_be_shortened() -> None:
    request = presigned(expires=601)
    request.verify(expires_seconds_max=601)
    with pytest.raises(IncompleteSignature):
        request.verify(expires_seconds_max=600)


def test_every_parameter_of_a_presigned_request_is_needed_and_unique() -> None:
    request = presigned(key=TEMPORARY)
    pairs = request.query.split(b"&")
    for n, pair in enumerate(pairs):
        fewer = b"&".join(pairs[:n] + pairs[n + 1 :])
        for query in (
            fewer,
            request.query + b"&" + pair,
            request.query.replace(pair, pair.lower()),
        ):
            with pytest.raises(AuthenticationError):
                replace(request, query=query).verify()
    replace(request, query=b"&".join(reversed(pairs))).verify()  # order is no part of the meaning


def test_the_two_forms_are_never_mixed() -> None:
    request, other = presigned(key=TEMPORARY), sign()
    for name, value in (
        (b"authorization", dict(other.headers)[b"authorization"]),
        (b"x-amz-date", dict(other.headers)[b"x-amz-date"]),
        (b"x-amz-security-token", b"IQoJb3JpZ2luX2VjE=="),
    ):
        with pytest.raises(AuthenticationError):
            request.with_header(name, value).verify()
    for extra in (b"X-Amz-Signature=" + b"0" * 64, b"x-amz-algorithm=x", b"X%2DAmz%2DFoo=1"):
        with pytest.raises(AuthenticationError):
            replace(other, query=extra).verify()


def test_what_strangers_send_is_not_kept() -> None:
    """What clients repeat is looked up; a stranger repeats nothing, and sends 64 KB at a time."""
    request = sign(headers=JSON)
    names = sorted(a + b for a in ascii_lowercase for b in ascii_lowercase + digits)
    many = ";".join(sorted([*names, "host"])).encode()

    def strange(number: int) -> Iterator[Signed]:
        key_id = b"AKID%d/" % number
        known = request.header(
            b"authorization", lambda value: value.replace(b"AKIDEXAMPLE/", key_id)
        )
        yield known.header(
            b"authorization",
            lambda value: re.sub(b"SignedHeaders=[^,]*", b"SignedHeaders=" + many, value),
        )
        extra = tuple((b"%d-%d-" % (number, n) + b"x" * 600, b"") for n in range(90))
        yield replace(known, headers=(*known.headers, *extra))

    tracemalloc.start()
    for number in range(1_000):
        for stranger in strange(number):
            with pytest.raises(AuthenticationError):
                stranger.verify()
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 16 * 1024 * 1024
    request.verify()


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_rotated_secret_never_meets_the_key_derived_from_the_old_one() -> None:
    """aws-sdk-go-v2 kept derived keys by id and day: the old secret went on working."""
    request = sign()
    request.verify()
    rotated = {KEY.id: replace(KEY, secret="new")}
    with pytest.raises(InvalidSignature):
        request.verify(keys=rotated.get)
    sign(key=rotated[KEY.id]).verify(keys=rotated.get)
    request.verify()


def test_a_session_token_comes_with_its_key_and_with_no_other() -> None:
    sign(key=TEMPORARY).verify()
    for wrong in (
        sign(key=replace(TEMPORARY, session_token=None)),
        sign(key=replace(TEMPORARY, session_token="somebody-else's")),
        sign(key=replace(KEY, session_token="uncalled-for")),
        presigned(key=replace(TEMPORARY, session_token=None)),
    ):
        with pytest.raises(UnrecognizedClient):
            wrong.verify()


def test_a_temporary_key_ends() -> None:
    request = sign(key=TEMPORARY)
    keys = {TEMPORARY.id: replace(TEMPORARY, expires_at=request.at + 10)}
    request.verify(keys=keys.get, now=request.at + 9)
    with pytest.raises(ExpiredToken):
        request.verify(keys=keys.get, now=request.at + 10)
    with pytest.raises(InvalidSignature):  # a stranger is not told that the key has ended
        replace(request, body=b"").verify(keys=keys.get, now=request.at + 10)


def test_no_secret_shows_in_a_repr() -> None:
    assert KEY.secret not in repr(KEY)
    assert TEMPORARY.session_token is not None
    assert TEMPORARY.session_token not in repr(TEMPORARY)
    assert KEY.secret not in repr(sign().verify())


# ── the examples of AWS's documentation ──────────────────────────────────────────────────────────

DOCUMENTED = """
[
  ["/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
  ["/", "Param1=value1&Param2=value2",
   "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"],
  ["/", "Param2=value2&Param1=value1",
   "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"],
  ["/example/..", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
  ["/./", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
  ["//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"]
]
"""
"""From AWS's Signature Version 4 test suite: path, query and signature of a GET of
example.amazonaws.com at 20150830T123600Z."""


@pytest.mark.parametrize(("path", "query", "signature"), json.loads(DOCUMENTED))
def test_the_examples_of_aws_are_accepted(path: str, query: str, signature: str) -> None:
    scope = b"20150830/us-east-1/service/aws4_request"
    authorization = (
        b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/%b, SignedHeaders=host;x-amz-date, Signature=%b"
        % (scope, signature.encode())
    )
    request = Signed(
        method="GET",
        path=path.encode(),
        query=query.encode(),
        headers=(
            (b"host", b"example.amazonaws.com"),
            (b"x-amz-date", b"20150830T123600Z"),
            (b"authorization", authorization),
        ),
        body=b"",
        at=datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp(),
    )
    key = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ROOT)
    assert request.verify(keys={key.id: key}.get, services={"service"}).key is key
