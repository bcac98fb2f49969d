"""What a sight of one instance means to the engine: the words that go into its facts."""

from __future__ import annotations

from inservice.controller.endpoints import explain
from inservice.controller.endpoints.instances import Watched
from inservice.deployment.facts import Gone
from inservice.hosting.fleet import Fleet
from inservice.runtimes.base import InstanceState
from inservice.workload.of_model import PRIMARY, workload_of


def gone(watched: Watched, fleet: Fleet | None, now: float) -> Gone:
    """An instance that has ended, as a fact."""
    sight, instance_id = watched.sight, watched.handle.instance_id
    lived = max(0.0, watched.since - watched.started_at)
    served = 0.0 if watched.ready_at is None else max(0.0, watched.since - watched.ready_at)
    if fleet is None:
        reason = f"instance {instance_id} is gone"
    elif sight.ready_at is not None:
        reason = explain.died(sight, variant=fleet.variant.name, instance_id=instance_id)
    else:
        reason = _not_ready(watched, fleet, now)
    how = explain.briefly(sight)
    return Gone(reason, watched.handle.started_at, how, served, lived)


def late(watched: Watched, fleet: Fleet | None, now: float) -> str | None:
    """Why an instance is given up that has been starting for longer than its variant allows."""
    if fleet is None or watched.sight.state is not InstanceState.STARTING:
        return None
    if now - watched.started_at <= fleet.variant.startup_timeout_seconds:
        return None
    return _not_ready(watched, fleet, now)


def _not_ready(watched: Watched, fleet: Fleet, now: float) -> str:
    return explain.did_not_become_ready(
        watched.sight,
        variant=fleet.variant.name,
        container=_container_of(fleet),
        waited_seconds=now - watched.started_at,
        timeout_seconds=fleet.variant.startup_timeout_seconds,
    )


def _container_of(fleet: Fleet) -> str:
    """What AWS's messages call the container."""
    if fleet.model is None:
        return PRIMARY
    return workload_of(fleet.model, fleet.id).containers[0].name
