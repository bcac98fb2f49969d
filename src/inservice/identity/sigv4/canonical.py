"""What of a request is signed, in the one form that both sides bring it into.

Services differ in the path alone: S3's keys are what they are, so its path is encoded once and
never tidied up; everybody else's is normalised and encoded once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from inservice.errors import InvalidSignature

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in the order they came, names in lower case."""

KEPT: Final = 128
"""Of what clients repeat; strangers choose some of it, at worst 50 KB apiece."""

MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)

_HeaderForm = tuple[bytes, Callable[[Mapping[bytes, bytes]], object]]
"""The canonical headers with a hole for each value, and what picks these values."""

# Canonical as it stands.
_PLAIN_KEY_PATH: Final = re.compile(rb"[A-Za-z0-9/_.~-]*")
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+|/")

# botocore and the other SDKs never sign it: tracing rewrites it on the way, and we never read it.
_TRACE: Final = b"x-amzn-trace-id"


def query_pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values, decoded. A `+` is a plus here: forms are for bodies."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return pairs


def canonical_query(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Encoded and sorted, without the signature itself."""
    encoded = sorted(
        (quote_from_bytes(name, safe="-_.~"), quote_from_bytes(value, safe="-_.~"))
        for name, value in pairs
        if name != b"X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in encoded).encode()


def joined_fields(headers: Headers) -> dict[bytes, bytes]:
    """Values by name, blanks in them single; those of one name joined by commas, as signed."""
    fields: dict[bytes, bytes] = {}
    for name, raw in headers:
        value = b" ".join(raw.split())
        fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


def canonical_key_path(path: bytes) -> bytes:
    """S3's: a key may have empty and dotted segments, and means them. A `+` is a blank to S3, in
    a path too, and so it is here: one signature must not stand for two keys."""
    if _PLAIN_KEY_PATH.fullmatch(path):
        return path
    return quote_from_bytes(unquote_to_bytes(path.replace(b"+", b" ")), safe="/-_.~").encode()


@lru_cache(maxsize=KEPT)
def canonical_path(path: bytes) -> bytes:
    """Dot segments and empty ones removed, then encoded once more: every service but S3. Raises
    InvalidSignature for what is no path."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    if not path.startswith(b"/"):
        raise InvalidSignature(MISMATCH)
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    slash = b"/" if segments and path.endswith(b"/") else b""
    return quote_from_bytes(b"/" + b"/".join(segments) + slash, safe="/~").encode()


@lru_cache(maxsize=KEPT)
def header_form(signed: tuple[bytes, ...], present: tuple[bytes, ...]) -> _HeaderForm:
    """The canonical headers with a hole for each value, and what picks these values.

    Only if whatever matters is signed; raises InvalidSignature.

    It depends on names alone, and a client sends the same ones in request after request: looking
    it up costs 0.25 µs. With it reading a claim went from 6.1 µs to 3.7.
    """
    if not set(signed) <= set(present):  # a name in capitals never is among them
        raise InvalidSignature(MISMATCH)
    for name in set(present) - set(signed):
        if (name[:5] == b"x-amz" or name == b"content-type") and name != _TRACE:
            raise InvalidSignature(
                "There were headers present in the request which were not signed: "
                f"{name.decode('latin-1')}."
            )
    template = b"".join([name.replace(b"%", b"%%") + b":%b\n" for name in signed])
    return template, itemgetter(*signed)


def without_blanks(fields: Mapping[bytes, bytes], signed: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """The values that are signed: no blanks around them, single ones in them."""
    return {name: b" ".join(fields[name].split()) for name in signed}
