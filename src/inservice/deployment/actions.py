"""What a decision asks to be done: three commands, each safe to run twice and safe to lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """Start these instances of a fleet, unless they run. One that is gone is started anew."""

    fleet: str
    ordinals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What the routing table must say about the endpoint.

    A fleet in `shares` is listed with its ready instances whose ordinal is below `sizes[fleet]`;
    others are not listed. Empty shares: the endpoint is not in the table at all. Publishing what
    is published already makes no new version.
    """

    shares: Mapping[str, int]  # basis points by fleet id; they sum to 10,000 or there are none
    sizes: Mapping[str, int]  # by fleet id: only ordinals below this take traffic
    step: str  # "<deployment id>/<row>", for EndpointRoute.step


@dataclass(frozen=True, slots=True)
class Retire:
    """Let these instances finish what they have, stop them, forget them."""

    fleet: str
    ordinals: tuple[int, ...]


Action = Launch | Route | Retire
