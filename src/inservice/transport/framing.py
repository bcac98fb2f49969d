"""Where a message begins and ends, decided here and nowhere else.

The head of a message is cut out by its blank line and only then given to httptools, one message at
a time; its body is counted off by us. A parser that is fed a raw stream decides itself where the
next message begins, and that is where its lenience hurts. Left alone, httptools 0.9 merges trailers
into the headers, leaves the body of an Upgrade request to be read as the next request, and accepts
two Hosts, absolute targets, `Transfer-Encoding: gzip, chunked` and lines of any length. None of
these can happen to a parser that never sees more than one head that has been looked at before.

The first look costs 1 µs of 3 (head of 670 bytes): one search for the blank line, one regular
expression for the request line, one `isascii`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import httptools

from inservice.transport.limits import Limits
from inservice.transport.messages import LENGTHLESS, Refusal, Request, malformed

BLANK_LINE: Final = b"\r\n\r\n"

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{3,7}) (/[!\"$-~]*) HTTP/1\.([01])\r\n")
"""One space between, an absolute path without `#`, 1.0 or 1.1. httptools alone would take two
spaces, HTTP/2.0, `http://elsewhere/` and `#`."""

_METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
}

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\r\n")

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""A name or an address and perhaps a port: `Host: a@b` names two hosts to two readers."""

_ONCE: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"content-type",
        b"content-encoding",
        b"expect",
        b"accept",
        b"cookie",
    )
)
"""Headers that two readers could take differently if they came twice. So are all `x-amz…`."""

_CONNECTION_OPTIONS: Final = frozenset(
    (b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings")
)
"""`Connection: authorization` would ask a proxy to take the signature away. The last two are the
offer of another protocol, which is ignored."""

_DIGITS_MAX: Final = 15
"""Of a Content-Length: a petabyte, and far below what a 64-bit reader would wrap around at."""

LENGTH_MAX: Final = 10**_DIGITS_MAX - 1
"""The longest body that can be announced: the limit of who has none."""


_LOWER: Final = {
    written: name
    for name in (
        *(b"host", b"content-length", b"content-type", b"authorization", b"user-agent", b"accept"),
        *(b"accept-encoding", b"connection", b"x-amz-date", b"x-amz-security-token"),
        *(b"x-amz-content-sha256", b"amz-sdk-invocation-id", b"amz-sdk-request"),
    )
    for written in (name, b"-".join(word.capitalize() for word in name.split(b"-")))
}
"""Usual names as they are usually written. One object for each name, which knows its own hash:
finding them again is 0.2 µs a request quicker."""


class _Parser(Protocol):
    def feed_data(self, data: bytes | memoryview) -> None: ...


class RequestHeads:
    """Reads request heads for one connection. One httptools parser serves them all.

    It is kept in step by being shown the counted body as well, which costs 0.25 µs where a new
    parser for each request costs 1.2.

    A client may offer to go on in another protocol (`Upgrade`: Java's offers HTTP/2 with each first
    request). The offer is ignored, as RFC 9110 7.8 allows, and the request is one like any other,
    its body included. To the parser it is the last one: what follows is not shown to it, and the
    next head gets a new one.
    """

    __slots__ = ("_headers", "_in_step", "_limits", "_parser")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser: _Parser = httptools.HttpRequestParser(self)
        self._in_step = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools' callback."""
        self._headers.append((_LOWER.get(name) or name.lower(), value))

    def read(self, head: bytes) -> Request:
        """The request that `head` (blank line included) announces. Raises Refusal."""
        limits = self._limits
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise _bad_request_line(head, limits)
        if not head.isascii():
            raise malformed("The request's headers hold bytes that are not ASCII.")
        if len(head) > limits.request_line_bytes:
            if line.end() > limits.request_line_bytes:
                raise too_long(limits)
            refuse_long_lines(head, limits)
        if not self._in_step:
            self.start_over()
        headers = self._headers = []
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:  # all its headers have been told
            if line[1] == b"CONNECT":
                raise malformed("This server is no proxy.") from None
            self._in_step = False
        except httptools.HttpParserError as error:
            raise malformed(f"The request is not well-formed: {error}.") from None
        method, target, version = line.groups()
        name = _METHODS.get(method)
        if name is None:
            raise Refusal(405, "MethodNotAllowed", "This server has no such method.")
        request = Request(name, target, int(version), headers)
        self._judge(request)
        return request

    def skip_body(self, part: bytes | memoryview) -> None:
        """Show the parser bytes of a counted body, so that it expects the next head after it."""
        if self._in_step:
            self._parser.feed_data(part)

    def start_over(self) -> None:
        """Forget the message in hand; after a chunked body, whose end only we have seen."""
        self._parser = httptools.HttpRequestParser(self)
        self._in_step = True

    def _judge(self, request: Request) -> None:
        """Everything that must be refused about headers, and how the body will be framed."""
        headers, fields = request.headers, request.fields
        if len(headers) > self._limits.headers_max:
            raise Refusal(431, "RequestHeaderFieldsTooLarge", "Too many headers.")
        if len(fields) != len(headers):
            _refuse_repeats(headers)
        host = fields.get(b"host")
        if host is None or not _is_host(host):
            raise malformed("The request needs one valid Host header.")
        if b"expect" in fields and fields[b"expect"].lower() != b"100-continue":
            raise Refusal(417, "ExpectationFailed", "The only expectation is 100-continue.")
        connection = fields.get(b"connection")
        if connection is not None or not request.version:
            request.keep_alive = _keeps_alive(connection, request.version)
        length = fields.get(b"content-length")
        if b"transfer-encoding" in fields:
            if length is not None:
                raise malformed("Content-Length and Transfer-Encoding exclude each other.")
            if fields[b"transfer-encoding"].lower() != b"chunked" or not request.version:
                raise malformed("The only transfer coding is chunked, in HTTP/1.1.")
            request.chunked = True
        elif length is not None:
            if not length.isdigit() or len(length) > _DIGITS_MAX:
                raise malformed("Content-Length is not a number.")
            request.length = int(length)


def too_large(bytes_max: int) -> Refusal:
    """The body is over its limit; the words are those that SageMaker's front answers with."""
    words = f"HTTP content length exceeded {bytes_max} bytes."
    return Refusal(413, "RequestEntityTooLargeException", words)


def too_long(limits: Limits) -> Refusal:
    """The request line has no end within its limit."""
    words = f"The request line is over {limits.request_line_bytes} bytes."
    return Refusal(414, "RequestUriTooLong", words)


def refuse_unfinished_head(data: bytes, start: int, limits: Limits) -> None:
    """Judge a head whose blank line has not come yet, so that it need not be waited for."""
    size = len(data) - start
    if size > limits.request_line_bytes and data.find(b"\r\n", start) < 0:
        raise too_long(limits)
    if size > limits.request_line_bytes + limits.header_bytes:
        raise Refusal(431, "RequestHeaderFieldsTooLarge", "The headers are too large.")
    tail = data[max(start, len(data) - limits.header_line_bytes) :]
    if tail.count(b"\n") != tail.count(b"\r\n") + tail.startswith(b"\n"):
        raise malformed("A line ends without a carriage return.")


def refuse_long_lines(head: bytes, limits: Limits) -> None:
    """The slow look, for heads that are larger than one line may be. Raises Refusal."""
    if len(head) > limits.request_line_bytes + limits.header_bytes:
        raise Refusal(431, "RequestHeaderFieldsTooLarge", "The headers are too large.")
    for line in head.split(b"\r\n"):
        if len(line) > limits.header_line_bytes:
            raise Refusal(431, "RequestHeaderFieldsTooLarge", "A header is too large.")


def _bad_request_line(head: bytes, limits: Limits) -> Refusal:
    if head.find(b"\r\n") > limits.request_line_bytes:
        return too_long(limits)
    return malformed("The request line is not `METHOD /path HTTP/1.1`.")


def _refuse_repeats(headers: list[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and (name in _ONCE or name.startswith(b"x-amz")):
            raise malformed(f"The header {name.decode()} came twice.")
        seen.add(name)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    """Clients repeat theirs: the expression would cost 0.2 µs a request."""
    return _HOST.fullmatch(value) is not None


def _keeps_alive(value: bytes | None, version: int) -> bool:
    options = set() if value is None else {one.strip() for one in value.lower().split(b",")}
    if not options <= _CONNECTION_OPTIONS:
        raise malformed("The Connection header names a header that is not this hop's.")
    if version == 0:
        return b"keep-alive" in options
    return b"close" not in options


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of an answer, and where its body ends. Shared: never changed."""

    status: int
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]
    length: int | None
    """Bytes of body, None if only its end tells: chunked, or up to the connection's end."""
    chunked: bool
    keep_alive: bool


class _ResponseParser:
    """httptools' parser for the one head that it is made for."""

    __slots__ = ("headers",)

    def __init__(self, head: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        try:
            httptools.HttpResponseParser(self).feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise malformed(f"no well-formed HTTP: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools' callback."""
        self.headers.append((name.lower(), value))


def read_response_head(head: bytes) -> ResponseHead:
    """The answer that `head` (blank line included) announces, from a server that is not trusted.

    Raises Refusal if it can be read in two ways. A model repeats its heads, but for the date once a
    second: finding one again costs 0.2 µs, reading it 4.
    """
    return _known_response_head(head) if len(head) <= 512 else _read_response_head(head)


def _read_response_head(head: bytes) -> ResponseHead:
    line = _STATUS_LINE.match(head)
    if line is None:
        raise malformed("no HTTP/1.1 status line")
    headers = _ResponseParser(head).headers
    fields = dict(headers)
    if len(fields) != len(headers):
        _refuse_repeats(headers)
    status = int(line[2])
    connection = fields.get(b"connection", b"").lower()
    keep_alive = connection == b"keep-alive" if line[1] == b"0" else b"close" not in connection
    length = fields.get(b"content-length")
    size: int | None = None
    chunked = b"transfer-encoding" in fields
    if chunked and (length is not None or fields[b"transfer-encoding"].lower() != b"chunked"):
        raise malformed("a Transfer-Encoding other than chunked alone")
    if length is not None:
        if not length.isdigit() or len(length) > _DIGITS_MAX:
            raise malformed("a Content-Length that is not a number")
        size = int(length)
    if status < 200 or status in LENGTHLESS:
        size, chunked = 0, False
    return ResponseHead(status, headers, fields, size, chunked, keep_alive)


_known_response_head = lru_cache(maxsize=1024)(_read_response_head)


class Chunks:
    """Decodes a chunked body. Strict: hexadecimal sizes, CRLF everywhere, trailers dropped.

    The same decoder reads clients and models. It raises Refusal for the first byte that is wrong.
    """

    __slots__ = ("_extensions", "_left", "_limits", "_pending", "_trailing", "done")

    _SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:[ \t]*;[\t -~]*)?")
    _LINE_MAX = 12 + 2

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pending = b""
        self._left = 0  # bytes of the current chunk still to come, its CRLF included
        self._trailing = -1  # bytes of trailers seen, -1 before the last chunk
        self.done = False

    def feed(self, data: bytes, start: int = 0) -> tuple[list[bytes], int]:
        """The parts of body in data[start:], and the offset behind what was used."""
        ahead = 0  # how far offsets in `data` run ahead of the caller's
        if self._pending:
            ahead = len(self._pending) - start
            data, start = self._pending + data[start:], 0
            self._pending = b""
        parts: list[bytes] = []
        size = len(data)
        while start < size and not self.done:
            if self._left > 2:
                part = data[start : start + self._left - 2]
                parts.append(part)
                start += len(part)
                self._left -= len(part)
            elif self._left:
                start = self._end_chunk(data, start)
            else:
                end = data.find(b"\r\n", start)
                if end < 0:
                    self._wait(data[start:])
                    return parts, size - ahead
                self._line(data[start:end])
                start = end + 2
        return parts, start - ahead

    def _end_chunk(self, data: bytes, start: int) -> int:
        expected = b"\r\n"[2 - self._left :]
        got = data[start : start + self._left]
        if not expected.startswith(got):
            raise malformed("A chunk is longer than it said.")
        self._left -= len(got)
        return start + len(got)

    def _wait(self, rest: bytes) -> None:
        self._refuse_long(len(rest))
        if b"\n" in rest:
            raise malformed("A chunk's line ends without a carriage return.")
        self._pending = rest

    def _refuse_long(self, size: int) -> None:
        limits = self._limits
        if self._trailing >= 0:
            if self._trailing + size > limits.trailer_bytes:
                raise Refusal(431, "RequestHeaderFieldsTooLarge", "The trailers are too large.")
        elif size > limits.chunk_extension_bytes + self._LINE_MAX:
            raise malformed("A chunk's extension is too long.")

    def _line(self, line: bytes) -> None:
        self._refuse_long(len(line))
        if self._trailing >= 0:
            if not line:
                self.done = True
            elif b":" not in line or b"\r" in line or b"\n" in line or line[:1] in b" \t":
                raise malformed("A trailer is not well-formed.")
            self._trailing += len(line) + 2
            return
        match = self._SIZE.fullmatch(line)
        if match is None:
            raise malformed("A chunk's size is not a hexadecimal number.")
        length = int(match[1], 16)
        if length == 0:
            self._trailing = 0
        else:
            self._left = length + 2
