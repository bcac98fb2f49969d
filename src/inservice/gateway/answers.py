"""What the answers of all planes have in common: request ids, and errors on the wire."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from inservice.errors import AwsError
from inservice.transport.messages import STATUS_LINES

_TAILS: Final = [b"%03x" % number for number in range(0x1000)]


class RequestIds:
    """Ids that look like UUIDs: random per worker, then counted. 0.1 µs where uuid4 is 3.8.

    Their last three digits are looked up; the rest is written anew for each 4,096 of them.
    """

    __slots__ = ("_count", "_head", "_prefix")

    def __init__(self) -> None:
        random = os.urandom(8).hex()
        self._prefix = (
            f"{random[:8]}-{random[8:12]}-4{random[12:15]}-8{os.urandom(2).hex()[:3]}".encode()
        )
        self._count = int.from_bytes(os.urandom(4), "big")
        self._head = b""

    def next(self) -> bytes:
        """An id that no other request of this worker has."""
        count = self._count = self._count + 1
        tail = count & 0xFFF
        if not tail or not self._head:
            self._head = b"%b-%09x" % (self._prefix, count >> 12)
        return self._head + _TAILS[tail]


def error_body(error: AwsError) -> bytes:
    """An error in the form of AWS's REST APIs: its message, and what more it has to tell."""
    return msgspec.json.encode({"Message": error.message, **error.members})


def error_answer(error: AwsError, body: bytes, request_id: bytes, ending: bytes) -> bytes:
    """An error on the runtime API's wire (rest-json), unless its body is XML. `ending` is further
    header lines."""
    media_type = b"text/xml" if body.startswith(b"<") else b"application/json"
    return b"".join(
        (
            STATUS_LINES[error.status],
            b"x-amzn-requestid: %b\r\nx-amzn-errortype: %b\r\n" % (request_id, error.code.encode()),
            b"content-type: %b\r\ncontent-length: %d\r\n" % (media_type, len(body)),
            ending,
            b"\r\n",
            body,
        )
    )
