"""Invocations that a gateway worker refused because whoever asked may not make them."""

from __future__ import annotations

import msgspec


class DenialRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of them, for the audit trail. A member keeps its name and its meaning, and a new one has
    a default."""

    at: float
    """Epoch seconds at which it was asked."""
    principal: str
    key: str
    """Id of the access key."""
    action: str
    resource: str
    """ARN of the endpoint."""
    region: str
    request_id: str
    source: str = ""
    """Address of the client."""
    agent: str = ""
    """Its user agent, cut."""
    unwritten: int = 0
    """So many before it were not told, because there were too many."""
