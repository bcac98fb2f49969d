"""What an OIDC provider may be: its URL, its audiences, its thumbprints.

A provider is named by its URL without the scheme, which is `https`: whoever answers for the name
says who everybody is. Only on this host itself may it be `http`, for an issuer that runs beside the
server. A URL has neither user, nor query, nor fragment; its host is written small.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from inservice.errors import ValidationError
from inservice.identity.iam.errors import InvalidInput, LimitExceeded
from inservice.identity.iam.limits import CLIENT_IDS_MAX, THUMBPRINTS_MAX

_THUMBPRINT = re.compile(r"[0-9a-fA-F]{40}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_PATH = re.compile(r"[A-Za-z0-9/._~%!$&'()*+,;=:@-]*")


def provider_name(url: str) -> str:
    """How ARNs and trust policies name the provider at a URL. Raises ValidationError."""
    refused = ValidationError("Invalid Open ID Connect Provider URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refused from None
    written = f"[{host}]" if ":" in host else host
    scheme, _, name = url.partition("://")
    plain = scheme == "http" and is_loopback(host)
    if not _HOST.fullmatch(written) or not (scheme == "https" or plain) or port == 0:
        raise refused
    place = written if port is None else f"{written}:{port}"
    if not _PATH.fullmatch(parts.path) or name != place + parts.path:
        raise refused
    return name


def is_loopback(host: str) -> bool:
    """Whether a host is this one, by an address or by the name that always means it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_client_ids(given: Sequence[str]) -> tuple[str, ...]:
    """Audiences, each once. Raises LimitExceeded."""
    each = tuple(dict.fromkeys(given))
    if len(each) > CLIENT_IDS_MAX:
        raise LimitExceeded.of("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_MAX)
    return each


def checked_thumbprints(given: Sequence[str]) -> tuple[str, ...]:
    """Thumbprints as they are told. Raises InvalidInput."""
    if len(given) > THUMBPRINTS_MAX:
        raise InvalidInput("Thumbprint list must contain fewer than 5 entries.")
    if not all(map(_THUMBPRINT.fullmatch, given)):
        raise InvalidInput("Thumbprint must be 40 hexadecimal characters.")
    return tuple(given)
