"""What the texts of conditions stand for: numbers, instants, addresses, ARNs.

A condition compares texts, of the policy and of the request. Each function here reads one kind and
answers None for a text that is not of it: what that means is for the operator to say.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_EPOCH: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")
_DATE: Final = re.compile(
    r"(?P<year>-?[0-9]{1,9})(-(?P<month>[0-9]{1,2})(-(?P<day>[0-9]{1,2}))?)?"
    r"([tT]((?P<hour>[0-9]{1,2})(:(?P<minute>[0-9]{1,2})(:(?P<second>[0-9]{1,2})"
    r"(\.(?P<fraction>[0-9]{1,9}))?)?)?(?P<zone>[zZ]|[+-][0-9]{2}(:?[0-9]{2})?)?)?)?"
)
_EPOCH_MAX: Final = 2**63 - 1
_YEARS: Final = range(-292275054, 292278993 + 1)
"""Those that a 64-bit number of milliseconds reaches: AWS's own bounds."""
_CIDR: Final = re.compile(r"([0-9a-fA-F:.]{2,45})(/([0-9]{1,3}))?")


def number_of(text: str) -> Decimal | None:
    """A decimal number. Signs and leading zeros are allowed; nothing that is not finite."""
    return Decimal(text) if len(text) <= 256 and _NUMBER.fullmatch(text) else None


def is_true(text: str) -> bool:
    """`true`, in any case; whatever else it says is false."""
    return text.lower() == "true"


def bytes_of(text: str) -> bytes | None:
    """Base 64, as it is written."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


# ── instants ─────────────────────────────────────────────────────────────────────────────────────


def is_date(text: str) -> bool:
    """Whether IAM keeps a policy with this date, which it is less strict about than about those
    that it compares: `01T` is one, in the year 1."""
    if "-" not in text and "t" not in text.lower():
        return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _EPOCH_MAX
    match = _DATE.fullmatch(text)
    if match is None or int(match["year"]) not in _YEARS:
        return False
    bounds = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59)}
    bounds["second"] = (0, 59)
    return all(
        match[part] is None or low <= int(match[part]) <= high
        for part, (low, high) in bounds.items()
    )


@lru_cache(maxsize=1024)
def milliseconds_of(text: str) -> int | None:
    """An instant in ISO 8601, or seconds since the epoch: milliseconds since the epoch.

    Without a zone it is in UTC. What is finer than a millisecond is cut off.
    """
    if _EPOCH.fullmatch(text):
        return int(Decimal(text) * 1000)
    match = _DATE.fullmatch(text) if is_date(text) else None
    if match is None:
        return None
    parts = {part: int(match[part] or 0) for part in ("hour", "minute", "second")}
    zone = match["zone"] or "Z"
    try:
        instant = datetime(
            int(match["year"]), int(match["month"] or 1), int(match["day"] or 1), tzinfo=UTC
        )
    except ValueError:  # the year 0, the 30th of February
        return None
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    offset = timedelta()
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
        offset = -offset if zone[0] == "-" else offset
    seconds = (since + timedelta(hours=parts["hour"]) - offset) // timedelta(seconds=1)
    seconds += parts["minute"] * 60 + parts["second"]
    return seconds * 1000 + int((match["fraction"] or "").ljust(3, "0")[:3])


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


def address_of(text: str) -> Address | None:
    """An address of a request. One of IPv4 in the clothes of IPv6 is the former."""
    try:
        address = ip_address(text) if _CIDR.fullmatch(text) else None
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def network_of(text: str) -> Network | None:
    """A network of a policy, or one address. IPv4 may have host bits set, which are ignored."""
    match = _CIDR.fullmatch(text)
    if match is None:
        return None
    try:
        return ip_network(text, strict=":" in match[1])
    except ValueError:
        return None


# ── ARNs ─────────────────────────────────────────────────────────────────────────────────────────


def arn_fields(text: str) -> list[str] | None:
    """The six fields of an ARN: the last is the rest, colons and all."""
    fields = text.split(":", 5)
    return fields if len(fields) == 6 and fields[0] == "arn" else None
