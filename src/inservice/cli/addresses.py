"""Where a server is reached that listens on every address of its host."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

_FAR_AWAY: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of documentation. Nothing is sent there: the route to them names our own address."""


def listens_everywhere(host: str) -> bool:
    """Whether a host to listen on stands for every address: 0.0.0.0, ::, or nothing."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def url_from_elsewhere(url: str, host: str, advertised: str | None = None) -> str:
    """The URL for other machines of a server that listens on `host` and is at `url` for this one.

    `advertised` is a name or address that its operator prefers. Without one it is the address of
    this host on its way out; a host without a way out keeps `url`.
    """
    port = urlsplit(url).port
    if advertised:
        return f"http://{bracketed(advertised)}:{port}"
    if not listens_everywhere(host):
        return url
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[family], 9))
            own = probe.getsockname()[0]
    except OSError:
        return url
    return f"http://{bracketed(own)}:{port}"


def bracketed(host: str) -> str:
    """A host as URLs have it: IPv6 addresses stand in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
