"""What a request says of its own signature: in the Authorization header, or presigned in the query.

Exactly one of the two, taken apart and well-formed. What it says is not believed here; `claims`
checks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from inservice.errors import (
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
)
from inservice.identity.sigv4.canonical import KEPT, MISMATCH

ALGORITHM: Final = b"AWS4-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(  # all but the signature itself, its last 64 characters
    rb"AWS4-HMAC-SHA256 +Credential=([^\s,=]{1,256}), *SignedHeaders=([^\s,=]{1,4096}), *Signature="
)
_CREDENTIAL: Final = re.compile(
    rb"([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/([^/]{1,64})"
)
_STAMP: Final = re.compile(rb"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")

_QUERY_REQUIRED: Final = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Date",
    b"X-Amz-Expires",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Signature",
)
_QUERY_KNOWN: Final = frozenset((*_QUERY_REQUIRED, b"X-Amz-Security-Token"))


class Terms(NamedTuple):
    """What is the same in request after request of one client on one day, so worth keeping."""

    key_id: str
    scope: tuple[str, str, str]  # date, region, service
    scope_line: bytes
    signed: tuple[bytes, ...]  # names of the signed headers, in canonical order
    signed_set: frozenset[bytes]
    signed_line: bytes


Stated = tuple[Terms, bytes, bytes, bytes | None, int | None]
"""What a request says about its own signature, in either form: the terms, the signature,
X-Amz-Date, the session token, and the seconds that a presigned one lives (query form only)."""


def in_header(fields: Mapping[bytes, bytes]) -> Stated:
    """What the headers say. Raises MissingAuthenticationToken, IncompleteSignature and
    InvalidSignature."""
    authorization = fields.get(b"authorization")
    if authorization is None:
        raise MissingAuthenticationToken
    stamp = fields.get(b"x-amz-date")
    terms = _authorization_terms(authorization[:-64])
    if terms is None or stamp is None:
        raise IncompleteSignature(_what_is_missing(authorization, stamp))
    token = fields.get(b"x-amz-security-token")
    return terms, authorization[-64:], stamp, token, None


@lru_cache(maxsize=KEPT)
def _authorization_terms(prefix: bytes) -> Terms | None:
    match = _AUTHORIZATION.fullmatch(prefix)
    return None if match is None else _terms(match[1], match[2])


def _terms(credential: bytes, signed_line: bytes) -> Terms:
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
        raise InvalidSignature(MISMATCH)
    if any(a >= b for a, b in pairwise(signed)):
        raise IncompleteSignature("SignedHeaders must be in alphabetical order, each name once.")
    if b"host" not in signed:
        raise InvalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    scope_line = credential[len(key_id) + 1 :]
    return Terms(
        key_id, (date, region, service), scope_line, signed, frozenset(signed), signed_line
    )


def _what_is_missing(authorization: bytes, stamp: bytes | None) -> str:
    """AWS's sentences, one for each part. The header is not repeated: it is half a secret."""
    if not authorization.startswith(ALGORITHM + b" "):
        return "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'."
    words = [
        f"Authorization header requires '{part}' parameter."
        for part in ("Credential", "SignedHeaders", "Signature")
        if part.encode() + b"=" not in authorization
    ]
    if stamp is None:
        words.append("Authorization header requires existence of a 'X-Amz-Date' header.")
    return " ".join(words) or "Authorization header is malformed."


def in_query(
    fields: Mapping[bytes, bytes], parameters: dict[bytes, bytes], expires_seconds_max: int
) -> Stated:
    """What a presigned request's query says: `parameters` by their names, `fields` the headers
    beside it, which may not say any of it too. Raises IncompleteSignature and InvalidSignature."""
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
    if parameters[b"X-Amz-Algorithm"] != ALGORITHM:
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


@lru_cache(maxsize=1024)
def epoch(stamp: bytes) -> float | None:
    """The instant of an X-Amz-Date, in seconds; None for what is none."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def stamp_of(instant: float) -> str:
    """The X-Amz-Date of an instant."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")
