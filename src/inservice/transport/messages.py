"""Requests and answers as the three servers see them: names in lower case, everything in bytes.

Nothing is decoded on the way: a signature covers bytes, and the hot path compares bytes.
"""

from __future__ import annotations

import http
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

Headers = Sequence[tuple[bytes, bytes]]
"""(lower-case name, value) in the order they came; blanks before a value are gone, blanks after it
are as sent."""


class Request:
    """One request, whole. Not frozen: its body arrives after its head, part by part."""

    __slots__ = (
        "chunked",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "method",
        "parts",
        "target",
        "version",
    )

    def __init__(
        self, method: str, target: bytes, version: int, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.method = method
        """An upper-case ASCII token."""
        self.target = target
        """The raw request target: an absolute path, perhaps with a query, as it was sent."""
        self.version = version
        """The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0."""
        self.headers = headers
        self.fields: dict[bytes, bytes] = dict(headers)
        """The same, by name. Of a repeated header the last; those that must not repeat
        (Host, Content-Length, Authorization, X-Amz-…) have been refused."""
        self.length = 0
        """Bytes of body: announced by Content-Length, or received so far."""
        self.chunked = False
        self.keep_alive = True
        """Whether the client lets the connection live after the answer."""
        self.parts: list[bytes] = []
        """The body as it arrived. Joined only where somebody asks for `body`."""

    @property
    def path(self) -> bytes:
        """The target up to the query, not decoded."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the first `?`, not decoded; empty without one."""
        return self.target.partition(b"?")[2]

    @property
    def body(self) -> bytes:
        """The whole body in one piece."""
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0] if self.parts else b""

    def header(self, name: bytes) -> bytes | None:
        """The value of the header with this lower-case name."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. The server adds Content-Length or chunking, Date and Connection itself."""

    status: int
    headers: Headers = ()
    body: bytes | AsyncIterator[bytes] = b""
    """A stream is pulled only as fast as the client reads, and closed when the client leaves."""


class Later:
    """An answer that is worked out elsewhere. Who has it settles it, once, in the loop's thread.

    That is a call, where a future and a task that waits for it take two more turns of the loop.
    """

    __slots__ = ("_heard", "_outcome")

    def __init__(self) -> None:
        self._outcome: Response | Exception | None = None
        self._heard: Callable[[Response | Exception], None] | None = None

    def settle(self, outcome: Response | Exception) -> None:
        """Here it is, or why there will be none."""
        self._outcome = outcome
        if self._heard is not None:
            self._heard(outcome)

    def when_settled(self, hear: Callable[[Response | Exception], None]) -> None:
        """Call `hear` with it, at once if it is there already."""
        self._heard = hear
        if self._outcome is not None:
            hear(self._outcome)


class Refusal(Exception):
    """A request that is answered by the transport itself, with the connection closed after it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def message(self) -> str:
        """What is said to the client."""
        return str(self)


def malformed(message: str) -> Refusal:
    """The stream is not one that we are sure to read as everybody else would."""
    return Refusal(400, "MalformedHttpRequestException", message)


_PHRASES: Final = {status.value: status.phrase for status in http.HTTPStatus}
LENGTHLESS: Final = frozenset((204, 304))
"""Statuses whose answers end with their head, whatever length that says (RFC 9112, 6.3): a body
behind one would be read as the next answer."""

BODILESS: Final = LENGTHLESS | {205}
"""Statuses that have no content. Of 205 some clients read the length all the same: it is zero."""

STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
    for status in range(200, 600)
}
"""Ready to write; a code without a registered phrase (530) has an empty one, as RFC 9112 allows."""


def error_body(code: str, message: str) -> bytes:
    """An error in the form that both of AWS's JSON protocols read."""
    return json.dumps({"__type": code, "message": message}).encode()


def error_response(status: int, code: str, message: str) -> Response:
    """An error that botocore reads as `code` whichever JSON protocol it expects."""
    headers = (
        (b"content-type", b"application/json"),
        (b"x-amzn-errortype", code.encode()),
    )
    return Response(status, headers, error_body(code, message))


def encode_head(status: int, headers: Headers, ending: bytes, opening: bytes = b"") -> bytes:
    """A response head. `opening` and `ending` are further header lines, each with its CRLF.

    Raises ValueError for a value that would split the answer in two.
    """
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("a response header holds a line break")
    return STATUS_LINES[status] + opening + lines + ending + b"\r\n"
