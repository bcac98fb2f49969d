"""What DescribeEndpoint shows, from endpoint, deployment and the facts last seen.

The top level describes the config that serves, PendingDeploymentSummary the one that is coming,
until the deployment is over; it is there while creating and updating to another config, and not
while weights and capacities change in place. While Creating, ProductionVariants is absent.

As in AWS's own sample event, CurrentInstanceCount of a pending variant counts the instances that
take traffic by now, not those that have booted: 1 of 3 while a canary of one bakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from inservice.deployment.facts import Facts
from inservice.deployment.plan import Doing
from inservice.deployment.state import Deployment, Kind, Phase
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.endpoint_config import ProductionVariant
from inservice.hosting.fleet import Fleet

STATUS_MESSAGE_LENGTH_MAX = 1024
"""VariantStatus's limit in AWS's model."""

WAITING_SHOWN_MAX = 3
"""Instances of one fleet load the same model, and a few of them tell as much as all."""


def describe(endpoint: Endpoint, deployment: Deployment, facts: Facts) -> dict[str, Any]:
    """DescribeEndpointOutput's members, in AWS's case; times are epoch seconds.

    What no endpoint config can ask for here (async, …) is absent.
    """
    shown: dict[str, Any] = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config.name,
        "EndpointStatus": endpoint.status.value,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
    }
    if endpoint.fleets:
        shown["ProductionVariants"] = _serving(endpoint, deployment, facts)
    if endpoint.failure_reason is not None:
        shown["FailureReason"] = endpoint.failure_reason
    if endpoint.last_deployment_config is not None:
        shown["LastDeploymentConfig"] = dict(endpoint.last_deployment_config)
    if deployment.config is not None and not deployment.over:
        shown["PendingDeploymentSummary"] = {
            "EndpointConfigName": deployment.config.name,
            "ProductionVariants": [_pending(fleet, deployment, facts) for fleet in deployment.new],
            "StartTime": deployment.started_at,
        }
    document = endpoint.config.document
    for member in ("MetricsConfig", "CrossRegionTrafficConfig"):
        if member in document:
            shown[member] = document[member]
    if "DataCaptureConfig" in document:
        shown["DataCaptureConfig"] = _capture(document)
    return shown


# ── summaries ──────────────────────────────────────────────────────────────────────────────────


def _serving(endpoint: Endpoint, deployment: Deployment, facts: Facts) -> list[dict[str, Any]]:
    """One summary for each variant that serves, of its one fleet or of its two mixed ones."""
    names = dict.fromkeys(fleet.variant.name for fleet in endpoint.fleets)
    return [
        _serving_variant([f for f in endpoint.fleets if f.variant.name == name], deployment, facts)
        for name in names
    ]


def _serving_variant(
    fleets: Sequence[Fleet], deployment: Deployment, facts: Facts
) -> dict[str, Any]:
    variant = fleets[0].variant
    current, desired = list(fleets), list(fleets)
    if deployment.kind is Kind.SCALE and not deployment.over:
        scaled = [f for f in deployment.new if f.variant.name == variant.name]
        back = deployment.phase is Phase.ROLLING_BACK
        desired = current if back else scaled
        if not back and deployment.shares == deployment.plan[-1].shares:
            current = scaled
    summary = {
        "VariantName": variant.name,
        "DeployedImages": _images(fleets),
        "CurrentWeight": _weight(current),
        "DesiredWeight": _weight(desired),
        "CurrentInstanceCount": sum(len(facts.of(fleet.id).ready) for fleet in fleets),
        "DesiredInstanceCount": sum(fleet.size for fleet in desired),
        **_echoed(fleets[0].variant, _SERVING),
    }
    statuses = list(_serving_statuses(fleets, desired, deployment, facts))
    return {**summary, "VariantStatus": statuses} if statuses else summary


def _pending(fleet: Fleet, deployment: Deployment, facts: Facts) -> dict[str, Any]:
    """A variant of the config that is coming, or, on the way back, that is going."""
    summary = {
        "VariantName": fleet.variant.name,
        "DeployedImages": _images([fleet]),
        "CurrentWeight": float(fleet.weight),
        "DesiredWeight": float(fleet.weight),
        "CurrentInstanceCount": _active(fleet, deployment, deployment.shares),
        "DesiredInstanceCount": fleet.size,
        **_echoed(fleet.variant, _PENDING),
    }
    status = _pending_status(fleet, deployment, facts)
    return {**summary, "VariantStatus": [status]} if status else summary


def _active(fleet: Fleet, deployment: Deployment, shares: Mapping[str, int]) -> int:
    """How many instances of a new fleet take traffic: its part of what its variant gets."""
    if fleet.id not in shares:
        return 0
    kin = {w.fleet for w in deployment.step.wants if w.variant == fleet.variant.name}
    total = sum(share for name, share in shares.items() if name in kin)
    part = Fraction(shares[fleet.id], total) if total else Fraction(1)
    return round(fleet.size * part)


def _weight(fleets: Iterable[Fleet]) -> float:
    return float(sum((fleet.weight for fleet in fleets), Fraction(0)))


def _images(fleets: Iterable[Fleet]) -> list[dict[str, Any]]:
    """Images run as they are named, so nothing is resolved to a digest."""
    images = dict.fromkeys(
        container.image
        for fleet in fleets
        if fleet.model is not None
        for container in fleet.model.containers
    )
    return [{"SpecifiedImage": image} for image in images]


_SERVING = (
    *("ManagedInstanceScaling", "RoutingConfig", "CapacityReservationConfig"),
    "AcceleratorPartitionLayouts",
)
_PENDING = (
    *("InstanceType", "AcceleratorType", "ManagedInstanceScaling", "RoutingConfig"),
    "AcceleratorPartitionLayouts",
)
"""Members of ProductionVariant that AWS says back in the summary of one that serves, and of one
that is on its way. What they would count there (instances of a reservation, of a pool) nobody
counts here, and is not made up."""


def _echoed(variant: ProductionVariant, members: Iterable[str]) -> dict[str, Any]:
    """What the variant says of these."""
    given = variant.document
    return {member: given[member] for member in members if given.get(member) not in (None, [], {})}


def _capture(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of a config that says that nothing is captured; no other can be made."""
    capture = document["DataCaptureConfig"]
    return {
        "EnableCapture": capture["EnableCapture"],
        "CaptureStatus": "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


# ── VariantStatus ──────────────────────────────────────────────────────────────────────────────


def _status(doing: Doing, message: str, deployment: Deployment) -> dict[str, Any]:
    return {
        "Status": doing.value,
        "StatusMessage": message,
        "StartTime": deployment.row_since,
    }


def _serving_statuses(
    fleets: Sequence[Fleet], desired: Sequence[Fleet], deployment: Deployment, facts: Facts
) -> Iterator[dict[str, Any]]:
    """What happens to a variant that serves."""
    if deployment.over:
        return
    step = deployment.step
    if deployment.kind is Kind.SCALE:
        before, after = sum(f.size for f in fleets), sum(f.size for f in desired)
        if before != after:
            way = "in" if after < before else "out"
            message = f"Scaling {way} desired instance count to {after}."
            yield _status(Doing.UPDATING, message, deployment)
    elif deployment.phase is Phase.ROLLING_BACK and step.doing is Doing.CREATING:
        missing = sum(
            max(step.sizes[fleet.id] - len(facts.of(fleet.id).ready), 0) for fleet in fleets
        )
        if missing:
            notes = "".join(_waiting(fleet, facts) for fleet in fleets)
            message = f"Launching {missing} instance(s).{notes}"
            yield _status(Doing.UPDATING, message[:STATUS_MESSAGE_LENGTH_MAX], deployment)
    elif spare := _spare(fleets, deployment, facts):
        yield _status(Doing.DELETING, f"Terminating {spare} instance(s).", deployment)


def _waiting(fleet: Fleet, facts: Facts) -> str:
    """What is known of the instances that start, to be added to a message."""
    seen = facts.of(fleet.id)
    noted = [(o, seen.notes[o]) for o in sorted(seen.starting) if o in seen.notes]
    told = [f" Instance {ordinal}: {note}." for ordinal, note in noted[:WAITING_SHOWN_MAX]]
    return "".join(told)


def _spare(fleets: Iterable[Fleet], deployment: Deployment, facts: Facts) -> int:
    """Instances that are there and that the row does not want."""
    sizes = deployment.step.sizes
    return sum(max(len(facts.of(fleet.id).present) - sizes.get(fleet.id, 0), 0) for fleet in fleets)


def _pending_status(fleet: Fleet, deployment: Deployment, facts: Facts) -> dict[str, Any] | None:
    """What happens to a variant that is coming, in AWS's words where they are known."""
    step, last = deployment.step, deployment.row - 1
    before = deployment.plan[last].sizes.get(fleet.id, 0) if last >= 0 else 0
    if deployment.phase is Phase.ROLLING_BACK:
        spare = _spare([fleet], deployment, facts)
        message = f"Terminating {spare} instance(s)."
        return _status(Doing.DELETING, message, deployment) if spare else None
    if step.doing is Doing.CREATING:
        message = f"Launching {step.sizes[fleet.id] - before} instance(s)."
        return _status(step.doing, message + _waiting(fleet, facts), deployment)
    active = _active(fleet, deployment, step.shares)  # of the row, though it be not in force yet
    capacity = f"{_capacity(fleet, deployment)} capacity of {active} instance(s)."
    if step.doing is Doing.SHIFTING:
        return _status(step.doing, f"Activating traffic on {capacity}", deployment)
    if step.doing is Doing.BAKING:
        message = (
            f"Baking for {step.hold_seconds} seconds ({step.hold_name}) "
            f"with traffic enabled on {capacity}"
        )
        return _status(step.doing, message, deployment)
    return None


def _capacity(fleet: Fleet, deployment: Deployment) -> str:
    """AWS says "canary" and "full"; what it says of the other strategies is not known."""
    kin = [w for w in deployment.step.wants if w.variant == fleet.variant.name]
    if all(not want.share for want in kin if want.fleet != fleet.id):
        return "full"
    return {"linear": "linear step", "rolling": "batch"}.get(deployment.strategy, "canary")
