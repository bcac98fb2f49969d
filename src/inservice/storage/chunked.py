"""`aws-chunked`: a body in chunks that S3's clients sign or follow with a checksum.

    10000;chunk-signature=<64 hex>\\r\\n          the size in hex; a signature if chunks are signed
    <65,536 bytes>\\r\\n
    0;chunk-signature=<64 hex>\\r\\n              the last one has no bytes
    x-amz-checksum-crc32c:sOO8/Q==\\r\\n          a trailer, if one was announced
    x-amz-trailer-signature:<64 hex>\\r\\n        which is signed if chunks are
    \\r\\n

It lies inside of HTTP's own framing and knows nothing of it. A chunk is given on as its bytes come
and not when it is whole: what was read is worth nothing before `end` says so, and nobody keeps it
before. So memory is that of one line, however large a chunk is, and a byte costs the same in
whichever pieces it comes.

Everything is stated beforehand by the head, `x-amz-decoded-content-length` and `x-amz-trailer`, and
held to it: a chunk that goes beyond is refused by its header, before its bytes. Where S3 is lenient
this is not: a trailer comes once, and after the blank line nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from hashlib import sha256

from inservice.identity.sigv4.s3 import ChunkSigner
from inservice.s3_errors import IncompleteBody, InvalidChunkSizeError, MalformedTrailerError

LINE_BYTES_MAX = 1_024
"""Of a chunk's header or a line of the trailer. A size, a name and a signature are 100."""

SMALLEST_BYTES = 8_192
"""Of a chunk, but for the last two: the rest and the empty one."""

_TRAILER_SIGNATURE = "x-amz-trailer-signature"

_HEADER = re.compile(
    rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[ \t]*chunk-signature[ \t]*=[ \t]*([^\s;]{1,128})[ \t]*)?"
)
_FIELD = re.compile(rb"([A-Za-z0-9-]{1,128})[ \t]*:[ \t]*([\x21-\x7e]{0,512})[ \t]*")


class _Part(Enum):
    """What comes next."""

    HEADER = auto()
    BYTES = auto()
    BREAK = auto()  # the line's end behind the bytes of a chunk
    TRAILER = auto()
    NOTHING = auto()


class Chunks:
    """The decoder of one body, of `length` bytes."""

    __slots__ = (
        *("_before", "_digest", "_left", "_length", "_line", "_number", "_part", "_read"),
        *("_signature", "_signer", "_told", "_trailer", "_trailer_signed"),
    )

    def __init__(self, length: int, signer: ChunkSigner | None, trailer: str | None) -> None:
        self._length = length
        self._signer = signer  # None: chunks are not signed
        self._trailer = trailer  # the one that was announced, in lower case
        self._part = _Part.HEADER
        self._line = bytearray()  # what came of it so far
        self._number = 0  # of the chunk, from 1
        self._before = SMALLEST_BYTES  # how large the one before it was
        self._left = 0  # bytes of the chunk that have not come
        self._read = 0  # bytes of all chunks whose headers came
        self._signature = b""
        self._digest = sha256()  # of the chunk, if it is signed
        self._told: str | None = None  # the value of the trailer
        self._trailer_signed = False

    def feed(self, data: bytes) -> Sequence[memoryview]:
        """What `data` holds of the body. Raises IncompleteBody, InvalidChunkSizeError,
        MalformedTrailerError or SignatureDoesNotMatch; after that it is of no more use."""
        found: list[memoryview] = []
        view, at = memoryview(data), 0
        while at < len(data):
            if self._part is _Part.BYTES:
                piece = view[at : at + self._left]
                if self._signer is not None:
                    self._digest.update(piece)
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.BREAK
                continue
            end = data.find(b"\n", at, at + LINE_BYTES_MAX)
            stop = len(data) if end < 0 else end + 1
            if len(self._line) + stop - at > LINE_BYTES_MAX or self._part is _Part.NOTHING:
                raise self._malformed()
            self._line += view[at:stop]
            at = stop
            if end >= 0:
                line = bytes(self._line)
                self._line.clear()
                self._take(line)
        return found

    def end(self) -> str | None:
        """All has come: the value of the trailer, if one was announced. Raises IncompleteBody or
        MalformedTrailerError."""
        if self._line or self._part not in (_Part.TRAILER, _Part.NOTHING):
            raise IncompleteBody
        self._check_trailer()
        return self._told

    def _take(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise self._malformed()
        line = line[:-2]
        if self._part is _Part.HEADER:
            self._begin(line)
        elif self._part is _Part.BREAK:
            if line:
                raise IncompleteBody
            self._end_chunk()
            self._part = _Part.HEADER
        elif line:
            self._take_field(line)
        else:
            self._check_trailer()
            self._part = _Part.NOTHING

    def _begin(self, header: bytes) -> None:
        """A chunk, by its header."""
        match = _HEADER.fullmatch(header)
        if match is None or (match[2] is None) != (self._signer is None):
            raise IncompleteBody
        size = int(match[1], 16)
        self._number += 1
        self._read += size
        if self._read > self._length or (not size and self._read != self._length):
            raise IncompleteBody(
                "You did not provide the number of bytes specified by the Content-Length HTTP "
                "header",
                NumberBytesExpected=self._length,
                NumberBytesProvided=self._read,
            )
        if size and self._before < SMALLEST_BYTES:
            raise InvalidChunkSizeError(Chunk=self._number, BadChunkSize=self._before)
        self._before = size
        self._signature = match[2] or b""
        self._left = size
        self._part = _Part.BYTES
        if not size:
            self._end_chunk()
            self._part = _Part.TRAILER

    def _end_chunk(self) -> None:
        if self._signer is not None:
            self._signer.check_chunk(self._digest.hexdigest().encode(), self._signature)
            self._digest = sha256()

    def _take_field(self, line: bytes) -> None:
        """A line of the trailer."""
        match = _FIELD.fullmatch(line)
        if match is None or self._trailer_signed:
            raise MalformedTrailerError
        name, value = match[1].decode().lower(), match[2].decode()
        if name == _TRAILER_SIGNATURE and self._signer is not None:
            lines = b"" if self._told is None else f"{self._trailer}:{self._told}".encode()
            digest = sha256(lines + b"\n").hexdigest()
            self._signer.check_trailer(digest.encode(), value.encode())
            self._trailer_signed = True
        elif name == self._trailer and self._told is None:
            self._told = value
        else:
            raise MalformedTrailerError

    def _check_trailer(self) -> None:
        """Whether what was announced came, and was signed if it had to be."""
        if self._trailer is None:
            return
        if self._told is None:
            raise MalformedTrailerError
        if self._signer is not None and not self._trailer_signed:
            raise IncompleteBody

    def _malformed(self) -> IncompleteBody | MalformedTrailerError:
        """Of what is no line, or comes after the last one."""
        if self._part in (_Part.TRAILER, _Part.NOTHING):
            return MalformedTrailerError()
        return IncompleteBody()
