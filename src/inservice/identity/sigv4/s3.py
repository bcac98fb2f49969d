"""S3's dialect of Signature Version 4: whose a request is, from its head alone.

Everybody else's signature covers the digest of the body, so it can only be compared when the body
is there (`claims`). S3's covers what `x-amz-content-sha256` says, whatever that is; so its head is
verified at once, and what was said of the body is what the body is then held to while it streams:

    a digest                          the whole body has it
    UNSIGNED-PAYLOAD                  nothing; so does a presigned URL without the header
    STREAMING-AWS4-HMAC-SHA256-…      each chunk is signed, from the signature of the head on
    STREAMING-UNSIGNED-PAYLOAD-…      chunks without signatures, a checksum behind them

The path is signed as the key that it names, encoded once and never tidied up. What must be signed
is `host` and every `x-amz-` header: anybody on the way could add one that is not. Other headers,
Content-Type among them, S3 lets be.

No I/O and no clock. Durations are seconds, instants are seconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Generic, TypeVar

from inservice.identity.sigv4.canonical import (
    canonical_key_path,
    canonical_query,
    query_pairs,
)
from inservice.identity.sigv4.s3_stated import S3Stated, s3_stated
from inservice.identity.sigv4.signing import (
    Hash,
    SigningKey,
    same_token,
    signature,
    signing_hashes,
)
from inservice.identity.sigv4.stated import ALGORITHM
from inservice.s3_errors import (
    AccessDenied,
    ExpiredToken,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidToken,
    SignatureDoesNotMatch,
)

UNSIGNED_PAYLOAD: Final = b"UNSIGNED-PAYLOAD"
SIGNED_CHUNKS: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_TRAILER: Final = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"

_KINDS: Final = (
    UNSIGNED_PAYLOAD,
    UNSIGNED_CHUNKS_TRAILER,
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
)
_PAYLOAD: Final = re.compile(rb"[0-9a-fA-F]{64}|" + b"|".join(_KINDS))
_PAYLOAD_WORDS: Final = (
    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
    "or a valid sha256 value."
)
_EMPTY: Final = sha256(b"").hexdigest().encode()

K = TypeVar("K", bound=SigningKey)


class ChunkSigner:
    """The signatures of the chunks of one body, each of which covers the one before it."""

    __slots__ = ("_canonical", "_hashes", "_key_id", "_previous", "_stamp_and_scope")

    def __init__(
        self,
        hashes: tuple[Hash, Hash],
        key_id: str,
        stamp_and_scope: bytes,
        seed: bytes,
        canonical: bytes,
    ) -> None:
        self._hashes = hashes
        self._key_id = key_id
        self._stamp_and_scope = stamp_and_scope
        self._previous = seed  # the signature of the head
        self._canonical = canonical  # of the head, to tell of in an error

    def check_chunk(self, digest: bytes, given: bytes) -> None:
        """Whether the next chunk, of this SHA-256 in hex, was signed so. Raises
        SignatureDoesNotMatch."""
        tail = _EMPTY + b"\n" + digest  # no headers are signed with a chunk
        self._check(b"AWS4-HMAC-SHA256-PAYLOAD", tail, given)

    def check_trailer(self, digest: bytes, given: bytes) -> None:
        """The same for what comes after the last chunk."""
        self._check(b"AWS4-HMAC-SHA256-TRAILER", digest, given)

    def _check(self, kind: bytes, tail: bytes, given: bytes) -> None:
        text = b"%b\n%b\n%b\n%b" % (kind, self._stamp_and_scope, self._previous, tail)
        computed = signature(self._hashes[0], self._hashes[1], text)
        if not compare_digest(computed, given):
            raise _mismatch(self._key_id, text, given, self._canonical)
        self._previous = computed


class S3Claim(Generic[K]):
    """A head that was signed with this key, and what it says of the body."""

    __slots__ = ("chunks", "key", "payload", "presigned", "region")

    def __init__(
        self, key: K, region: str, payload: bytes, chunks: ChunkSigner | None, *, presigned: bool
    ) -> None:
        self.key = key
        self.region = region
        """As the client states it: one server answers for all of them."""
        self.payload = payload
        """What `x-amz-content-sha256` says; UNSIGNED-PAYLOAD where a presigned URL does not."""
        self.chunks = chunks
        """For a body that comes in signed chunks."""
        self.presigned = presigned


def s3_claim(
    method: str,
    path: bytes,
    pairs: Sequence[tuple[bytes, bytes]],
    fields: Mapping[bytes, bytes],
    *,
    keys: Callable[[str], K | None],
    now: float,
) -> S3Claim[K] | None:
    """Who signed a request to S3; None if nobody did. `path` is raw as it came, `pairs` are those
    of its query (`s3_query_pairs`), `fields` its headers (`joined_fields`). `keys` finds an access
    key by its id.

    Raises S3's errors: AccessDenied, AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError, ExpiredToken, InvalidAccessKeyId, InvalidArgument,
    InvalidRequest, InvalidToken, RequestTimeTooSkewed, SignatureDoesNotMatch; OutdatedSignature
    for Signature Version 2 and NotImplementedYet for SigV4A.
    """
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        _check_once(pairs)
    stated = s3_stated(fields, parameters, now)
    if stated is None:
        return None
    payload = _payload(stated, fields, parameters)
    _check_signed(stated, fields)
    key = keys(stated.key_id)
    if key is None or (stated.token is None and key.session_token is not None):
        raise InvalidAccessKeyId(AWSAccessKeyId=stated.key_id)
    if not same_token(key.session_token, stated.token):
        raise InvalidToken(**{"Token-0": (stated.token or b"").decode("latin-1")})
    canonical = b"%b\n%b\n%b\n%b\n%b\n%b" % (
        method.encode(),
        canonical_key_path(path),
        canonical_query(pairs) if pairs else b"",
        b"".join([b"%b:%b\n" % (name, fields[name]) for name in stated.signed]),
        stated.signed_line,
        payload,
    )
    digest = sha256(canonical).hexdigest().encode()
    stamp_and_scope = stated.stamp + b"\n" + stated.scope_line
    text = b"%b\n%b\n%b" % (ALGORITHM, stamp_and_scope, digest)
    date, region, service = stated.scope
    hashes = signing_hashes(key.secret, date, region, service)
    computed = signature(hashes[0], hashes[1], text)
    if not compare_digest(computed, stated.signature):
        raise _mismatch(stated.key_id, text, stated.signature, canonical)
    if key.expires_at is not None and key.expires_at <= now:
        raise ExpiredToken(**{"Token-0": (stated.token or b"").decode("latin-1")})
    chunks = None
    if payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER) and not stated.presigned:
        chunks = ChunkSigner(hashes, stated.key_id, stamp_and_scope, computed, canonical)
    return S3Claim(key, region, payload, chunks, presigned=stated.presigned)


def s3_query_pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of a query, decoded. A `+` is a blank to S3, as in its paths."""
    return query_pairs(query.replace(b"+", b" ")) if query else []


def _check_once(pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Signed pairs are sorted, so that the order of repeated ones is nobody's word; and a request
    that says two things of itself says neither."""
    seen: set[bytes] = set()
    for name, value in pairs:
        if name in seen:
            raise InvalidArgument(
                "A query parameter is given twice.",
                ArgumentName=name.decode("utf-8", "replace"),
                ArgumentValue=value.decode("utf-8", "replace"),
            )
        seen.add(name)


def _payload(
    stated: S3Stated, fields: Mapping[bytes, bytes], parameters: Mapping[bytes, bytes]
) -> bytes:
    """What is signed for the body."""
    said = fields.get(b"x-amz-content-sha256")
    if stated.presigned:
        # Some SDKs move it into the URL with the other headers. Whatever it says, S3 compares it.
        for name, value in parameters.items():
            if name.lower() == b"x-amz-content-sha256":
                said = said or value
        return said or UNSIGNED_PAYLOAD
    if said is None:
        raise InvalidRequest("Missing required header for this request: x-amz-content-sha256")
    if not _PAYLOAD.fullmatch(said):
        raise InvalidArgument(
            _PAYLOAD_WORDS,
            ArgumentName="x-amz-content-sha256",
            ArgumentValue=said.decode("latin-1"),
        )
    return said


def _check_signed(stated: S3Stated, fields: Mapping[bytes, bytes]) -> None:
    """Whether all is signed that has to be, and nothing that is not there."""
    signed = frozenset(stated.signed)
    left = [
        name for name in fields if (name[:6] == b"x-amz-" or name == b"host") and name not in signed
    ]
    if left or b"host" not in signed:
        names = ", ".join(name.decode("latin-1") for name in left or [b"host"])
        raise AccessDenied(
            "There were headers present in the request which were not signed",
            HeadersNotSigned=names,
        )
    for name in stated.signed:
        if name not in fields:
            raise SignatureDoesNotMatch(
                AWSAccessKeyId=stated.key_id,
                SignatureProvided=stated.signature.decode("latin-1"),
            )


def _mismatch(key_id: str, text: bytes, given: bytes, canonical: bytes) -> SignatureDoesNotMatch:
    """With what S3 tells beside, by which a client's mistake is found: what was signed here."""
    return SignatureDoesNotMatch(
        AWSAccessKeyId=key_id,
        StringToSign=text.decode("utf-8", "replace"),
        SignatureProvided=given.decode("latin-1"),
        StringToSignBytes=text.hex(" "),
        CanonicalRequest=canonical.decode("utf-8", "replace"),
        CanonicalRequestBytes=canonical.hex(" "),
    )
