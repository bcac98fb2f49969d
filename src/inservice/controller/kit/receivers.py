"""Who may be posted to: the URL of a receiver, read once, and the networks it may be in.

A URL is somebody's word: whoever may put an alarm chooses where this host connects to. What is
judged is never the name but the address that is connected to, after the name was looked up: an
address has many spellings (`2852039166`, `0251.0376.0251.0376`, `::ffff:169.254.169.254`), and the
answer of a name server changes between two questions.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import quote, unquote, urlsplit

METADATA = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Google, OpenStack; ECS's credentials
        "fe80::/10",  # link-local
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure's wire server
    )
)
"""Where clouds answer a host's own questions, for its credentials among other things. Reached only
if a network *within* these is named: that everything is allowed does not say that these are."""

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?")

_PATH_SIGNS = "/%:=&?~+!$,;'@()*"
"""What stands in a path or a query as it is: the reserved characters, and `%` of what was quoted
already."""


class BadReceiver(Exception):
    """Nothing that can be posted to; the message says why."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a body is posted to."""

    tls: bool
    host: str  # ASCII: a name, or an address without brackets
    port: int
    path: str  # with the query, quoted
    authorization: str | None  # of the user and password that the URL has

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def is_url(action: str) -> bool:
    """Whether this is posted to at all: an http or https URL, in whatever case."""
    return action[:8].lower().startswith(("http://", "https://"))


def receiver_of(url: str) -> Receiver:
    """Read a URL. Raises BadReceiver."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError as error:
        raise BadReceiver(f"the URL cannot be read: {error}") from error
    tls = parts.scheme == "https"
    if not _is_host(host) or port == 0 or parts.scheme not in ("http", "https"):
        raise BadReceiver("the URL names no host to post to")
    path = quote(parts.path or "/", safe=_PATH_SIGNS)
    query = f"?{quote(parts.query, safe=_PATH_SIGNS)}" if parts.query else ""
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(user.encode()).decode()
    return Receiver(tls, host, port or (443 if tls else 80), path + query, authorization)


def _is_host(host: str) -> bool:
    if ":" not in host:
        return len(host) <= 253 and _NAME.fullmatch(host) is not None
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


class Networks:
    """The setting INSERVICE_WEBHOOK_ALLOW."""

    def __init__(self, text: str = "") -> None:
        """`text`: networks in CIDR notation, separated by commas; empty for everything but what is
        in METADATA. Raises ValueError for anything else."""
        parts = [part.strip() for part in text.split(",")]
        self._named = tuple(ip_network(part, strict=False) for part in parts if part)

    def allow(self, address: str) -> bool:
        """Whether this address, which a name was resolved to, may be connected to."""
        end = _end_of(ip_address(address))
        holding = [network for network in self._named if end in network]
        for hidden in _hidden_in(end):
            for secret in METADATA:
                if hidden in secret and not any(
                    network.version == secret.version
                    and network.prefixlen >= secret.prefixlen
                    and hidden in network
                    for network in self._named
                ):
                    return False
        return bool(holding) or not self._named


def _end_of(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Where a connection ends: to `::ffff:10.0.0.1` the kernel speaks IPv4."""
    return getattr(address, "ipv4_mapped", None) or address


def _hidden_in(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and the IPv4 address that a gateway on the way would make of it."""
    yield address
    if isinstance(address, IPv6Address):
        if address in _NAT64 or address in _COMPATIBLE:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield address.teredo[1]
