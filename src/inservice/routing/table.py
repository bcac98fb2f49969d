"""What a gateway chooses from.

A RoutingTable is an immutable snapshot with a version. Control writes it, every gateway worker
serves from its own copy, and no worker ever goes back to an older version. Shares are integer basis
points: over the fleets of one endpoint they sum to exactly 10,000, or the endpoint is not in the
table at all (while it is Creating without a fleet, Deleting or Failed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from inservice.ids import EndpointKey

WHOLE: Final = 10_000
"""All of an endpoint's traffic, in basis points."""


@dataclass(frozen=True, slots=True)
class InstanceRoute:
    """One running copy of a model that takes traffic now."""

    id: str
    address: str  # "unix:/path/to/socket" or "tcp:host:port"


@dataclass(frozen=True, slots=True)
class FleetRoute:
    """One fleet of an endpoint and its share. Only ready instances are listed."""

    fleet: str
    variant: str
    config_name: str
    share: int  # basis points
    strategy: str  # AWS's RoutingStrategy: RANDOM | LEAST_OUTSTANDING_REQUESTS
    instances: tuple[InstanceRoute, ...]


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """All that an invocation of one endpoint needs to know."""

    account: str
    region: str
    name: str
    fleets: tuple[FleetRoute, ...]
    step: str = ""  # what its requests are counted under: Deployment.step_id


@dataclass(frozen=True, slots=True)
class KeyRoute:
    """An access key as the gateway needs it to verify a signature. Never logged."""

    id: str
    secret: str = field(repr=False)
    account: str
    principal: str  # ARN
    session_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None  # epoch seconds, of temporary keys; None: until it is deleted


@dataclass(frozen=True, slots=True)
class SessionRoute(KeyRoute):
    """A temporary key, with the terms on which it was given."""

    session: str = ""  # `identity.principal.Session`, as JSON


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """One version of everything a gateway worker knows."""

    version: int
    endpoints: Mapping[EndpointKey, EndpointRoute]
    keys: Mapping[str, KeyRoute]
    authorities: Mapping[str, str] = field(default_factory=dict)
    """What each user and role holds, by its ARN: `identity.authority`, as JSON. Who is not in it
    holds nothing, and only root needs nothing. Managed policies that sessions were begun with are
    in it too, by theirs: they bound what a session holds of its role."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of the endpoints that have any, by their ARNs: policies may ask for them."""
    sessions: Mapping[str, SessionRoute] = field(default_factory=dict)
    """The temporary keys, by id: told one by one, since they come and go all the time."""

    def key(self, key_id: str) -> KeyRoute | None:
        """An access key by its id, of whichever kind."""
        return self.keys.get(key_id) or self.sessions.get(key_id)
