"""DeploymentConfig, validated into what a plan is made from.

AWS's limits, each refused with a message that names the member:

    CanarySize              up to 50 % of the variant's instances; for CANARY, and only then
    LinearStepSize          10 to 50 %; for LINEAR, and only then
    MaximumBatchSize        5 to 50 %
    RollbackMaximumBatchSize     up to 100 %, which is also what its absence means
    WaitIntervalInSeconds, TerminationWaitInSeconds     0 to 3,600
    MaximumExecutionTimeoutInSeconds     600 to 28,800, and more than all waits together
    AutoRollbackConfiguration.Alarms     1 to 10 names
    BlueGreenUpdatePolicy or RollingUpdatePolicy, not both

The window of a percentage holds for INSTANCE_COUNT too, against the size of the new fleet. That
part needs the fleets: `check_sizes`. So does the sum of the waits, which `begin` takes of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inservice.errors import ValidationException
from inservice.hosting.fleet import Fleet
from inservice.hosting.model import Document

TIMEOUT_SECONDS_DEFAULT = 28_800
"""AWS documents no default of MaximumExecutionTimeoutInSeconds; this is its maximum."""

TIMEOUT_SECONDS_MIN = 600
WAIT_SECONDS_MAX = 3_600
ALARMS_MAX = 10
ALARM_NAME_LENGTH_MAX = 255

CANARY_PERCENT_MAX = 50
LINEAR_PERCENT_MIN, LINEAR_PERCENT_MAX = 10, 50
ROLLING_PERCENT_MIN, ROLLING_PERCENT_MAX = 5, 50


class TrafficRoutingType(StrEnum):
    """How a blue/green deployment shifts its traffic."""

    ALL_AT_ONCE = "ALL_AT_ONCE"
    CANARY = "CANARY"
    LINEAR = "LINEAR"


class CapacitySizeType(StrEnum):
    """What the value of a CapacitySize counts."""

    INSTANCE_COUNT = "INSTANCE_COUNT"
    CAPACITY_PERCENT = "CAPACITY_PERCENT"


@dataclass(frozen=True, slots=True)
class CapacitySize:
    """A part of a fleet."""

    type: CapacitySizeType
    value: int

    def instances(self, total: int, percent_max: int = 100) -> int:
        """How many instances of a fleet of `total` this is: the one place where that is rounded.

        A percentage is rounded half up, is at least one instance, and by rounding never becomes
        more than `percent_max` of the fleet (unless that is less than one instance): 33 % of 3 is
        1, as AWS's own samples comment; 50 % of 3 is 1, since 2 would be 67 %. A count is itself,
        up to the whole fleet.
        """
        if self.type is CapacitySizeType.INSTANCE_COUNT:
            return min(self.value, total)
        rounded = (2 * total * self.value + 100) // 200
        return max(1, min(rounded, total * percent_max // 100))


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """BlueGreenUpdatePolicy; also what an update without a policy is, with every wait 0."""

    routing: TrafficRoutingType = TrafficRoutingType.ALL_AT_ONCE
    size: CapacitySize | None = None  # CanarySize or LinearStepSize; None for ALL_AT_ONCE
    bake_seconds: int = 0  # WaitIntervalInSeconds; required by AWS and without effect ALL_AT_ONCE
    wait_seconds: int = 0  # TerminationWaitInSeconds: the bake of the last shift
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT
    alarms: tuple[str, ...] = ()
    given: bool = True  # False: the document named no policy, so variants may come and go


@dataclass(frozen=True, slots=True)
class Rolling:
    """RollingUpdatePolicy."""

    batch: CapacitySize
    rollback_batch: CapacitySize | None  # None: all at once
    bake_seconds: int  # WaitIntervalInSeconds
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT
    alarms: tuple[str, ...] = ()


Policy = BlueGreen | Rolling


def policy_of(document: Document | None) -> Policy:
    """What a DeploymentConfig asks for; `None` and `{}` ask for all at once with no bake.

    Raises ValidationException naming the member for everything that can be said without knowing
    the fleets.
    """
    raise ValidationException("pending")


def alarm_names(document: Document | None) -> tuple[str, ...]:
    """The alarms that a DeploymentConfig lists, to be looked up before `begin_*` is called."""
    raise ValidationException("pending")


def check_sizes(policy: Policy, new: Sequence[Fleet]) -> None:
    """Refuse sizes whose window the new fleets do not fit. Raises ValidationException."""
    raise ValidationException("pending")


_ = Mapping, Any
