"""Signatures of requests to S3, made by botocore, and S3's words for what is wrong with others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.identity.signers import HOST, KEY, KEYS, Key
from tests.depth import examples

from inservice.errors import AwsError, NotImplementedYet, OutdatedSignature
from inservice.identity.sigv4.canonical import joined_fields
from inservice.identity.sigv4.s3 import S3Claim, s3_claim, s3_query_pairs
from inservice.identity.sigv4.stated import epoch
from inservice.s3_errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    ExpiredToken,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidToken,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
)


@dataclass(frozen=True)
class Sent:
    """A request as it goes out."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def claim(self, at: float | None = None) -> S3Claim[Key] | None:
        now = datetime.now(UTC).timestamp() if at is None else at
        return self.claimed(KEYS.get, now)

    def claimed(self, keys: Callable[[str], Key | None], now: float) -> S3Claim[Key] | None:
        pairs, fields = s3_query_pairs(self.query), joined_fields(self.headers)
        return s3_claim(self.method, self.path, pairs, fields, keys=keys, now=now)

    @property
    def signed_at(self) -> float:
        """The moment that botocore signed it for: it has no other clock than the machine's."""
        stamp = re.search(rb"X-Amz-Date=([0-9TZ]+)", self.query)
        text = self.header(b"x-amz-date") if stamp is None else stamp[1]
        moment = epoch(text)
        assert moment is not None
        return moment

    def with_header(self, name: bytes, value: bytes | None) -> Sent:
        """With this header in the place of the one there was, or without it."""
        others = [field for field in self.headers if field[0] != name]
        return replace(self, headers=(*others, *([] if value is None else [(name, value)])))

    def header(self, name: bytes) -> bytes:
        return dict(self.headers)[name]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def signed(
    auth: type[SigV4Auth] = S3SigV4Auth,
    *,
    method: str = "GET",
    path: str = "/bucket/key",
    query: str = "",
    body: bytes = b"",
    key_id: str = "AKIA",
    service: str = "s3",
    headers: Mapping[str, str] | None = None,
) -> Sent:
    key = KEYS.get(key_id, KEY)
    url = f"http://{HOST}{path}{'?' if query else ''}{query}"
    request = AWSRequest(method, url, data=body, headers=dict(headers or {}))
    credentials = Credentials(key_id, key.secret, key.session_token)
    auth(credentials, service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    fields = [(name.lower().encode(), _bytes(value)) for name, value in prepared.headers.items()]
    target = prepared.url.removeprefix(f"http://{HOST}")
    sent_path, _, sent_query = target.partition("?")
    return Sent(
        method,
        sent_path.encode(),
        sent_query.encode(),
        ((b"host", HOST.encode()), *(field for field in fields if field[0] != b"host")),
    )


def refused(sent: Sent, kind: type[AwsError], words: str = "", at: float | None = None) -> AwsError:
    with pytest.raises(kind, match=re.escape(words) or None) as caught:
        sent.claim(at)
    return caught.value


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t"), max_size=12)
PATHS = st.lists(TEXT | st.sampled_from(("", ".", "..", "a//b", "+", "%2F")), max_size=5).map(
    lambda parts: "/" + quote("/".join(parts), safe="/~")
)
QUERIES = st.dictionaries(TEXT.filter(bool), TEXT, max_size=4).map(
    lambda pairs: "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs.items())
)


@pytest.mark.parametrize("auth", [S3SigV4Auth, S3SigV4QueryAuth])
@settings(max_examples=examples(100), deadline=None)
@given(path=PATHS, query=QUERIES, body=st.binary(max_size=8))
def test_what_botocore_signs_is_verified_and_nothing_else(
    auth: type[SigV4Auth], path: str, query: str, body: bytes
) -> None:
    presigned = auth is S3SigV4QueryAuth
    body = b"" if presigned else body  # botocore makes parameters of it
    sent = signed(auth, method="PUT" if body else "GET", path=path, query=query, body=body)
    claim = sent.claim()
    assert claim is not None
    assert (claim.key, claim.region, claim.presigned) == (KEY, "us-east-1", presigned)
    digest = hashlib.sha256(body).hexdigest().encode()
    assert claim.payload == (b"UNSIGNED-PAYLOAD" if presigned else digest)
    for other in (
        replace(sent, method="DELETE"),
        replace(sent, path=sent.path + b"x"),
        replace(sent, path=sent.path + b"/"),
        replace(sent, query=sent.query + (b"&" if sent.query else b"") + b"zz=1"),
        sent.with_header(b"host", b"elsewhere"),
    ):
        refused(other, SignatureDoesNotMatch)


@given(path=PATHS)
@settings(max_examples=examples(100), deadline=None)
def test_two_paths_that_name_two_keys_have_two_signatures(path: str) -> None:
    """A `+` is a blank to S3: the signature of `a%2Bb` is none of `a+b`."""
    sent = signed(path=path + "%2B")
    refused(replace(sent, path=sent.path.replace(b"%2B", b"+")), SignatureDoesNotMatch)


def test_a_query_may_say_blanks_either_way() -> None:
    sent = signed(query="prefix=a%20b")
    for query in (b"prefix=a%20b", b"prefix=a+b"):
        assert replace(sent, query=query).claim() is not None
    refused(replace(sent, query=b"prefix=a%2Bb"), SignatureDoesNotMatch)


def test_nobody_is_nobody() -> None:
    bare = Sent("GET", b"/b/k", b"list-type=2", ((b"host", b"h"),))
    assert bare.claim() is None


def test_a_mismatch_tells_what_was_signed_here() -> None:
    sent = replace(signed(method="PUT", path="/b/k"), method="GET")
    told = refused(sent, SignatureDoesNotMatch, "Check your key and signing method.").members
    assert told["AWSAccessKeyId"] == "AKIA"
    assert told["CanonicalRequest"].startswith("GET\n/b/k\n\nhost:127.0.0.1:7420\n")
    assert bytes.fromhex(told["CanonicalRequestBytes"]).decode() == told["CanonicalRequest"]
    digest = hashlib.sha256(told["CanonicalRequest"].encode()).hexdigest()
    assert told["StringToSign"].startswith("AWS4-HMAC-SHA256\n")
    assert told["StringToSign"].endswith(f"/us-east-1/s3/aws4_request\n{digest}")
    assert told["SignatureProvided"].encode() in sent.header(b"authorization")
    assert KEY.secret not in str(told)


@pytest.mark.parametrize("auth", [S3SigV4Auth, S3SigV4QueryAuth])
def test_keys_and_tokens(auth: type[SigV4Auth]) -> None:
    temporary = signed(auth, key_id="ASIA")
    claim = temporary.claim()
    assert claim is not None
    assert claim.key == KEYS["ASIA"]
    unknown = refused(signed(auth, key_id="NONE"), InvalidAccessKeyId, "does not exist in our")
    assert unknown.members == {"AWSAccessKeyId": "NONE"}
    assert (unknown.status, refused(signed(auth, key_id="OVER"), ExpiredToken).status) == (403, 400)
    if auth is S3SigV4Auth:
        refused(temporary.with_header(b"x-amz-security-token", b"another"), InvalidToken)
        refused(temporary.with_header(b"x-amz-security-token", None), SignatureDoesNotMatch)
    else:
        refused(replace(temporary, query=temporary.query.replace(b"token", b"x")), InvalidToken)


def test_a_token_belongs_to_its_key() -> None:
    """A temporary key without its token is no key at all; a permanent one has none."""
    without = s3_claim_of(signed(), {"AKIA": KEYS["ASIA"]})
    with_one = s3_claim_of(signed(key_id="ASIA"), {"ASIA": KEY})
    assert (without, with_one) == (InvalidAccessKeyId, InvalidToken)


def s3_claim_of(sent: Sent, keys: Mapping[str, Key]) -> type[AwsError]:
    """What is said of it where these are the keys."""
    now = datetime.now(UTC).timestamp()
    with pytest.raises(AwsError) as caught:
        sent.claimed(keys.get, now)
    return caught.type


# ── in the header ────────────────────────────────────────────────────────────────────────────────


def test_a_clock_may_be_off_by_a_quarter_of_an_hour() -> None:
    sent = signed()
    for seconds in (-890, 890):
        assert sent.claim(sent.signed_at + seconds) is not None
    for seconds in (-920, 920, 1_000_000):
        error = refused(sent, RequestTimeTooSkewed, at=sent.signed_at + seconds)
        assert error.status == 403
        assert error.members["MaxAllowedSkewMilliseconds"] == 900_000
        assert error.members["RequestTime"].encode() == sent.header(b"x-amz-date")
        assert error.members["ServerTime"].endswith("Z")


def test_the_date_may_come_as_http_has_it() -> None:
    sent = signed(headers={"Date": formatdate(usegmt=True)})
    assert b"x-amz-date" not in dict(sent.headers)
    assert sent.claim() is not None
    for date in (None, b"yesterday", b""):
        refused(sent.with_header(b"date", date), AccessDenied, "requires a valid Date")
    refused(signed().with_header(b"x-amz-date", b"20261301T000000Z"), AccessDenied, "valid Date")


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda a: b"Basic dXNlcjpw", InvalidArgument, "Unsupported Authorization Type"),
        (lambda a: b"", InvalidArgument, "Unsupported Authorization Type"),
        (lambda a: b"AWS AKIA:c2ln", OutdatedSignature, "Please use AWS4-HMAC-SHA256."),
        (
            lambda a: a.replace(b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256"),
            NotImplementedYet,
            "SigV4A",
        ),
        (
            lambda a: a.partition(b", Signature")[0],
            AuthorizationHeaderMalformed,
            "three components",
        ),
        (lambda a: a + b", Signature=aa", AuthorizationHeaderMalformed, "three"),
        (lambda a: a + b", Else=aa", AuthorizationHeaderMalformed, "three"),
        (lambda a: a.replace(b"/s3/", b"/ecr/"), AuthorizationHeaderMalformed, 'service "ecr"'),
        (
            lambda a: a.replace(b"/aws4_request", b"/aws5_request"),
            AuthorizationHeaderMalformed,
            "the Credential is mal-formed",
        ),
        (
            lambda a: re.sub(rb"/\d{8}/", b"/20200101/", a),
            AuthorizationHeaderMalformed,
            'Invalid credential date "20200101"',
        ),
        (lambda a: a[:-1] + bytes([a[-1] ^ 1]), SignatureDoesNotMatch, ""),
        (lambda a: a[:-1], SignatureDoesNotMatch, ""),
        (lambda a: a.replace(b"Signature=", b"Signature=\xff"), SignatureDoesNotMatch, ""),
        (lambda a: a.replace(b"host;", b""), AccessDenied, "not signed"),
        (lambda a: a.replace(b"host;", b"host;nowhere;"), SignatureDoesNotMatch, ""),
        (lambda a: a.replace(b"host;", b"Host;"), AccessDenied, "not signed"),
        (lambda a: a.replace(b"; ", b";"), None, ""),
        (lambda a: a.replace(b", ", b","), None, ""),
        (lambda a: a.replace(b", ", b" ,  "), None, ""),
    ],
)
def test_an_authorization_header(
    change: Callable[[bytes], bytes], kind: type[AwsError] | None, words: str
) -> None:
    sent = signed()
    changed = sent.with_header(b"authorization", change(sent.header(b"authorization")))
    if kind is None:
        assert changed.claim() is not None
    else:
        refused(changed, kind, words)


def test_every_header_of_amazon_s_is_signed_and_others_need_not_be() -> None:
    sent = signed(method="PUT", headers={"x-amz-meta-a": "1"})
    error = refused(sent.with_header(b"x-amz-acl", b"public-read"), AccessDenied, "not signed")
    assert error.members["HeadersNotSigned"] == "x-amz-acl"
    for name in (b"content-type", b"content-md5", b"x-amzn-trace-id", b"user-agent", b"expect"):
        assert sent.with_header(name, b"anything").claim() is not None
    refused(sent.with_header(b"x-amz-meta-a", b"2"), SignatureDoesNotMatch)
    refused(sent.with_header(b"x-amz-meta-a", None), SignatureDoesNotMatch)
    twice = replace(sent, headers=(*sent.headers, (b"x-amz-meta-a", b"2")))
    refused(twice, SignatureDoesNotMatch)


def test_blanks_in_a_header_do_not_count() -> None:
    sent = signed(method="PUT", headers={"x-amz-meta-a": "a b"})
    assert sent.with_header(b"x-amz-meta-a", b"  a   b ").claim() is not None


@pytest.mark.parametrize(
    "mark",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    ],
)
def test_what_may_be_said_of_a_body(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3SigV4Auth, "payload", lambda *_: mark)
    claim = signed(method="PUT").claim()
    assert claim is not None
    assert claim.payload == mark.encode()
    assert (claim.chunks is not None) == mark.startswith("STREAMING-AWS4")


@pytest.mark.parametrize(
    "mark",
    ["", "invalid", "unsigned-payload", "STREAMING-X", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"],
)
def test_what_may_not(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3SigV4Auth, "payload", lambda *_: mark)
    error = refused(signed(method="PUT"), InvalidArgument, "or a valid sha256 value.")
    assert error.members["ArgumentName"] == "x-amz-content-sha256"
    assert error.members["ArgumentValue"] == mark
    words = "Missing required header for this request: x-amz-content-sha256"
    refused(signed().with_header(b"x-amz-content-sha256", None), InvalidRequest, words)


# ── in the query ─────────────────────────────────────────────────────────────────────────────────


def test_a_presigned_url_lives_as_long_as_it_says() -> None:
    sent = signed(S3SigV4QueryAuth)
    assert sent.claim(sent.signed_at + 3_590) is not None
    assert sent.claim(sent.signed_at - 890) is not None
    over = refused(sent, AccessDenied, "Request has expired", sent.signed_at + 3_700)
    assert over.members["X-Amz-Expires"] == 3_600
    assert over.members["Expires"] < over.members["ServerTime"]
    early = refused(sent, AccessDenied, "Request is not yet valid", sent.signed_at - 1_000)
    assert early.members["X-Amz-Date"] > (sent.signed_at - 1_000) * 1000


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (rb"X-Amz-Expires=\d+", b"X-Amz-Expires=604801", "must be less than a week"),
        (rb"X-Amz-Expires=\d+", b"X-Amz-Expires=-1", "must be non-negative"),
        (rb"X-Amz-Expires=\d+", b"X-Amz-Expires=1e3", "should be a number"),
        (rb"X-Amz-Expires=\d+", b"X-Amz-Expires=" + b"9" * 400, "should be a number"),
        (rb"&X-Amz-Expires=\d+", b"", "requires the X-Amz-Algorithm, X-Amz-Credential"),
        (rb"X-Amz-Credential=[^&]+", b"X-Amz-Credential=", "requires the X-Amz-Algorithm"),
        (rb"X-Amz-Credential=[^&]+", b"X-Amz-Credential=AKIA", "the Credential is mal-formed"),
        (rb"%2Fs3%2F", b"%2Fecr%2F", 'incorrect service "ecr"'),
        (rb"X-Amz-Date=[^&]+", b"X-Amz-Date=20200101T000000Z", "is not the same as X-Amz-Date"),
        (rb"X-Amz-Date=[^&]+", b"X-Amz-Date=now", "must be in the ISO8601 Long Format"),
        (rb"AWS4-HMAC-SHA256", b"AWS4-HMAC-MD5", "X-Amz-Algorithm only supports"),
    ],
)
def test_a_presigned_url_that_says_it_wrongly(old: bytes, new: bytes, words: str) -> None:
    sent = signed(S3SigV4QueryAuth)
    changed = replace(sent, query=re.sub(old, new, sent.query, count=1))
    assert changed != sent
    assert refused(changed, AuthorizationQueryParametersError, words).status == 400


def test_seven_days_are_allowed_and_changing_them_is_not() -> None:
    class Week(S3SigV4QueryAuth):
        def __init__(self, credentials: Any, service: str, region: str) -> None:
            super().__init__(credentials, service, region, expires=604_800)

    sent = signed(Week)
    assert sent.claim(sent.signed_at + 604_700) is not None
    changed = replace(sent, query=sent.query.replace(b"604800", b"604799"))
    refused(changed, SignatureDoesNotMatch)


def test_other_ways_to_presign_are_refused_by_name() -> None:
    plain = Sent("GET", b"/b/k", b"", ((b"host", b"h"),))
    old = replace(plain, query=b"AWSAccessKeyId=AKIA&Expires=1&Signature=c2ln")
    assert refused(old, OutdatedSignature, "AWS4-HMAC-SHA256").status == 400
    sent = signed(S3SigV4QueryAuth)
    asymmetric = sent.query.replace(b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256")
    refused(replace(sent, query=asymmetric), NotImplementedYet, "SigV4A")


def test_one_way_at_a_time() -> None:
    presigned, header = signed(S3SigV4QueryAuth), signed()
    both = replace(presigned, headers=header.headers)
    refused(both, InvalidArgument, "Only one auth mechanism allowed")
    more = b"&AWSAccessKeyId=AKIA&Expires=1&Signature=c2ln"
    refused(replace(presigned, query=presigned.query + more), InvalidArgument, "Only one auth")
    twice = replace(presigned, query=presigned.query + b"&X-Amz-Expires=60")
    refused(twice, InvalidArgument, "given twice")


def test_a_presigned_url_covers_the_headers_that_it_names() -> None:
    sent = signed(S3SigV4QueryAuth, method="PUT", headers={"x-amz-acl": "private"})
    assert sent.claim() is not None
    refused(sent.with_header(b"x-amz-acl", b"public-read"), SignatureDoesNotMatch)
    refused(sent.with_header(b"x-amz-acl", None), SignatureDoesNotMatch)
    refused(sent.with_header(b"x-amz-meta-a", b"1"), AccessDenied, "not signed")
    assert sent.with_header(b"content-type", b"text/plain").claim() is not None


def test_what_it_says_of_the_body_is_signed_wherever_it_says_it() -> None:
    digest = hashlib.sha256(b"body").hexdigest()

    class OfTheBody(S3SigV4QueryAuth):
        def payload(self, request: Any) -> str:
            return digest

    moved = signed(OfTheBody, method="PUT", query=f"X-Amz-Content-Sha256={digest}")
    stayed = signed(OfTheBody, method="PUT", headers={"x-amz-content-sha256": digest})
    lower = signed(OfTheBody, method="PUT", query=f"x-amz-content-sha256={digest}")
    for sent in (moved, stayed, lower):
        claim = sent.claim()
        assert claim is not None
        assert (claim.payload, claim.chunks) == (digest.encode(), None)


@settings(max_examples=examples(300), deadline=None)
@given(
    query=st.binary(max_size=60),
    authorization=st.none() | st.binary(max_size=60),
    start=st.sampled_from((b"", b"AWS4-HMAC-SHA256 ", b"AWS4-HMAC-SHA256 Credential=a/20260101/")),
)
def test_whatever_comes_is_answered_in_s3_s_words(
    query: bytes, authorization: bytes | None, start: bytes
) -> None:
    headers = [(b"host", b"h")]
    if authorization is not None:
        headers.append((b"authorization", start + authorization))
    sent = Sent("GET", b"/b", query, tuple(headers))
    statuses = {403}
    try:
        assert sent.claim() is None
    except AwsError as error:
        statuses.add(error.status)
    assert statuses <= {400, 403}
