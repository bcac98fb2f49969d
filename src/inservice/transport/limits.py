"""What a connection may ask of us before it is cut off.

Each number argues for itself. Two laws stand behind all of them: the head of a request, which comes
from anybody, holds at most about 128 KiB of our memory (who may send a large body is for the user
of the server to say, in `body_begins`), and every wait has an end that the peer cannot push away by
sending one more byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one listening server. All are enforced before the request is answered."""

    request_line_bytes: int = 8 * 1024
    """Method, target and version. nginx and Apache stop at 8 KiB; RFC 9112 asks for 8,000 octets.
    A presigned URL is about 700 bytes. Beyond: 414."""

    headers_max: int = 100
    """Header lines. botocore sends 10, a browser 20; Apache's limit is 100. Beyond: 431."""

    header_line_bytes: int = 16 * 1024
    """One header line. A session token is the longest honest header, about 2 KiB. Beyond: 431."""

    header_bytes: int = 64 * 1024
    """All header lines together: what one unauthenticated peer may make us keep. Beyond: 431."""

    body_bytes: int = 25 * MIB
    """A body that is kept until it is whole. SageMaker's guide names 25 MB for real-time payloads.
    Beyond: 413, by Content-Length before the first byte is read, by chunks as soon as they add up.
    Who passes a body on as it comes says itself how long it may be."""

    leading_crlfs_max: int = 2
    """Blank lines before a request line. RFC 9112 2.2 asks to forgive at least one; old clients
    send one after a body. An endless stream of them must not look like patience. Beyond: 400."""

    chunk_extension_bytes: int = 256
    """Of one chunk. Nobody uses them; unbounded, they moved gigabytes past a body limit in other
    servers (CVE-2024-22019). Beyond: 400."""

    trailer_bytes: int = 8 * 1024
    """All trailers. They are read and dropped: merged, they could overwrite a signed header."""

    header_seconds: float = 10.0
    """From a request's first byte to the end of its headers, however steadily they drip. Beyond:
    408."""

    body_seconds: float = 60.0
    """From the end of the headers, for a body that keeps no pace. Beyond: 408."""

    body_bytes_per_second_min: int = 64 * 1024
    """The pace: each 64 KiB received earns one more second, so that 25 MB over a 1 Mbit/s uplink
    arrives, and one byte a second does not."""

    idle_seconds: float = 75.0
    """A kept-alive connection without a request. nginx's 75 s: longer than the 60 s after which
    common load balancers give up, so that they and not we close first."""

    write_stall_seconds: float = 60.0
    """A client that reads nothing while we have something to write."""

    linger_seconds: float = 2.0
    """After a refusal we close our half and discard what still comes, or the peer's own unread
    bytes would reset the connection before it has read why."""

    write_high_bytes: int = 64 * 1024
    """Unsent bytes of one connection at which producing more for it stops."""

    connections_max: int = 100_000
    """Connections at once in this process; more are closed at once. 10,000 idle ones cost 13 MB."""


BEHIND_GATEWAY: Final = Limits(headers_max=104, header_bytes=65 * 1024)
"""For a server that the gateway speaks to: what the gateway lets through must not be refused for
the header or two that the gateway adds."""
