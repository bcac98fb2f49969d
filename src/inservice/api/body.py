"""The document of a request: its body as the protocol means it, no larger than one may be.

What a body costs is decided by what it *is*, not by how small it was made for the way: seven
kilobytes of gzip can be seven megabytes of JSON, and a parser written in C holds the interpreter
until it is done. So limits are of the plain document, and they are looked at before it is parsed;
a compressed body is never read where the request arrives, however short it is.
"""

from __future__ import annotations

import zlib

from inservice.api.identify import Protocol
from inservice.errors import RequestEntityTooLarge, SerializationException
from inservice.transport.limits import MIB
from inservice.transport.messages import Request

DOCUMENT_BYTES_MAX = 4 * MIB
"""Of a plain document, compressed on the way or not; what gateway workers let through too. The
largest honest ones are a model of 15 containers with full environments, 3 MB, and PutLogEvents and
PutMetricData, which are 1 MiB on AWS."""

CBOR_BYTES_MAX = MIB
"""Of a document in CBOR, where every byte may be a value: a million empty lists are 0.2 s in which
nobody else gets the interpreter. CloudWatch alone speaks it, and AWS takes 1 MB."""

CONTAINERS_MAX = 250_000
"""Brackets and braces of a JSON document, in its texts too. They cost the parser most: four
megabytes of `[],` are a quarter of a second. A full PutMetricData has 31,000."""

EASY_BYTES = MIB
RATIO_MAX = 200
"""How much larger than its body a document may be beyond EASY_BYTES. Metrics and logs shrink to a
tenth, the most repetitive of them to a hundredth; a thousandth is deflate's limit and a bomb."""

INLINE_BYTES_MAX = 64 * 1024
"""Larger bodies are parsed in a thread: a megabyte of JSON would stall the loop for 10 ms."""


def is_small(request: Request) -> bool:
    """Whether reading the document is a matter of a moment, as far as its head tells."""
    return request.length <= INLINE_BYTES_MAX and b"content-encoding" not in request.fields


def document_of(request: Request, protocol: Protocol) -> bytes:
    """The plain document. Raises RequestEntityTooLarge, and SerializationException for a coding
    that is none: botocore compresses PutMetricData by gzip, from 10 KB on."""
    if request.method == "GET":
        # To a signature `+` and `%2B` are the same, so to us: read as a blank, as forms have it,
        # one could be made of the other on the way, and the signature would still be right.
        return request.query.replace(b"+", b"%2B")
    bytes_max = CBOR_BYTES_MAX if protocol is Protocol.CBOR else DOCUMENT_BYTES_MAX
    encoding = request.header(b"content-encoding")
    document = request.body if encoding is None else _inflated(request.body, encoding, bytes_max)
    if len(document) > bytes_max:
        raise RequestEntityTooLarge(f"HTTP content length exceeded {bytes_max} bytes.")
    if protocol is Protocol.JSON and document.count(b"[") + document.count(b"{") > CONTAINERS_MAX:
        raise SerializationException("The request body has too many lists and structures.")
    return document


def _inflated(body: bytes, encoding: bytes, bytes_max: int) -> bytes:
    """What was compressed, one byte more than may be at most: it is never held whole."""
    if encoding.strip().lower() != b"gzip":
        raise SerializationException("The Content-Encoding of a request is gzip, or none.")
    room = min(bytes_max, max(EASY_BYTES, RATIO_MAX * len(body)))
    try:
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        document = inflate.decompress(body, room + 1)
    except zlib.error as error:
        raise SerializationException(f"The request body is not gzip: {error}") from None
    if len(document) > room:
        raise RequestEntityTooLarge(
            f"The request body exceeds {room} bytes once it is uncompressed."
        )
    if not inflate.eof:
        raise SerializationException("The request body is gzip that is cut short.")
    if inflate.unused_data:
        raise SerializationException("The request body is more than one gzip member.")
    return document
