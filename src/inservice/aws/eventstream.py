"""AWS's event stream: how an answer is sent in parts, with errors among them.

    total length · length of headers · CRC-32 of these two · headers · payload · CRC-32 of it all

Lengths and checksums are four bytes, big-endian. A header is its name and its value, each after
its length (one byte, two bytes), with a type between them; only strings (7) are sent here. Errors
that happen before the first part are ordinary HTTP errors, not events.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import Any, Final
from zlib import crc32

import msgspec

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
"""Content-Type of a reply that is an event stream."""

_STRING = 7
_AROUND_BYTES = 16  # prelude, its checksum, and the checksum of the message


def encode(headers: bytes, payload: bytes) -> bytes:
    """One message, of headers made by `encode_headers`."""
    prelude = pack(">II", _AROUND_BYTES + len(headers) + len(payload), len(headers))
    before = b"".join((prelude, pack(">I", crc32(prelude)), headers, payload))
    return before + pack(">I", crc32(before))


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The header block of a message: make it once, use it for every message of its kind."""
    parts = []
    for name, value in headers.items():
        key, text = name.encode(), value.encode()
        parts.append(pack(">B", len(key)) + key + pack(">BH", _STRING, len(text)) + text)
    return b"".join(parts)


_PAYLOAD_PART = encode_headers(
    {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
)


def payload_part(part: bytes) -> bytes:
    """What a model sent, as the PayloadPart event of InvokeEndpointWithResponseStream."""
    return encode(_PAYLOAD_PART, part)


def exception(name: str, members: Mapping[str, Any]) -> bytes:
    """A modelled error after the stream has begun; it is the last message."""
    headers = encode_headers(
        {
            ":message-type": "exception",
            ":exception-type": name,
            ":content-type": "application/json",
        }
    )
    return encode(headers, msgspec.json.encode(members))
