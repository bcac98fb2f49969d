"""What control did, in the words in which Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable

from inservice.deployment.state import Deployment
from inservice.deployment.views.picture import outcome
from inservice.ids import EndpointKey
from inservice.runtimes.base import LaunchSpec, Sight
from inservice.telemetry.base import Ended, Happened, Restarted


def counted_endings(happenings: Happened) -> Callable[[EndpointKey, Deployment], None]:
    """For the reconciler's `on_ended`."""

    def ended(key: EndpointKey, deployment: Deployment) -> None:
        how = outcome(deployment)
        if how is not None and deployment.ended_at is not None:
            seconds = deployment.ended_at - deployment.started_at
            happenings.deployment_ended(Ended(*key, deployment.strategy, how), seconds)

    return ended


def counted_restarts(happenings: Happened) -> Callable[[LaunchSpec, Sight], None]:
    """For the instances' `on_restart`."""

    def restarted(spec: LaunchSpec, death: Sight) -> None:
        happenings.instance_restarted(
            Restarted(spec.account, spec.region, spec.endpoint, spec.variant, _how(death))
        )

    return restarted


def _how(death: Sight) -> str:
    if death.out_of_memory:
        return "out_of_memory"
    if death.signal:
        return "signal"
    return "exit" if death.exit_code is not None else "unknown"
