"""Claims: that a request was signed with a key, read from its head and compared with its body.

`claim` reads the head and refuses whatever the body cannot mend, `Claim.verify` takes the digest of
the body and compares; `verify` is both in one. The rules are those that `sigv4` begins with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Generic, TypeVar

from inservice.errors import (
    ExpiredToken,
    IncompleteSignature,
    InvalidSignature,
    UnrecognizedClient,
)
from inservice.identity.sigv4.canonical import (
    MISMATCH,
    Headers,
    canonical_path,
    canonical_query,
    header_form,
    query_pairs,
    without_blanks,
)
from inservice.identity.sigv4.signing import SigningKey, same_token, signature, signing_hashes
from inservice.identity.sigv4.stated import Terms, epoch, in_header, in_query, stamp_of

SKEW_SECONDS: Final = 300
"""How far a client's clock may be off, either way: AWS's general rule of five minutes."""

EXPIRES_SECONDS_MAX: Final = 604_800
"""The longest life of a presigned request that AWS allows: seven days."""

EMPTY_SHA256: Final = sha256(b"").hexdigest()
"""The digest of no body at all."""

# Looking for a byte by its number is 0.5 µs quicker than by a string of one.
_SPACE, _TAB = b" \t"

_SHA256_HEX: Final = re.compile(rb"[0-9a-f]{64}")

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
        terms: Terms,
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
        inner, outer = signing_hashes(key.secret, self._date, self.region, self.service)
        computed = signature(inner, outer, self._signing_head + canonical.encode())
        if not compare_digest(computed, self._signature):
            raise InvalidSignature(MISMATCH)
        if self._stated_sha256 is not None and self._stated_sha256 != payload:
            raise InvalidSignature("The body is not the one that x-amz-content-sha256 speaks of.")
        if key.expires_at is not None and key.expires_at <= self._now:
            raise ExpiredToken


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
    pairs = _each_once(query_pairs(query)) if query else []
    if pairs and any(name[:6].lower() == b"x-amz-" for name, _ in pairs):
        stated = in_query(fields, dict(pairs), expires_seconds_max)
    else:
        stated = in_header(fields)

    terms, signed, stamp, token, expires_seconds = stated
    _check_scope(terms, stamp, services)
    _check_time(stamp, expires_seconds, now)
    template, values_of = header_form(terms.signed, tuple(fields))
    if len(fields) != len(headers):
        _check_repeats(headers, terms.signed_set)
    stated_sha256 = fields.get(b"x-amz-content-sha256")
    if stated_sha256 is not None and not _SHA256_HEX.fullmatch(stated_sha256):
        raise InvalidSignature("x-amz-content-sha256 must be the SHA-256 of the body, in hex.")

    key = keys(terms.key_id)
    if key is None or not same_token(key.session_token, token):
        raise UnrecognizedClient
    signed_headers = template % values_of(fields)
    if _SPACE in signed_headers or _TAB in signed_headers:  # most have none
        signed_headers = template % values_of(without_blanks(fields, terms.signed))
    canonical_head = b"%b\n%b\n%b\n%b\n%b\n" % (
        method.encode(),
        canonical_path(path),
        canonical_query(pairs) if pairs else b"",
        signed_headers,
        terms.signed_line,
    )
    signing_head = b"AWS4-HMAC-SHA256\n%b\n%b\n" % (stamp, terms.scope_line)
    return Claim(key, terms, signed, canonical_head, signing_head, stated_sha256, now)


# ── what has to hold, whatever the body ──────────────────────────────────────────────────────────


def _check_scope(terms: Terms, stamp: bytes, services: Collection[str]) -> None:
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
    signed_at = epoch(stated)
    lifetime = SKEW_SECONDS if expires_seconds is None else expires_seconds
    if signed_at is not None and now - lifetime <= signed_at <= now + SKEW_SECONDS:
        return
    stamp = stated.decode("latin-1")
    if signed_at is None:
        raise IncompleteSignature(f"Date must be in ISO-8601 'basic format'. Got '{stamp}'.")
    if signed_at > now + SKEW_SECONDS:
        raise InvalidSignature(
            f"Signature not yet current: {stamp} is still later than "
            f"{stamp_of(now + SKEW_SECONDS)} ({stamp_of(now)} + {SKEW_SECONDS // 60} min.)"
        )
    raise InvalidSignature(
        f"Signature expired: {stamp} is now earlier than "
        f"{stamp_of(now - lifetime)} ({stamp_of(now)} - {lifetime / 60:g} min.)"
    )


def _each_once(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The parameters of a query, if each of them is there once."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise IncompleteSignature("A query parameter is given twice.")
    return pairs


def _check_repeats(headers: Headers, signed: frozenset[bytes]) -> None:
    """Whatever matters is there once."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and (name in signed or name == b"authorization"):
            raise IncompleteSignature(f"Header '{name.decode('latin-1')}' is given twice.")
        seen.add(name)
