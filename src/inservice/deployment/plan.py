"""A deployment is a table: rows of (instances wanted, shares of traffic, how long to hold)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Doing(StrEnum):
    """What a step is for. The value is the VariantStatus that DescribeEndpoint shows."""

    CREATING = "Creating"
    SHIFTING = "ActivatingTraffic"
    BAKING = "Baking"
    UPDATING = "Updating"
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True)
class Want:
    """What one step wants of one fleet."""

    fleet: str
    variant: str
    size: int  # the ordinals 0 … size-1 should run; whatever else of the fleet exists is retired
    share: int | None  # basis points; 0: only TargetVariant reaches it; None: not in the table
    ready: int  # the step is not real while fewer than this are ready


@dataclass(frozen=True, slots=True)
class Step:
    """One row: the instances and the traffic we want, and how long to stay once they are real."""

    doing: Doing
    wants: tuple[Want, ...]
    hold_seconds: int = 0
    hold_name: str = ""  # the member of DeploymentConfig that says how long

    @property
    def shares(self) -> Mapping[str, int]:
        """Basis points by fleet, of the fleets that are in the routing table."""
        return {w.fleet: w.share for w in self.wants if w.share is not None}

    @property
    def sizes(self) -> Mapping[str, int]:
        """Instances wanted by fleet."""
        return {w.fleet: w.size for w in self.wants}


Plan = tuple[Step, ...]
