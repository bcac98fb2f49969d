"""Signature Version 4, from the side that checks it: a request in, whose it is out.

A signature is checked in two moves, because the data plane knows the head of a request before its
body: `claim` reads the head and refuses whatever the body cannot mend, `Claim.verify` takes the
digest of the body and compares. `verify` is both in one.

Everything that is not expressly allowed is refused:

- exactly one form, header or query; never a mixture of the two, never a second one of either;
- the scope is <date>/<region>/<service>/aws4_request with the date of X-Amz-Date and a service of
  this plane. The region is the one the client states: one server answers for all of them;
- signed: `host`, and each `x-amz-*`, `x-amzn-*` and `content-type` header that is there. Anybody on
  the way could add one that is not (SeaweedFS and RustFS honoured such headers);
- no header that matters and no query parameter appears twice: SigV4 sorts query pairs, so the order
  of repeated ones is not protected by the signature;
- the body is always signed. UNSIGNED-PAYLOAD and the STREAMING-… markers belong to S3;
- signatures are compared in constant time, and the cache of derived keys is keyed by the secret
  itself, so that a rotated secret can never meet the key derived from its predecessor.

No I/O and no clock. Durations are seconds, instants are seconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from itertools import pairwise
from operator import itemgetter
from typing import Final, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

from inservice.errors import (
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in the order they came, names in lower case."""

SKEW_SECONDS: Final = 300
"""How far a client's clock may be off, either way: AWS's general rule of five minutes."""

EXPIRES_SECONDS_MAX: Final = 604_800
"""The longest life of a presigned request that AWS allows: seven days."""

EMPTY_SHA256: Final = sha256(b"").hexdigest()
"""The digest of no body at all."""

_ALGORITHM: Final = b"AWS4-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(  # all but the signature itself, its last 64 characters
    rb"AWS4-HMAC-SHA256 +Credential=([^\s,=]{1,256}), *SignedHeaders=([^\s,=]{1,4096}), *Signature="
)
_CREDENTIAL: Final = re.compile(
    rb"([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/([^/]{1,64})"
)
_STAMP: Final = re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")
_SHA256_HEX: Final = re.compile(rb"[0-9a-f]{64}")
# Canonical as it stands.
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+|/")

# Looking for a byte by its number is 0.5 µs quicker than by a string of one.
_SPACE, _TAB = b" \t"

_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))

# botocore and the other SDKs never sign it: tracing rewrites it on the way, and we never read it.
_TRACE: Final = b"x-amzn-trace-id"

_QUERY_REQUIRED: Final = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Date",
    b"X-Amz-Expires",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Signature",
)
_QUERY_KNOWN: Final = frozenset((*_QUERY_REQUIRED, b"X-Amz-Security-Token"))

_KEPT: Final = 128  # of what clients repeat; strangers choose some of it, at worst 50 KB apiece

_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


class SigningKey(Protocol):
    """What a lookup has to give back for an access key id."""

    @property
    def secret(self) -> str:
        """The secret access key."""
        ...

    @property
    def session_token(self) -> str | None:
        """The token that has to come along; None for a permanent key, which must come without."""
        ...

    @property
    def expires_at(self) -> float | None:
        """When it stops to count; None: never."""
        ...


K = TypeVar("K", bound=SigningKey)


class Claim(Generic[K]):
    """A head that is in order: it was signed with this key if the body is the one it speaks of."""

    __slots__ = (
        *("_canonical_head", "_date", "_now", "_signature", "_signing_head", "_stated_sha256"),
        *("key", "region", "service"),
    )

    def __init__(
        self,
        key: K,
        terms: _Terms,
        signature: bytes,
        canonical_head: bytes,
        signing_head: bytes,
        stated_sha256: bytes | None,
        now: float,
    ) -> None:
        self.key = key
        self._date, self.region, self.service = terms.scope
        self._signature = signature  # as the client computed it
        self._canonical_head = canonical_head  # of the request: all but the digest of the body
        self._signing_head = signing_head  # of the string to sign: all but the request's digest
        self._stated_sha256 = stated_sha256  # x-amz-content-sha256, when the client sent it
        self._now = now

    def verify(self, body_sha256: str) -> None:
        """Compare, given the digest of the whole body in lower-case hex.

        Raises InvalidSignature, or ExpiredToken when all is right but the key has ended.
        """
        payload, key = body_sha256.encode(), self.key
        canonical = sha256(self._canonical_head + payload).hexdigest()
        inner, outer = _signing_hashes(key.secret, self._date, self.region, self.service)
        hmac, around = inner.copy(), outer.copy()
        hmac.update(self._signing_head + canonical.encode())
        around.update(hmac.digest())
        if not compare_digest(around.hexdigest().encode(), self._signature):
            raise InvalidSignature(_MISMATCH)
        if self._stated_sha256 is not None and self._stated_sha256 != payload:
            raise InvalidSignature("The body is not the one that x-amz-content-sha256 speaks of.")
        if key.expires_at is not None and key.expires_at <= self._now:
            raise ExpiredToken


class _Terms(NamedTuple):
    """What is the same in request after request of one client on one day, so worth keeping."""

    key_id: str
    scope: tuple[str, str, str]  # date, region, service
    scope_line: bytes
    signed: tuple[bytes, ...]  # names of the signed headers, in canonical order
    signed_set: frozenset[bytes]
    signed_line: bytes


_Stated = tuple[_Terms, bytes, bytes, bytes | None, int | None]
"""What a request says about its own signature, in either form: the terms, the signature,
X-Amz-Date, the session token, and the seconds that a presigned one lives (query form only)."""


def verify(
    method: str,
    path: bytes,
    query: bytes,
    headers: Headers,
    body_sha256: str,
    *,
    keys: Callable[[str], K | None],
    now: float,
    services: Collection[str],
    expires_seconds_max: int = EXPIRES_SECONDS_MAX,
) -> Claim[K]:
    """The claim of a whole request, and a true one. Arguments and errors: those of `claim` and of
    `Claim.verify`."""
    stated = claim(
        method,
        path,
        query,
        headers,
        keys=keys,
        now=now,
        services=services,
        expires_seconds_max=expires_seconds_max,
    )
    stated.verify(body_sha256)
    return stated


def claim(
    method: str,
    path: bytes,
    query: bytes,
    headers: Headers,
    *,
    keys: Callable[[str], K | None],
    now: float,
    services: Collection[str],
    expires_seconds_max: int = EXPIRES_SECONDS_MAX,
    fields: Mapping[bytes, bytes] | None = None,
) -> Claim[K]:
    """Read the head of a request: `path` and `query` raw as they came, the latter without `?`.

    `keys` finds an access key by its id, `services` are the signing names that this plane answers
    to; `fields` is `dict(headers)` for who has it already. Raises MissingAuthenticationToken,
    IncompleteSignature, InvalidSignature or UnrecognizedClient.
    """
    if fields is None:
        fields = dict(headers)
    pairs = _pairs(query) if query else []
    if pairs and any(name[:6].lower() == b"x-amz-" for name, _ in pairs):
        stated = _in_query(fields, dict(pairs), expires_seconds_max)
    else:
        stated = _in_header(fields)

    terms, signature, stamp, token, expires_seconds = stated
    _check_scope(terms, stamp, services)
    _check_time(stamp, expires_seconds, now)
    template, values_of = _canonical_form(terms.signed, tuple(fields))
    if len(fields) != len(headers):
        _check_repeats(headers, terms.signed_set)
    stated_sha256 = fields.get(b"x-amz-content-sha256")
    if stated_sha256 is not None and not _SHA256_HEX.fullmatch(stated_sha256):
        raise InvalidSignature("x-amz-content-sha256 must be the SHA-256 of the body, in hex.")

    key = keys(terms.key_id)
    if key is None or not _same_token(key.session_token, token):
        raise UnrecognizedClient
    signed_headers = template % values_of(fields)
    if _SPACE in signed_headers or _TAB in signed_headers:  # most have none
        stripped = {name: b" ".join(fields[name].split()) for name in terms.signed}
        signed_headers = template % values_of(stripped)
    canonical_head = b"%b\n%b\n%b\n%b\n%b\n" % (
        method.encode(),
        _canonical_path(path),
        _canonical_query(pairs) if pairs else b"",
        signed_headers,
        terms.signed_line,
    )
    signing_head = b"AWS4-HMAC-SHA256\n%b\n%b\n" % (stamp, terms.scope_line)
    return Claim(key, terms, signature, canonical_head, signing_head, stated_sha256, now)


# ── the two forms ────────────────────────────────────────────────────────────────────────────────


def _in_header(fields: Mapping[bytes, bytes]) -> _Stated:
    authorization = fields.get(b"authorization")
    if authorization is None:
        raise MissingAuthenticationToken
    stamp = fields.get(b"x-amz-date")
    terms = _authorization_terms(authorization[:-64])
    if terms is None or stamp is None:
        raise IncompleteSignature(_what_is_missing(authorization, stamp))
    token = fields.get(b"x-amz-security-token")
    return terms, authorization[-64:], stamp, token, None


@lru_cache(maxsize=_KEPT)
def _authorization_terms(prefix: bytes) -> _Terms | None:
    match = _AUTHORIZATION.fullmatch(prefix)
    return None if match is None else _terms(match[1], match[2])


def _terms(credential: bytes, signed_line: bytes) -> _Terms:
    """The two constant parts of a signature, taken apart and checked."""
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, "
            "e.g. keyid/date/region/service/term."
        )
    key_id, date, region, service, terminator = (part.decode("latin-1") for part in match.groups())
    if terminator != "aws4_request":
        raise InvalidSignature(
            "Credential should be scoped with a valid terminator: 'aws4_request'."
        )
    signed = tuple(signed_line.split(b";"))
    if len(signed) > 100:  # as many as a request has; 1,300 made-up ones took 80 KB to keep
        raise InvalidSignature(_MISMATCH)
    if any(a >= b for a, b in pairwise(signed)):
        raise IncompleteSignature("SignedHeaders must be in alphabetical order, each name once.")
    if b"host" not in signed:
        raise InvalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    scope_line = credential[len(key_id) + 1 :]
    return _Terms(
        key_id, (date, region, service), scope_line, signed, frozenset(signed), signed_line
    )


def _what_is_missing(authorization: bytes, stamp: bytes | None) -> str:
    """AWS's sentences, one for each part. The header is not repeated: it is half a secret."""
    if not authorization.startswith(_ALGORITHM + b" "):
        return "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'."
    words = [
        f"Authorization header requires '{part}' parameter."
        for part in ("Credential", "SignedHeaders", "Signature")
        if part.encode() + b"=" not in authorization
    ]
    if stamp is None:
        words.append("Authorization header requires existence of a 'X-Amz-Date' header.")
    return " ".join(words) or "Authorization header is malformed."


def _in_query(
    fields: Mapping[bytes, bytes], parameters: dict[bytes, bytes], expires_seconds_max: int
) -> _Stated:
    if b"authorization" in fields:
        raise IncompleteSignature("Only one way of authentication may be used in one request.")
    for name in parameters:
        if name[:6].lower() == b"x-amz-" and name not in _QUERY_KNOWN:
            raise IncompleteSignature(f"{name.decode('latin-1')!r} is no parameter of a signature.")
        if name in _QUERY_KNOWN and name.lower() in fields:
            raise IncompleteSignature(f"{name.decode()} is given as a header and in the query.")
    missing = [name.decode() for name in _QUERY_REQUIRED if name not in parameters]
    if missing:
        raise IncompleteSignature(
            " ".join(f"AWS query-string parameters must include '{name}'." for name in missing)
        )
    if parameters[b"X-Amz-Algorithm"] != _ALGORITHM:
        raise IncompleteSignature("X-Amz-Algorithm must be 'AWS4-HMAC-SHA256'.")
    expires = parameters[b"X-Amz-Expires"]
    if not re.fullmatch(rb"[0-9]{1,7}", expires) or not 1 <= int(expires) <= expires_seconds_max:
        raise IncompleteSignature(
            f"X-Amz-Expires must be between 1 and {expires_seconds_max} seconds."
        )
    return (
        _terms(parameters[b"X-Amz-Credential"], parameters[b"X-Amz-SignedHeaders"]),
        parameters[b"X-Amz-Signature"],
        parameters[b"X-Amz-Date"],
        parameters.get(b"X-Amz-Security-Token"),
        int(expires),
    )


# ── what has to hold, whatever the body ──────────────────────────────────────────────────────────


def _check_scope(terms: _Terms, stamp: bytes, services: Collection[str]) -> None:
    date, _, service = terms.scope
    if service not in services:
        wanted = ", ".join(f"'{name}'" for name in sorted(services))
        raise InvalidSignature(f"Credential should be scoped to correct service: {wanted}.")
    if stamp[:8] != terms.scope_line[:8]:
        raise InvalidSignature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{date}' != '{stamp[:8].decode('latin-1')}'."
        )


def _check_time(stated: bytes, expires_seconds: int | None, now: float) -> None:
    """Five minutes either way; a presigned request lives until its X-Amz-Expires instead."""
    signed_at = _epoch(stated)
    lifetime = SKEW_SECONDS if expires_seconds is None else expires_seconds
    if signed_at is not None and now - lifetime <= signed_at <= now + SKEW_SECONDS:
        return
    stamp = stated.decode("latin-1")
    if signed_at is None:
        raise IncompleteSignature(f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.")
    if signed_at > now + SKEW_SECONDS:
        raise InvalidSignature(
            f"Signature not yet current: {stamp} is still later than "
            f"{_stamp(now + SKEW_SECONDS)} ({_stamp(now)} + {SKEW_SECONDS // 60} min.)"
        )
    raise InvalidSignature(
        f"Signature expired: {stamp} is now earlier than "
        f"{_stamp(now - lifetime)} ({_stamp(now)} - {lifetime / 60:g} min.)"
    )


@lru_cache(maxsize=_KEPT)
def _canonical_form(
    signed: tuple[bytes, ...], present: tuple[bytes, ...]
) -> tuple[bytes, Callable[[Mapping[bytes, bytes]], object]]:
    """The canonical headers with a hole for each value, and what picks these values.

    Only if whatever matters is signed; raises InvalidSignature.

    It depends on names alone, and a client sends the same ones in request after request: looking
    it up costs 0.25 µs. With it reading a claim went from 6.1 µs to 3.7.
    """
    if not set(signed) <= set(present):  # a name in capitals never is among them
        raise InvalidSignature(_MISMATCH)
    for name in set(present) - set(signed):
        if (name[:5] == b"x-amz" or name == b"content-type") and name != _TRACE:
            raise InvalidSignature(
                "There were headers present in the request which were not signed: "
                f"{name.decode('latin-1')}."
            )
    template = b"".join([name.replace(b"%", b"%%") + b":%b\n" for name in signed])
    return template, itemgetter(*signed)


def _check_repeats(headers: Headers, signed: frozenset[bytes]) -> None:
    """Whatever matters is there once."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and (name in signed or name == b"authorization"):
            raise IncompleteSignature(f"Header '{name.decode('latin-1')}' is given twice.")
        seen.add(name)


def _same_token(expected: str | None, given: bytes | None) -> bool:
    if expected is None or given is None:
        return expected is None and given is None
    return compare_digest(expected.encode(), given)


# ── canonical forms ──────────────────────────────────────────────────────────────────────────────


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values, decoded. A `+` is a plus here: forms are for bodies."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    if len({name for name, _ in pairs}) != len(pairs):
        raise IncompleteSignature("A query parameter is given twice.")
    return pairs


def _canonical_query(pairs: list[tuple[bytes, bytes]]) -> bytes:
    encoded = sorted(
        (quote_from_bytes(name, safe="-_.~"), quote_from_bytes(value, safe="-_.~"))
        for name, value in pairs
        if name != b"X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in encoded).encode()


@lru_cache(maxsize=_KEPT)
def _canonical_path(path: bytes) -> bytes:
    """Dot segments and empty ones removed, then encoded once more: every service but S3."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    if not path.startswith(b"/"):
        raise InvalidSignature(_MISMATCH)
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    slash = b"/" if segments and path.endswith(b"/") else b""
    return quote_from_bytes(b"/" + b"/".join(segments) + slash, safe="/~").encode()


@lru_cache(maxsize=1024)
def _epoch(stamp: bytes) -> float | None:
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _stamp(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")


class _Hash(Protocol):
    def copy(self) -> _Hash: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


@lru_cache(maxsize=256)
def _signing_hashes(secret: str, date: str, region: str, service: str) -> tuple[_Hash, _Hash]:
    """The inner and the outer hash of an HMAC with the derived key, which is padded in already.

    Copying both costs 0.65 µs where `hmac.digest` begins anew in 1.65.
    """
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac_digest(key, part.encode(), "sha256")
    block = key.ljust(64, b"\0")  # of SHA-256; the derived key has 32 bytes
    return sha256(block.translate(_INNER_PAD)), sha256(block.translate(_OUTER_PAD))
