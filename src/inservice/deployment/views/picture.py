"""A deployment as a person wants to see it: the table before, where it is during, what came of it.

These are projections for InService's own API, in its members; DescribeEndpoint's are in
`describe.py`. Times are epoch seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inservice.deployment.facts import Facts
from inservice.deployment.plan import Plan, Step
from inservice.deployment.state import Deployment, Kind, Phase
from inservice.hosting.endpoint import Endpoint

Picture = dict[str, Any]


def steps(plan: Plan, new: Iterable[str]) -> list[Picture]:
    """The table, row by row. `new` names the fleets that serve when the deployment succeeds."""
    new_fleets = frozenset(new)
    rows, begins = [], 0
    for number, step in enumerate(plan):
        rows.append(
            {
                "Row": number,
                "Doing": step.doing.value,
                "HoldSeconds": step.hold_seconds,
                "BeginsAfterSeconds": begins,
                "Variants": list(_variants(step, new_fleets)),
            }
        )
        begins += step.hold_seconds
    return rows


def peak_instances(plan: Plan) -> int:
    """The most instances that exist at once."""
    return max(sum(step.sizes.values()) for step in plan)


def hold_seconds(plan: Plan) -> int:
    """All holds together; starting and stopping come on top."""
    return sum(step.hold_seconds for step in plan)


def picture(endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float) -> Picture:
    """DescribeDeployment's members, but for the state of the alarms."""
    new = [fleet.id for fleet in deployment.new]
    shown: Picture = {
        "EndpointName": endpoint.name,
        "EndpointStatus": endpoint.status.value,
        "DeploymentId": deployment.id,
        "Kind": deployment.kind.value,
        "Strategy": deployment.strategy,
        "Phase": deployment.phase.value,
        "FromEndpointConfigName": _from(endpoint, deployment),
        "ToEndpointConfigName": deployment.config.name if deployment.config else None,
        "StartedAt": deployment.started_at,
        "EndedAt": deployment.ended_at,
        "Outcome": outcome(deployment),
        "Row": deployment.row,
        "Steps": steps(deployment.plan, new),
        "Paused": deployment.paused,
        "HoldEndsAt": _hold_ends_at(deployment, now),
        "Reason": deployment.reason,
        "Fleets": list(_fleets(endpoint, deployment, facts)),
    }
    return {member: value for member, value in shown.items() if value is not None}


def outcome(deployment: Deployment) -> str | None:
    """Done, RolledBack, Failed or RollbackFailed; None while it is under way."""
    match deployment.phase:
        case Phase.IN_SERVICE:
            return "Done" if deployment.reason is None else "RolledBack"
        case Phase.FAILED:
            return "Failed"
        case Phase.ROLLBACK_FAILED:
            return "RollbackFailed"
    return None


def _variants(step: Step, new: frozenset[str]) -> Iterator[Picture]:
    for name in dict.fromkeys(want.variant for want in step.wants):
        wants = [want for want in step.wants if want.variant == name]
        old_share = sum(want.share or 0 for want in wants if want.fleet not in new)
        new_share = sum(want.share or 0 for want in wants if want.fleet in new)
        whole = old_share + new_share
        yield {
            "VariantName": name,
            "OldInstances": sum(want.size for want in wants if want.fleet not in new),
            "NewInstances": sum(want.size for want in wants if want.fleet in new),
            "TrafficPercent": round(100 * new_share / whole, 2) if whole else 0.0,
        }


def _fleets(endpoint: Endpoint, deployment: Deployment, facts: Facts) -> Iterator[Picture]:
    new = {fleet.id for fleet in deployment.new}
    every = (*endpoint.previous_fleets, *endpoint.fleets, *deployment.new)
    configs = {fleet.id: fleet.config_name for fleet in every}
    shares: Mapping[str, int] = facts.shares if facts.shares is not None else deployment.shares
    settled = deployment.over or deployment.kind is Kind.SCALE
    for want in deployment.step.wants:
        seen = facts.of(want.fleet)
        if settled and not want.size and not seen.present:
            continue  # it was, and nothing is left of it
        role = "serving" if settled else "new" if want.fleet in new else "old"
        yield {
            "FleetId": want.fleet,
            "VariantName": want.variant,
            "EndpointConfigName": configs.get(want.fleet, ""),
            "Role": role,
            "DesiredInstances": want.size,
            "ReadyInstances": len(seen.ready),
            "StartingInstances": len(seen.starting),
            "TrafficPercent": shares.get(want.fleet, 0) / 100,
        }


def _from(endpoint: Endpoint, deployment: Deployment) -> str | None:
    """The config that served before this deployment; None for a first creation."""
    if deployment.kind is Kind.CREATE:
        return None
    if deployment.kind is Kind.UPDATE and outcome(deployment) == "Done":
        return endpoint.previous_config.name if endpoint.previous_config else None
    return endpoint.config.name


def _hold_ends_at(deployment: Deployment, now: float) -> float | None:
    if deployment.over or deployment.paused or not deployment.step.hold_seconds:
        return None
    left = deployment.step.hold_seconds - deployment.held_seconds
    return (deployment.looked_at if deployment.real else now) + max(0.0, left)
