"""What a gateway chooses from, and how it chooses.

A RoutingTable is an immutable snapshot with a version. Control writes it, every gateway worker
serves from its own copy, and no worker ever goes back to an older version. Shares are integer basis
points: over the fleets of one endpoint they sum to exactly 10,000, or the endpoint is not in the
table at all (while it is Creating without a fleet, Deleting or Failed).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
class RoutingTable:
    """One version of everything a gateway worker knows."""

    version: int
    endpoints: Mapping[EndpointKey, EndpointRoute]
    keys: Mapping[str, KeyRoute]


class NoSuchVariant(Exception):
    """TargetVariant names none of the endpoint's variants."""


Choice = tuple[FleetRoute, InstanceRoute]


def choose(
    route: EndpointRoute,
    draw: float,
    *,
    target_variant: str | None = None,
    outstanding: Mapping[str, int],
    avoid: Collection[str] = (),
) -> Choice | None:
    """The fleet by its share, then an instance by the fleet's strategy; None if none is ready.

    `draw` is uniform in [0, 1) and decides everything that is left to chance: the fleet takes its
    leading part, the instance what remains of it. `outstanding` counts invocations under way by
    instance id; instances in `avoid` are not taken. `target_variant` overrides the shares, so a
    variant of weight 0 is reached by its name.

    A fleet without an instance to take *spills* to any instance of the endpoint (of the variant, if
    one was named): weights follow health only as fast as control looks, and a request must not
    fail while somebody could answer it. Raises NoSuchVariant.
    """
    fleets = route.fleets
    if target_variant is not None:
        fleets = tuple(fleet for fleet in fleets if fleet.variant == target_variant)
        if not fleets:
            raise NoSuchVariant(target_variant)
    fleet, rest = _fleet(fleets, draw)
    instance = _instance(fleet, rest, outstanding, avoid)
    if instance is not None:
        return fleet, instance
    others = [
        (other, ready)
        for other in fleets
        for ready in other.instances
        if other is not fleet and ready.id not in avoid
    ]
    return others[int(rest * len(others))] if others else None


def _fleet(fleets: tuple[FleetRoute, ...], draw: float) -> tuple[FleetRoute, float]:
    """The fleet whose stretch of the line holds the draw, and where in its stretch, in [0, 1)."""
    if len(fleets) == 1:
        return fleets[0], draw
    whole = sum(fleet.share for fleet in fleets)
    if whole == 0:  # a named variant of weight 0: the first fleet that can answer
        ready = (fleet for fleet in fleets if fleet.instances)
        return next(ready, fleets[0]), draw
    point = draw * whole
    for fleet in fleets:
        if point < fleet.share:
            return fleet, point / fleet.share
        point -= fleet.share
    last = next(fleet for fleet in reversed(fleets) if fleet.share)  # rounding pushed us off
    return last, 0.0


def _instance(
    fleet: FleetRoute, draw: float, outstanding: Mapping[str, int], avoid: Collection[str]
) -> InstanceRoute | None:
    """One of the fleet's instances; of those with the fewest outstanding, if that is its way."""
    ready = fleet.instances
    if avoid:
        ready = tuple(instance for instance in ready if instance.id not in avoid)
    if len(ready) < 2:
        return ready[0] if ready else None
    if fleet.strategy == "LEAST_OUTSTANDING_REQUESTS":
        fewest = min(outstanding.get(instance.id, 0) for instance in ready)
        ready = tuple(one for one in ready if outstanding.get(one.id, 0) == fewest)
    return ready[int(draw * len(ready))]
