"""Which hosts are AWS's, by name."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

SUFFIXES: Final = (
    *("amazonaws.com", "api.aws", "on.aws"),
    *("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    *("amazonaws.eu", "api.amazonwebservices.eu"),
    *("c2s.ic.gov", "api.aws.ic.gov", "sc2s.sgov.gov", "api.aws.scloud"),
    *("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
)
"""What their names end with: those of botocore's partitions.json, which a test compares, and of
functions and dual stacks that have a name of their own."""

_NAME: Final = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9-]{1,63}")


def named(host: str) -> str:
    """A host's name as it is compared: in small letters, without a dot at its end; "" for what can
    be no name or address."""
    name = host.strip().lower().removesuffix(".")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return name if _NAME.fullmatch(name) or _address(name) is not None else ""


def is_aws(name: str) -> bool:
    """Whether a name, as `named` gives it, is one of AWS's hosts."""
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in SUFFIXES)


def is_loopback(name: str) -> bool:
    """Whether it is this host by a loopback address, or by the name of one."""
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
