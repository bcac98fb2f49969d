"""Where a request came from, told over one hop of our own.

The gateway has the client's connection, and control only the gateway's. So the gateway says the
address in a header, on which policies may rest (`aws:SourceIp`): what a client sends under that
name is taken off first. Nobody else reaches control's socket but who runs the server.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, Final

from inservice.transport.messages import Request

SOURCE: Final = b"x-inservice-source"
"""The header, in lower case. It belongs to its hop."""


def source_line(peer: Any) -> bytes:
    """The header line for the address of a connection, as a socket tells it; nothing for one that
    has none, such as a Unix socket's."""
    address = address_of(peer)
    return b"" if address is None else b"%b: %b\r\n" % (SOURCE, address.encode())


def source_of(request: Request) -> str | None:
    """The address that the gateway said, IPv4 as such also where it came to an IPv6 socket; None if
    it said none."""
    said = request.header(SOURCE)
    return None if said is None else _plain(said.decode("ascii", "replace"))


def address_of(peer: Any) -> str | None:
    """The address of a connection, in the same form; None for one that has none."""
    return _plain(peer[0].partition("%")[0]) if isinstance(peer, tuple) else None


@lru_cache(maxsize=1024)
def _plain(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
