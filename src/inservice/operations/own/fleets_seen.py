"""Each fleet of a deployment as it is seen right now: its traffic, and its instances one by one.

The records say what a fleet should be and how many of its instances are ready; the server as it
runs knows the rest. Pure but for asking it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inservice.deployment.facts import FleetFacts
from inservice.deployment.state import Deployment
from inservice.ids import ordinal_of
from inservice.operations.live import InstanceSeen
from inservice.store.collections.endpoints import EndpointRecord
from inservice.telemetry.base import Recent

LAUNCHING = "Launching"
DRAINING = "Draining"
"""Two states beside the runtime's: nothing runs yet; it finishes what it has."""


def with_what_is_seen(
    fleets: Iterable[Mapping[str, Any]],
    record: EndpointRecord,
    instances: Sequence[InstanceSeen],
    recent: Recent,
    now: float,
) -> list[dict[str, Any]]:
    """DescribeDeployment's Fleets with their traffic and their instances."""
    deployment = record.deployment
    since = deployment.row_since if deployment.ended_at is None else deployment.ended_at
    shown = []
    for fleet in fleets:
        name = fleet["FleetId"]
        seen = [instance for instance in instances if instance.fleet == name]
        traffic = recent.of(name, deployment.step_id, since=since, now=now)
        told = {
            "RequestsPerSecond": traffic.requests_per_second,
            "ErrorPercent": traffic.error_percent,
            "LatencyP50": traffic.p50_ms,
            "LatencyP99": traffic.p99_ms,
        }
        shown.append(
            {
                **fleet,
                **{member: value for member, value in told.items() if value is not None},
                "Instances": instances_of(name, seen, record.facts.of(name), deployment),
            }
        )
    return shown


def instances_of(
    fleet: str, seen: Iterable[InstanceSeen], facts: FleetFacts, deployment: Deployment
) -> list[dict[str, Any]]:
    """The instances of a fleet by ordinal, those included that are only about to be launched."""
    running = {ordinal_of(instance.id): instance for instance in seen}
    return [
        _running(running[ordinal], deployment)
        if ordinal in running
        else _launching(f"{fleet}/{ordinal}", facts, deployment)
        for ordinal in sorted(running.keys() | facts.starting.keys())
    ]


def _running(instance: InstanceSeen, deployment: Deployment) -> dict[str, Any]:
    told = {"Ending": instance.ending, "LastLine": instance.last_line}
    return {
        "InstanceId": instance.id,
        "State": DRAINING if instance.is_draining else instance.state,
        "Pid": instance.pid,
        "Runtime": instance.runtime,
        "StartedAt": instance.started_at,
        # Control counts from its own start, the deployment only what looks like a crash loop.
        "Restarts": max(instance.restarts, _deaths(instance.id, deployment)),
        **{member: value for member, value in told.items() if value},
    }


def _launching(instance_id: str, facts: FleetFacts, deployment: Deployment) -> dict[str, Any]:
    shown = {
        "InstanceId": instance_id,
        "State": LAUNCHING,
        "Restarts": _deaths(instance_id, deployment),
    }
    waits_for = facts.failure or facts.notes.get(ordinal_of(instance_id))
    return {**shown, "LastLine": waits_for} if waits_for else shown


def _deaths(instance_id: str, deployment: Deployment) -> int:
    attempts = deployment.attempts.get(instance_id)
    return attempts.count if attempts else 0
