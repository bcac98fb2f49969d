"""Bodies: what a head says of one, and whether what comes is that.

    stated = bodies.stated(operation, fields, claim)     refuses what the head alone is wrong in
    body = Body(stated)
    for piece in body.feed(data): …                      as often as something comes
    received = body.end()                                its digests; refuses anything else

What was fed is only worth something once `end` has returned: the digest that was signed, the
checksum, the signature of the last chunk can be known no sooner. Refusals are those of S3, in its
order: the signed SHA-256 first, then Content-MD5, then the checksum.

A digest costs as much as everything else that is done with a large body. So each is computed once,
however many ask for it, and only if it was stated or has to be kept: MD5 for the ETag, and one
checksum. All in the thread that feeds: in threads of their own they would cost no less, and what a
second core does for one upload it cannot do for another.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inservice.blobs.base import Checksum
from inservice.checksums import ALGORITHMS, DEFAULT, Running, decoded, told
from inservice.errors import NotImplementedYet
from inservice.identity.sigv4.s3 import (
    SIGNED_CHUNKS,
    UNSIGNED_CHUNKS_TRAILER,
    UNSIGNED_PAYLOAD,
    ChunkSigner,
    S3Claim,
)
from inservice.s3_errors import (
    BadDigest,
    EntityTooLarge,
    IncompleteBody,
    InvalidDigest,
    InvalidRequest,
    MalformedTrailerError,
    MaxMessageLengthExceeded,
    MissingContentLength,
    XAmzContentSHA256Mismatch,
)
from inservice.storage.chunked import Chunks

OBJECT_BYTES_MAX = 5 << 30
"""Of one PutObject or UploadPart: S3's 5 GiB."""

DOCUMENT_BYTES_MAX = 8 << 20
"""Of an XML or JSON document. The largest that S3 takes, ten thousand parts with their checksums or
a thousand keys of a thousand escaped bytes, are less than 7 MB."""

KEPT = ("PutObject", "UploadPart")
"""Operations whose body is data: it is streamed, and its digests are kept."""

_CHECKSUM = b"x-amz-checksum-"
_NO_VALUES = (b"x-amz-checksum-algorithm", b"x-amz-checksum-mode", b"x-amz-checksum-type")
"""What begins like a checksum and is none."""

_XXHASH = ("XXHASH64", "XXHASH3", "XXHASH128")

_ONE = "Expecting a single x-amz-checksum- header"
_ONE_TYPE = f"{_ONE}. Multiple checksum Types are not allowed."


@dataclass(frozen=True, slots=True)
class Stated:
    """What a head says of the body behind it, well-formed."""

    length: int | None  # bytes of it, decoded; None: of a document that comes in HTTP's own chunks
    most: int  # how many it may have
    kept: bool  # its digests are wanted
    chunked: bool  # it comes as aws-chunked
    chunks: ChunkSigner | None
    sha256: str | None  # as it was stated, perhaps in capitals, perhaps no digest at all
    md5: bytes | None
    algorithm: str | None  # of the checksum
    checksum: bytes | None  # its value; None while it is to come in the trailer
    trailer: str | None  # name of the header that comes after the body


@dataclass(frozen=True, slots=True)
class Digests:
    """Of a body that was as it was stated."""

    size: int
    md5: str  # hex; "" of a body that is not kept
    checksum: Checksum | None  # None of a body that is not kept


def stated(operation: str, fields: Mapping[bytes, bytes], claim: S3Claim[Any] | None) -> Stated:
    """What the head of a request says of its body. `fields` are its headers by lower-case name,
    and with them those that a presigned URL carries; `claim` is who signed it. Not to be asked of
    GET, HEAD and DELETE: whatever comes with them, S3 looks at none of it.

    Raises EntityTooLarge, InvalidDigest, InvalidRequest, MalformedTrailerError,
    MaxMessageLengthExceeded, MissingContentLength, NotImplementedYet.
    """
    kept = operation in KEPT
    payload = claim.payload if claim else fields.get(b"x-amz-content-sha256", UNSIGNED_PAYLOAD)
    chunked = _is_chunked(fields, claim, payload)
    length = _length(fields, kept=kept, chunked=chunked)
    most = OBJECT_BYTES_MAX if kept else DOCUMENT_BYTES_MAX
    if length is not None and length > most:
        raise _too_large(length, kept=kept)
    unsigned = chunked or payload == UNSIGNED_PAYLOAD
    digest = _content_md5(fields)
    if operation == "CompleteMultipartUpload":  # its checksum is the object's
        algorithm, checksum, trailer = None, None, None
    else:
        trailing = chunked and payload != SIGNED_CHUNKS
        algorithm, checksum, trailer = _checksum(fields, trailing=trailing)
    return Stated(
        length=length,
        most=most,
        kept=kept,
        chunked=chunked,
        chunks=claim.chunks if claim else None,
        sha256=None if unsigned else payload.decode("latin-1"),
        md5=digest,
        algorithm=algorithm,
        checksum=checksum,
        trailer=trailer,
    )


class Body:
    """A body as it comes. Its memory is that of a line, whatever it is of."""

    __slots__ = ("_chunks", "_running", "_size", "_stated")

    def __init__(self, stated: Stated) -> None:
        self._stated = stated
        self._size = 0
        self._chunks: Chunks | None = None
        if stated.chunked:
            assert stated.length is not None
            self._chunks = Chunks(stated.length, stated.chunks, stated.trailer)
        names = {stated.algorithm or (DEFAULT if stated.kept else None)}
        names |= {"MD5" if stated.kept or stated.md5 else None}
        names |= {"SHA256" if stated.sha256 else None}
        self._running: dict[str, Running] = {
            name: ALGORITHMS[name].new() for name in names if name is not None
        }

    def feed(self, data: bytes) -> Sequence[bytes | memoryview]:
        """What `data` holds of the body: views of it, so it must not be changed. Raises what
        `Chunks.feed` does, IncompleteBody, EntityTooLarge or MaxMessageLengthExceeded; after that
        it is of no more use."""
        pieces = (data,) if self._chunks is None else self._chunks.feed(data)
        for piece in pieces:
            self._size += len(piece)
            for running in self._running.values():
                running.update(piece)
        limit = self._stated.length
        if limit is not None and self._size > limit:
            raise self._incomplete()
        if self._size > self._stated.most:
            raise _too_large(self._size, kept=self._stated.kept)
        return pieces

    def end(self) -> Digests:
        """All has come. Raises BadDigest, IncompleteBody, InvalidRequest, MalformedTrailerError or
        XAmzContentSHA256Mismatch."""
        wanted = self._stated
        trailing = self._chunks.end() if self._chunks else None
        if wanted.length is not None and self._size != wanted.length:
            raise self._incomplete()
        found = {name: running.digest() for name, running in self._running.items()}
        if wanted.sha256 is not None and wanted.sha256.lower() != found["SHA256"].hex():
            raise XAmzContentSHA256Mismatch(
                ClientComputedContentSHA256=wanted.sha256,
                S3ComputedContentSHA256=found["SHA256"].hex(),
            )
        if wanted.md5 is not None and wanted.md5 != found["MD5"]:
            raise BadDigest(ExpectedDigest=wanted.md5.hex(), CalculatedDigest=told(found["MD5"]))
        if wanted.algorithm is not None:
            expected = wanted.checksum
            if wanted.trailer is not None:
                expected = decoded(wanted.algorithm, trailing or "")
                if expected is None:
                    raise InvalidRequest(f"Value for {wanted.trailer} trailing header is invalid.")
            if expected != found[wanted.algorithm]:
                raise BadDigest(
                    f"The {wanted.algorithm} you specified did not match the calculated checksum."
                )
        if not wanted.kept:
            return Digests(self._size, "", None)
        algorithm = wanted.algorithm or DEFAULT
        checksum = Checksum(algorithm, told(found[algorithm]))
        return Digests(self._size, found["MD5"].hex(), checksum)

    def _incomplete(self) -> IncompleteBody:
        return IncompleteBody(
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
            NumberBytesExpected=self._stated.length,
            NumberBytesProvided=self._size,
        )


# ── the head ─────────────────────────────────────────────────────────────────────────────────────


def _is_chunked(fields: Mapping[bytes, bytes], claim: S3Claim[Any] | None, payload: bytes) -> bool:
    """Chunks are part of the header's way to sign. Of a presigned URL, which does not cover the
    body, S3 takes the mark for a digest that is wrong. Who does not sign sends a checksum behind
    the body all the same, and botocore then says so in no other header."""
    if claim is not None:
        return not claim.presigned and payload.startswith(b"STREAMING-")
    if b"x-amz-content-sha256" in fields:
        return payload == UNSIGNED_CHUNKS_TRAILER
    return b"x-amz-trailer" in fields and b"x-amz-decoded-content-length" in fields


def _length(fields: Mapping[bytes, bytes], *, kept: bool, chunked: bool) -> int | None:
    name = b"x-amz-decoded-content-length" if chunked else b"content-length"
    value = fields.get(name)
    if value is not None and re.fullmatch(rb"[0-9]{1,18}", value):
        return int(value)
    if chunked or kept or value is not None:
        raise MissingContentLength
    return None if b"transfer-encoding" in fields else 0


def _too_large(size: int, *, kept: bool) -> EntityTooLarge | MaxMessageLengthExceeded:
    if kept:
        return EntityTooLarge(ProposedSize=size, MaxSizeAllowed=OBJECT_BYTES_MAX)
    return MaxMessageLengthExceeded(MaxMessageLengthBytes=DOCUMENT_BYTES_MAX)


def _content_md5(fields: Mapping[bytes, bytes]) -> bytes | None:
    value = fields.get(b"content-md5")
    if value is None:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != ALGORITHMS["MD5"].size:
        raise InvalidDigest(**{"Content-MD5": value.decode("latin-1")})
    return digest


def _checksum(
    fields: Mapping[bytes, bytes], *, trailing: bool
) -> tuple[str | None, bytes | None, str | None]:
    """The algorithm that is stated, its value, and the name of the trailer that will tell it."""
    given = [name for name in fields if name[:15] == _CHECKSUM and name not in _NO_VALUES]
    announced = _announced(fields.get(b"x-amz-trailer"))
    if len(given) > 1 or len(announced) > 1:
        raise InvalidRequest(_ONE_TYPE)
    asked = fields.get(b"x-amz-sdk-checksum-algorithm")
    if announced:
        if given:
            raise InvalidRequest(_ONE)
        algorithm = _algorithm(
            announced[0], "The value specified in the x-amz-trailer header is not supported"
        )
        _check_asked(asked, algorithm)
        if not trailing:
            raise MalformedTrailerError
        return algorithm, None, announced[0]
    if not given:
        if asked is not None:
            raise InvalidRequest(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                "x-amz-trailer headers were found."
            )
        return None, None, None
    name = given[0].decode("latin-1")
    algorithm = _algorithm(
        name, "The algorithm type you specified in x-amz-checksum- header is invalid."
    )
    _check_asked(asked, algorithm)
    value = decoded(algorithm, fields[given[0]].decode("latin-1"))
    if value is None:
        raise InvalidRequest(f"Value for {name} header is invalid.")
    return algorithm, value, None


def _announced(trailer: bytes | None) -> Sequence[str]:
    """The names in x-amz-trailer, which may end with commas but not begin with one."""
    if trailer is None:
        return ()
    names = trailer.decode("latin-1").lower().rstrip(", ").split(",")
    return [name.strip() for name in names]


def _algorithm(header: str, otherwise: str) -> str:
    name = header.removeprefix(_CHECKSUM.decode()).upper()
    if not header.startswith(_CHECKSUM.decode()) or name not in (*ALGORITHMS, *_XXHASH):
        raise InvalidRequest(otherwise)
    if name in _XXHASH:
        raise NotImplementedYet(f"the checksum {name}")
    return name


def _check_asked(asked: bytes | None, algorithm: str) -> None:
    if asked is not None and asked.decode("latin-1").upper() != algorithm:
        raise InvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
