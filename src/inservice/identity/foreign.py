"""Signature Version 4 as services sign that are not here, S3 among them.

Such a request is verified only to be told, by whoever may know, that its service is not here: none
of it is acted on. So where `sigv4` refuses what it need not allow, this follows what AWS's services
take: parameters that repeat, headers that were left unsigned, bodies whose digest is not signed.

What is signed for S3 is a dialect of its own, for which see `sigv4.s3`, and refused in S3's own
words. Clients that are old, or told to, sign for it with Signature Version 2, which nobody else
takes.

No I/O and no clock. Instants are seconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from inservice.errors import (
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)
from inservice.identity.sigv4.canonical import (
    Headers,
    canonical_path,
    canonical_query,
    joined_fields,
    query_pairs,
)
from inservice.identity.sigv4.claims import EXPIRES_SECONDS_MAX, SKEW_SECONDS
from inservice.identity.sigv4.s3 import s3_claim, s3_query_pairs
from inservice.identity.sigv4.signing import SigningKey, same_token, signature, signing_hashes
from inservice.identity.sigv4.stated import ALGORITHM, epoch
from inservice.s3_errors import XAmzContentSHA256Mismatch

_AUTHORIZATION: Final = re.compile(
    rb"AWS4-HMAC-SHA256 +Credential=([^\s,=]{1,256}), *SignedHeaders=([^\s,=]{1,4096}), *"
    rb"Signature=([0-9a-f]{64})"
)
_CREDENTIAL: Final = re.compile(
    rb"([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([A-Za-z0-9._-]{1,64})/aws4_request"
)
_SHA256_HEX: Final = re.compile(rb"[0-9a-fA-F]{64}")
_MARK: Final = re.compile(rb"UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]{1,64}")
_VERSION_2: Final = re.compile(rb"AWS [^\s:]{1,128}:\S{1,128}")
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)


@dataclass(frozen=True, slots=True)
class ForeignRequest:
    """A whole request as it came: the path raw, the query raw and without its `?`."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a request says about its own signature, in either form."""

    credential: bytes
    signed: bytes
    signature: bytes
    stamp: bytes
    token: bytes | None
    expires: bytes | None  # seconds that a presigned request lives; None for a header


def stated_service(headers: Headers, query: bytes) -> str | None:
    """The signing name that a request claims in its scope, not verified; None if in none."""
    if _is_version_2(headers, query):
        return "s3"
    credential = b""
    for name, value in headers:
        if name == b"authorization" and value.startswith(ALGORITHM):
            credential = value.partition(b"Credential=")[2].partition(b",")[0]
    if not credential and b"X-Amz-Credential=" in query:
        credential = dict(query_pairs(query)).get(b"X-Amz-Credential", b"")
    match = _CREDENTIAL.fullmatch(credential.strip())
    return match[4].decode() if match else None


def verify(
    request: ForeignRequest, *, keys: Callable[[str], SigningKey | None], now: float
) -> SigningKey:
    """The key that a request was signed with, for whatever service its scope names.

    Raises MissingAuthenticationToken, IncompleteSignature, InvalidSignature, UnrecognizedClient,
    ExpiredToken; of a request to S3 what `s3_claim` does, and XAmzContentSHA256Mismatch.
    """
    if stated_service(request.headers, request.query) == "s3":
        return _verify_s3(request, keys, now)
    fields = joined_fields(request.headers)
    pairs = query_pairs(request.query)
    stated = _stated(fields, pairs)
    match = _CREDENTIAL.fullmatch(stated.credential)
    if match is None:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, "
            "e.g. keyid/date/region/service/aws4_request."
        )
    key_id, date, region, service = (part.decode() for part in match.groups())
    _check_time(stated, date, now)
    key = keys(key_id)
    if key is None or not same_token(key.session_token, stated.token):
        raise UnrecognizedClient
    names = stated.signed.split(b";")
    if b"host" not in names or not fields.keys() >= set(names):
        raise InvalidSignature(_MISMATCH)
    canonical = b"\n".join(
        (
            request.method.encode(),
            canonical_path(request.path),
            canonical_query(pairs),
            b"".join(b"%b:%b\n" % (name, fields[name]) for name in names),
            stated.signed,
            _payload(request, fields),
        )
    )
    scope = stated.credential.partition(b"/")[2]
    text = b"\n".join((ALGORITHM, stated.stamp, scope, sha256(canonical).hexdigest().encode()))
    computed = signature(*signing_hashes(key.secret, date, region, service), text)
    if not compare_digest(computed, stated.signature):
        raise InvalidSignature(_MISMATCH)
    if key.expires_at is not None and key.expires_at <= now:
        raise ExpiredToken
    return key


def _verify_s3(
    request: ForeignRequest, keys: Callable[[str], SigningKey | None], now: float
) -> SigningKey:
    """S3's head is verified without its body, which is then only looked at if its digest is told:
    chunks are of no interest to who refuses them all."""
    pairs, fields = s3_query_pairs(request.query), joined_fields(request.headers)
    claim = s3_claim(request.method, request.path, pairs, fields, keys=keys, now=now)
    if claim is None:  # a URL that names the service and nothing else
        raise MissingAuthenticationToken
    digest = sha256(request.body).hexdigest()
    if _SHA256_HEX.fullmatch(claim.payload) and claim.payload.lower() != digest.encode():
        raise XAmzContentSHA256Mismatch(
            ClientComputedContentSHA256=claim.payload.decode(), S3ComputedContentSHA256=digest
        )
    return claim.key


def _is_version_2(headers: Headers, query: bytes) -> bool:
    """In a header, or in a URL. (Query services had a version 2 too, which says so itself.)"""
    if any(name == b"authorization" and _VERSION_2.fullmatch(value) for name, value in headers):
        return True
    if b"AWSAccessKeyId=" not in query:
        return False
    given = dict(query_pairs(query)).keys()
    return given >= {b"AWSAccessKeyId", b"Expires", b"Signature"} and b"Action" not in given


def _stated(fields: Mapping[bytes, bytes], pairs: list[tuple[bytes, bytes]]) -> _Stated:
    given = dict(pairs)
    if b"X-Amz-Signature" in given:
        if b"authorization" in fields:
            raise IncompleteSignature("Only one way of authentication may be used in one request.")
        needed = [b"X-Amz-Credential", b"X-Amz-SignedHeaders", b"X-Amz-Date", b"X-Amz-Expires"]
        if missing := [name.decode() for name in needed if name not in given]:
            raise IncompleteSignature(f"AWS query-string parameters must include '{missing[0]}'.")
        credential, signed, stamp, expires = (given[name] for name in needed)
        token = given.get(b"X-Amz-Security-Token")
        return _Stated(credential, signed, given[b"X-Amz-Signature"], stamp, token, expires)
    if b"authorization" not in fields:
        raise MissingAuthenticationToken
    match = _AUTHORIZATION.fullmatch(fields[b"authorization"])
    if match is None or b"x-amz-date" not in fields:
        raise IncompleteSignature("The Authorization header or X-Amz-Date is malformed or absent.")
    stamp, token = fields[b"x-amz-date"], fields.get(b"x-amz-security-token")
    return _Stated(match[1], match[2], match[3], stamp, token, None)


def _check_time(stated: _Stated, date: str, now: float) -> None:
    signed_at = epoch(stated.stamp)
    if signed_at is None:
        raise IncompleteSignature("Date must be in ISO-8601 'basic format'.")
    text = stated.stamp.decode()
    lifetime = float(SKEW_SECONDS)
    if stated.expires is not None:
        if not re.fullmatch(rb"[0-9]{1,7}", stated.expires):
            raise IncompleteSignature("X-Amz-Expires must be a number of seconds.")
        lifetime = min(int(stated.expires), EXPIRES_SECONDS_MAX)
    if not text.startswith(date):
        raise InvalidSignature("Date in Credential scope does not match that of X-Amz-Date.")
    if not now - lifetime <= signed_at <= now + SKEW_SECONDS:
        raise InvalidSignature(f"Signature expired or not yet current: {text}.")


# ── canonical forms ──────────────────────────────────────────────────────────────────────────────


def _payload(request: ForeignRequest, fields: Mapping[bytes, bytes]) -> bytes:
    """What is signed for the body. Raises InvalidSignature for a digest that is not the body's."""
    stated = fields.get(b"x-amz-content-sha256")
    if stated is not None and _MARK.fullmatch(stated):
        return stated
    digest = sha256(request.body).hexdigest().encode()
    if stated is not None and stated != digest:
        raise InvalidSignature("The body is not the one that x-amz-content-sha256 speaks of.")
    return digest
