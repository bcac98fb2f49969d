"""Hand controls beside the AWS API: pause, resume, promote, abort, undo.

Each takes the endpoint and its deployment and answers with what to save, or raises
ValidationException saying what is in its way. While one holds, DescribeEndpoint shows what it
showed before: a paused update is Updating.
"""

from __future__ import annotations

from dataclasses import replace

from inservice.deployment.calls.begin import check_updatable, new_update
from inservice.deployment.policy import BlueGreen
from inservice.deployment.state import Decision, Deployment, Kind, Phase
from inservice.errors import ValidationException
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.hosting.fleet import Fleet
from inservice.ids import fleet_id


def pause(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Stay on the present row. An alarm or a failure still rolls back; no time counts meanwhile,
    neither of the bake nor of MaximumExecutionTimeoutInSeconds."""
    _check_updating(endpoint, deployment)
    if deployment.paused:
        raise ValidationException(f'The deployment of endpoint "{endpoint.arn}" is paused already.')
    return _controlled(endpoint, replace(deployment, paused=True), now, "Paused by hand.")


def resume(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Go on after `pause`, with what is left of the bake."""
    _check_updating(endpoint, deployment)
    if not deployment.paused:
        raise ValidationException(f'The deployment of endpoint "{endpoint.arn}" is not paused.')
    return _controlled(endpoint, replace(deployment, paused=False), now, "Resumed by hand.")


def promote(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Skip the rest of the present bake; ends a pause too."""
    _check_updating(endpoint, deployment)
    if not deployment.step.hold_seconds:
        raise ValidationException(f'The deployment of endpoint "{endpoint.arn}" is not baking.')
    promoted = replace(deployment, promoted=True, paused=False)
    return _controlled(
        endpoint, promoted, now, "Promoted by hand: the rest of this bake is skipped."
    )


def abort(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Roll back on the next turn."""
    _check_updating(endpoint, deployment)
    if deployment.stopping:
        raise ValidationException(
            f'The deployment of endpoint "{endpoint.arn}" cannot be aborted: '
            f"what it would return to is being stopped. Use undo when it is over."
        )
    if deployment.aborted:
        raise ValidationException(
            f'The deployment of endpoint "{endpoint.arn}" is aborted already.'
        )
    aborted = replace(deployment, aborted="it was aborted by hand")
    return _controlled(endpoint, aborted, now, "Aborted by hand.")


def undo(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Begin an update back to the config, sizes and weights before the last update, all at once."""
    check_updatable(endpoint)
    config = endpoint.previous_config
    if config is None:
        raise ValidationException(
            f'Endpoint "{endpoint.arn}" has no previous endpoint configuration to go back to.'
        )
    new = tuple(_again(fleet, endpoint, deployment) for fleet in endpoint.previous_fleets)
    return new_update(endpoint, deployment, config, new, BlueGreen(given=False), now)


def _again(fleet: Fleet, endpoint: Endpoint, deployment: Deployment) -> Fleet:
    number = deployment.number + 1
    return replace(fleet, id=fleet_id(endpoint.generation, number, fleet.variant.name))


def _check_updating(endpoint: Endpoint, deployment: Deployment) -> None:
    if deployment.phase is Phase.UPDATING and deployment.kind is Kind.UPDATE:
        return
    what = (
        "it is rolling back"
        if endpoint.status is EndpointStatus.ROLLING_BACK
        else f"no update to another endpoint configuration is under way ({endpoint.status})"
    )
    raise ValidationException(f'Endpoint "{endpoint.arn}" has nothing to control: {what}.')


def _controlled(endpoint: Endpoint, deployment: Deployment, now: float, message: str) -> Decision:
    return Decision(endpoint, deployment, (), now, (deployment.event(now, message),))
