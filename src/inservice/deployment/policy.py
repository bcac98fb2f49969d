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

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from inservice.errors import ValidationException
from inservice.hosting.fleet import Fleet
from inservice.values import Document

_E = TypeVar("_E", bound=StrEnum)

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

    @property
    def size_name(self) -> str:
        """The member that `size` came from."""
        return f"{_TRAFFIC}.{_SIZE_MEMBERS[self.routing]}"


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
    document = document or {}
    alarms = alarm_names(document)
    blue_green, rolling = (
        document.get("BlueGreenUpdatePolicy"),
        document.get("RollingUpdatePolicy"),
    )
    if blue_green is not None and rolling is not None:
        raise ValidationException(
            "DeploymentConfig: only one of BlueGreenUpdatePolicy and RollingUpdatePolicy "
            "can be specified."
        )
    if blue_green is not None:
        return _blue_green(blue_green, alarms)
    if rolling is not None:
        return _rolling(rolling, alarms)
    return BlueGreen(alarms=alarms, given=False)


def alarm_names(document: Document | None) -> tuple[str, ...]:
    """The alarms that a DeploymentConfig lists, to be looked up before `begin_*` is called.

    Raises ValidationException for a list that AWS refuses.
    """
    rollback = (document or {}).get("AutoRollbackConfiguration") or {}
    if "Alarms" not in rollback:
        return ()
    path = "AutoRollbackConfiguration.Alarms"
    names = tuple(str(alarm.get("AlarmName", "")) for alarm in rollback["Alarms"])
    if not 1 <= len(names) <= ALARMS_MAX:
        raise ValidationException(f"{path}: must list 1 to {ALARMS_MAX} alarms, not {len(names)}.")
    for name in names:
        if not name.strip() or len(name) > ALARM_NAME_LENGTH_MAX:
            raise ValidationException(
                f"{path}: AlarmName must have 1 to {ALARM_NAME_LENGTH_MAX} characters "
                f"that are not all blank."
            )
    return tuple(dict.fromkeys(names))


def check_sizes(policy: Policy, new: Sequence[Fleet]) -> None:
    """Refuse sizes whose window the new fleets do not fit. Raises ValidationException.

    Only counts depend on the fleets: a percentage was checked as it was written, and is at least
    one instance by the rule of rounding, also of a fleet of one.
    """
    if isinstance(policy, Rolling):
        if len(new) > 1:
            raise ValidationException(
                "RollingUpdatePolicy cannot be used with an endpoint of more than one "
                "production variant."
            )
        sized = [(_BATCH, policy.batch, ROLLING_PERCENT_MIN, ROLLING_PERCENT_MAX)]
        if policy.rollback_batch is not None:
            sized += [(_ROLLBACK_BATCH, policy.rollback_batch, 0, 100)]
    elif policy.size is not None:
        sized = [(policy.size_name, policy.size, *_WINDOWS[policy.routing])]
    else:
        sized = []
    for name, size, percent_min, percent_max in sized:
        if size.type is CapacitySizeType.INSTANCE_COUNT:
            for fleet in new:
                _check_count(name, size.value, fleet, percent_min, percent_max)


_TRAFFIC = "BlueGreenUpdatePolicy.TrafficRoutingConfiguration"
_BATCH = "RollingUpdatePolicy.MaximumBatchSize"
_ROLLBACK_BATCH = "RollingUpdatePolicy.RollbackMaximumBatchSize"

_SIZE_MEMBERS = {
    TrafficRoutingType.CANARY: "CanarySize",
    TrafficRoutingType.LINEAR: "LinearStepSize",
}
_WINDOWS = {
    TrafficRoutingType.CANARY: (0, CANARY_PERCENT_MAX),
    TrafficRoutingType.LINEAR: (LINEAR_PERCENT_MIN, LINEAR_PERCENT_MAX),
}


def _blue_green(policy: Document, alarms: tuple[str, ...]) -> BlueGreen:
    traffic = _required(policy, "BlueGreenUpdatePolicy", "TrafficRoutingConfiguration")
    routing = _one_of(TrafficRoutingType, f"{_TRAFFIC}.Type", _required(traffic, _TRAFFIC, "Type"))
    _required(traffic, _TRAFFIC, "WaitIntervalInSeconds")
    for kind, member in _SIZE_MEMBERS.items():
        if (member in traffic) != (kind is routing):
            rule = "is required" if kind is routing else "cannot be specified"
            raise ValidationException(f"{_TRAFFIC}.{member} {rule} when Type is {routing}.")
    size = None
    if routing in _WINDOWS:
        member = f"{_TRAFFIC}.{_SIZE_MEMBERS[routing]}"
        size = _size(traffic[_SIZE_MEMBERS[routing]], member, *_WINDOWS[routing])
    return BlueGreen(
        routing=routing,
        size=size,
        bake_seconds=_wait(traffic, _TRAFFIC, "WaitIntervalInSeconds"),
        wait_seconds=_wait(policy, "BlueGreenUpdatePolicy", "TerminationWaitInSeconds"),
        timeout_seconds=_timeout(policy, "BlueGreenUpdatePolicy"),
        alarms=alarms,
    )


def _rolling(policy: Document, alarms: tuple[str, ...]) -> Rolling:
    path = "RollingUpdatePolicy"
    _required(policy, path, "WaitIntervalInSeconds")
    batch = _required(policy, path, "MaximumBatchSize")
    back = policy.get("RollbackMaximumBatchSize")
    return Rolling(
        batch=_size(batch, _BATCH, ROLLING_PERCENT_MIN, ROLLING_PERCENT_MAX),
        rollback_batch=None if back is None else _size(back, _ROLLBACK_BATCH, 0, 100),
        bake_seconds=_wait(policy, path, "WaitIntervalInSeconds"),
        timeout_seconds=_timeout(policy, path),
        alarms=alarms,
    )


def _size(document: Document, path: str, percent_min: int, percent_max: int) -> CapacitySize:
    """A CapacitySize; the window of a percentage is checked here, that of a count with fleets."""
    kind = _one_of(CapacitySizeType, f"{path}.Type", _required(document, path, "Type"))
    value = int(_required(document, path, "Value"))
    if value < 1:
        raise ValidationException(f"{path}.Value must be 1 or more, not {value}.")
    percent = kind is CapacitySizeType.CAPACITY_PERCENT
    if percent and not percent_min <= value <= percent_max:
        raise ValidationException(
            f"{path} must be {_window(percent_min, percent_max)} "
            f"of the variant's total instance count, not {value} %."
        )
    return CapacitySize(kind, value)


def _check_count(path: str, value: int, fleet: Fleet, percent_min: int, percent_max: int) -> None:
    if not percent_min * fleet.size <= 100 * value <= percent_max * fleet.size:
        raise ValidationException(
            f"{path} must be {_window(percent_min, percent_max)} "
            f"of the variant's total instance count: {value} of the {fleet.size} instance(s) of "
            f"variant {fleet.variant.name} is not."
        )


def _window(percent_min: int, percent_max: int) -> str:
    return f"{percent_min} % to {percent_max} %" if percent_min else f"at most {percent_max} %"


def _wait(document: Document, path: str, member: str) -> int:
    seconds = int(document.get(member, 0))
    if not 0 <= seconds <= WAIT_SECONDS_MAX:
        raise ValidationException(
            f"{path}.{member} must be 0 to {WAIT_SECONDS_MAX} seconds, not {seconds}."
        )
    return seconds


def _timeout(document: Document, path: str) -> int:
    seconds = int(document.get("MaximumExecutionTimeoutInSeconds", TIMEOUT_SECONDS_DEFAULT))
    if not TIMEOUT_SECONDS_MIN <= seconds <= TIMEOUT_SECONDS_DEFAULT:
        raise ValidationException(
            f"{path}.MaximumExecutionTimeoutInSeconds must be {TIMEOUT_SECONDS_MIN} to "
            f"{TIMEOUT_SECONDS_DEFAULT} seconds, not {seconds}."
        )
    return seconds


def _required(document: Document, path: str, member: str) -> Any:
    if member not in document:
        raise ValidationException(f"{path}.{member} is required.")
    return document[member]


def _one_of(kind: type[_E], path: str, value: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        raise ValidationException(
            f"{path} must be one of {', '.join(kind)}, not {value}."
        ) from None
