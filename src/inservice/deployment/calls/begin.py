"""What each call makes of an endpoint: new values, or AWS's error. Nothing is done here.

A call writes a wish: the endpoint in its new status and the deployment that will bring it about.
The first turn of `advance` finds it and begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from inservice.deployment.events import Event
from inservice.deployment.plan import (
    Change,
    Plan,
    all_at_once,
    canary,
    creation,
    deletion,
    linear,
    rolling,
    scaling,
)
from inservice.deployment.policy import (
    BlueGreen,
    Policy,
    Rolling,
    TrafficRoutingType,
    check_sizes,
    policy_of,
)
from inservice.deployment.state import Decision, Deployment, Kind, Phase
from inservice.errors import NotImplementedYet, ResourceLimitExceeded, ValidationException
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.hosting.endpoint_config import EndpointConfig, weight_of
from inservice.hosting.fleet import Fleet
from inservice.hosting.model import Model
from inservice.ids import fleet_id, fleet_of
from inservice.values import Document

INSTANCES_MAX = 500
"""Instances of one endpoint that a call may ask for. AWS has such a quota per account and instance
type, which means nothing on one host; but without any, a count of nine zeros costs all memory."""

_RETAINABLE = ("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig")


def begin_create(
    config: EndpointConfig,
    models: Mapping[str, Model],  # by name: every model that the config names
    *,
    name: str,
    arn: str,
    generation: str,
    deployment_config: Document | None = None,
    alarms: Mapping[str, str],  # name → StateValue, of those of `alarm_names` that exist
    now: float,
) -> Decision:
    """CreateEndpoint. That the name is free is the store's to say.

    As on AWS, `deployment_config` is checked and kept for RetainDeploymentConfig, and has no
    effect on the creation itself. Raises ValidationException and ResourceLimitExceeded.
    """
    _check_alarms(policy_of(deployment_config), alarms)
    new = _fleets(config, models, generation, 1)
    _check_quota((), new)
    deployment = Deployment(
        id=f"{generation}-1",
        number=1,
        kind=Kind.CREATE,
        strategy="create",
        phase=Phase.CREATING,
        plan=(),
        config=config,
        new=new,
        started_at=now,
        row_since=now,
        looked_at=now,
    )
    deployment = replace(deployment, plan=creation(deployment.new))
    endpoint = Endpoint(
        account=config.account,
        region=config.region,
        name=name,
        arn=arn,
        generation=generation,
        status=EndpointStatus.CREATING,
        config=config,
        created_at=now,
        modified_at=now,
        last_deployment_config=deployment_config,
    )
    return _begun(endpoint, deployment, now, "Creating the endpoint.")


def begin_update(
    endpoint: Endpoint,
    deployment: Deployment,  # the endpoint's current one
    config: EndpointConfig,
    models: Mapping[str, Model],  # by name: every model that the config names
    *,
    deployment_config: Document | None = None,
    retain_all_variant_properties: bool = False,
    exclude_retained_variant_properties: Sequence[Mapping[str, str]] = (),
    retain_deployment_config: bool = False,
    alarms: Mapping[str, str],  # name → StateValue, of those of `alarm_names` that exist
    now: float,
) -> Decision:
    """UpdateEndpoint: a new fleet for every variant of `config`, by the given strategy.

    The endpoint works from its own copy of its config, so that the current config may have been
    deleted meanwhile; on AWS that makes this call fail. One that was deleted and made again under
    the same name is another config. Raises ValidationException and ResourceLimitExceeded.
    """
    check_updatable(endpoint, also=EndpointStatus.UPDATE_ROLLBACK_FAILED)
    mixed = endpoint.status is EndpointStatus.UPDATE_ROLLBACK_FAILED
    if config.is_record(endpoint.config) and not mixed:
        raise ValidationException(
            f'Cannot update endpoint "{endpoint.arn}" to endpoint configuration "{config.arn}": '
            f"the endpoint uses it already. Specify a different endpoint configuration."
        )
    document = effective_deployment_config(endpoint, deployment_config, retain_deployment_config)
    policy = policy_of(document)
    _check_alarms(policy, alarms)
    new = _fleets(config, models, endpoint.generation, deployment.number + 1)
    if retain_all_variant_properties:
        excluded = _excluded(exclude_retained_variant_properties)
        new = tuple(_retained(fleet, endpoint, excluded) for fleet in new)
        _check_retained_weights(config, new)
    _check_quota(endpoint.fleets, new)
    if not isinstance(policy, BlueGreen) or policy.given:
        _check_same_variants(endpoint.fleets, new)
    check_sizes(policy, new)
    begun = new_update(endpoint, deployment, config, new, policy, now)
    kept = endpoint.last_deployment_config if document is None else document
    warnings = tuple(
        begun.deployment.event(now, f'Alarm "{name}" is in ALARM already.')
        for name in policy.alarms
        if alarms[name] == "ALARM"
    )
    return replace(
        begun,
        endpoint=replace(begun.endpoint, last_deployment_config=kept),
        events=(*begun.events, *warnings),
    )


def new_update(
    endpoint: Endpoint,
    deployment: Deployment,
    config: EndpointConfig,
    new: tuple[Fleet, ...],
    policy: Policy,
    now: float,
) -> Decision:
    """The deployment that brings `new` into service. Raises ValidationException for a timeout that
    the waits of its plan alone exceed."""
    strategy, plan = _plan(policy, Change(endpoint.fleets, new))
    waits = sum(step.hold_seconds for step in plan)
    if waits >= policy.timeout_seconds:
        raise ValidationException(
            f"MaximumExecutionTimeoutInSeconds ({policy.timeout_seconds}) must be more than all "
            f"waits of the deployment together ({waits} seconds)."
        )
    mixed = endpoint.status is EndpointStatus.UPDATE_ROLLBACK_FAILED
    begun = replace(
        _next(deployment, Kind.UPDATE, strategy, plan, now),
        config=config,
        new=new,
        alarms=policy.alarms,
        rollback_batch=policy.rollback_batch if isinstance(policy, Rolling) else None,
        timeout_seconds=policy.timeout_seconds,
        home=Phase.ROLLBACK_FAILED if mixed else Phase.IN_SERVICE,
    )
    return _begun(endpoint, begun, now, f"Updating to endpoint config {config.name}, {strategy}.")


def begin_update_weights_and_capacities(
    endpoint: Endpoint,
    deployment: Deployment,  # the endpoint's current one
    desired: Sequence[Document],  # DesiredWeightsAndCapacities
    *,
    now: float,
) -> Decision:
    """UpdateEndpointWeightsAndCapacities: the same fleets, in place.

    Raises ValidationException and ResourceLimitExceeded.
    """
    check_updatable(endpoint)
    wishes: dict[str, Document] = {}
    for wish in desired:
        if wish["VariantName"] in wishes:
            raise ValidationException(
                f'The variant name "{wish["VariantName"]}" was non-unique within the request.'
            )
        wishes[wish["VariantName"]] = wish
    serving = {fleet.variant.name for fleet in endpoint.fleets}
    if unknown := [name for name in wishes if name not in serving]:
        raise ValidationException(
            f'The variant name(s) "{", ".join(unknown)}" is/are not present within '
            f'endpoint configuration "{endpoint.config.name}".'
        )
    new = tuple(_scaled(fleet, wishes.get(fleet.variant.name, {})) for fleet in endpoint.fleets)
    if not any(fleet.weight for fleet in new):
        raise ValidationException("At least one variant must have a DesiredWeight above zero.")
    _check_quota(endpoint.fleets, new)
    begun = replace(
        _next(deployment, Kind.SCALE, "in place", scaling(endpoint.fleets, new), now), new=new
    )
    return _begun(endpoint, begun, now, "Updating weights and capacities.")


def begin_delete(
    endpoint: Endpoint,
    deployment: Deployment,  # the endpoint's current one
    *,
    now: float,
) -> Decision:
    """DeleteEndpoint, in the statuses that AWS allows it in. Raises ValidationException."""
    if endpoint.in_progress or endpoint.status is EndpointStatus.DELETING:
        raise in_progress(endpoint)
    begun = _next(deployment, Kind.DELETE, "delete", deletion(), now)
    return _begun(endpoint, replace(begun, phase=Phase.DELETING), now, "Deleting the endpoint.")


def effective_deployment_config(
    endpoint: Endpoint, deployment_config: Document | None, retain_deployment_config: bool
) -> Document | None:
    """The DeploymentConfig that an update will go by; ask `alarm_names` of it.

    Raises ValidationException for both at once.
    """
    if not retain_deployment_config:
        return deployment_config
    if deployment_config is not None:
        raise ValidationException(
            "DeploymentConfig cannot be specified when RetainDeploymentConfig is true."
        )
    return endpoint.last_deployment_config


def check_updatable(endpoint: Endpoint, *, also: EndpointStatus | None = None) -> None:
    """Raises ValidationException unless the endpoint is InService, or `also`."""
    if endpoint.in_progress or endpoint.status is EndpointStatus.DELETING:
        raise in_progress(endpoint)
    if endpoint.status not in (EndpointStatus.IN_SERVICE, also):
        remedy = (
            "Update it to an endpoint configuration with UpdateEndpoint first."
            if endpoint.status is EndpointStatus.UPDATE_ROLLBACK_FAILED
            else "Delete it and create it again."
        )
        raise ValidationException(
            f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}. {remedy}'
        )


def in_progress(endpoint: Endpoint) -> ValidationException:
    """AWS's refusal, word for word; it says "update" for a deletion too."""
    return ValidationException(f'Cannot update in-progress endpoint "{endpoint.arn}".')


# ── parts ──────────────────────────────────────────────────────────────────────────────────────


def _plan(policy: Policy, change: Change) -> tuple[str, Plan]:
    """The name of a strategy, and its table."""
    if isinstance(policy, Rolling):
        return "rolling", rolling(change, batch=policy.batch, bake_seconds=policy.bake_seconds)
    bake, wait = policy.bake_seconds, policy.wait_seconds
    if policy.size is None:
        return "all at once", all_at_once(change, wait_seconds=wait)
    if policy.routing is TrafficRoutingType.CANARY:
        return "canary", canary(change, size=policy.size, bake_seconds=bake, wait_seconds=wait)
    return "linear", linear(change, step=policy.size, bake_seconds=bake, wait_seconds=wait)


def _fleets(
    config: EndpointConfig, models: Mapping[str, Model], generation: str, number: int
) -> tuple[Fleet, ...]:
    return tuple(
        Fleet(
            id=fleet_id(generation, number, variant.name),
            config_name=config.name,
            variant=variant,
            model=models[variant.model_name],
            size=variant.initial_instance_count,
            weight=variant.initial_weight,
        )
        for variant in config.variants
    )


def _next(last: Deployment, kind: Kind, strategy: str, plan: Plan, now: float) -> Deployment:
    """The deployment after `last`. What is in force stays in force until a row changes it."""
    number = last.number + 1
    kept = {want.fleet for want in last.step.wants if want.size}
    return Deployment(
        id=f"{last.id.rpartition('-')[0]}-{number}",
        number=number,
        kind=kind,
        strategy=strategy,
        phase=Phase.UPDATING,
        plan=plan,
        started_at=now,
        row_since=now,
        looked_at=now,
        shares=last.shares,
        sizes=last.sizes,
        attempts={i: a for i, a in last.attempts.items() if fleet_of(i) in kept},
    )


def _begun(endpoint: Endpoint, deployment: Deployment, now: float, message: str) -> Decision:
    moved = replace(endpoint, status=deployment.phase.status, modified_at=now)
    told: tuple[Event, ...] = (deployment.status_event(now, message),)
    return Decision(moved, deployment, (), now, told)


def _check_quota(old: Sequence[Fleet], new: Sequence[Fleet]) -> None:
    """In the sentence that AWS has for its quotas, up to where that sends readers to AWS."""
    before, after = (sum(fleet.size for fleet in fleets) for fleets in (old, new))
    if after > INSTANCES_MAX:
        raise ResourceLimitExceeded(
            f"The service limit 'instances for one endpoint' is {INSTANCES_MAX} Instances, "
            f"with current utilization of {before} Instances "
            f"and a request delta of {after - before} Instances."
        )


def _check_alarms(policy: Policy, alarms: Mapping[str, str]) -> None:
    if missing := [name for name in policy.alarms if name not in alarms]:
        raise ValidationException(
            f"AutoRollbackConfiguration.Alarms: could not find alarm "
            f"{', '.join(map(repr, missing))} in this account and region."
        )


def _check_same_variants(old: Sequence[Fleet], new: Sequence[Fleet]) -> None:
    before = sorted({fleet.variant.name for fleet in old})
    after = sorted({fleet.variant.name for fleet in new})
    if before != after:
        raise ValidationException(
            f"DeploymentConfig: the new endpoint configuration must have the same variant names "
            f"as the endpoint ({', '.join(before)}), not {', '.join(after)}."
        )


def _excluded(properties: Sequence[Mapping[str, str]]) -> frozenset[str]:
    excluded = frozenset(each["VariantPropertyType"] for each in properties)
    if unknown := sorted(excluded.difference(_RETAINABLE)):
        raise ValidationException(
            f"ExcludeRetainedVariantProperties: VariantPropertyType must be one of "
            f"{', '.join(_RETAINABLE)}, not {unknown[0]}."
        )
    return excluded


def _retained(fleet: Fleet, endpoint: Endpoint, excluded: frozenset[str]) -> Fleet:
    """The new fleet with the size and weight that its variant has now."""
    old = [f for f in endpoint.fleets if f.variant.name == fleet.variant.name]
    if not old:
        return fleet
    changes: dict[str, Any] = {}
    if "DesiredInstanceCount" not in excluded:
        changes["size"] = sum(f.size for f in old)
    if "DesiredWeight" not in excluded:
        changes["weight"] = sum((f.weight for f in old), Fraction(0))
    return replace(fleet, **changes)


def _check_retained_weights(config: EndpointConfig, new: Sequence[Fleet]) -> None:
    """A variant that was switched off may be the only one that is left."""
    if not any(fleet.weight for fleet in new):
        raise ValidationException(
            f"RetainAllVariantProperties: every variant of endpoint configuration "
            f'"{config.arn}" would keep a weight of zero. Exclude DesiredWeight, '
            f"or give one of them a weight with UpdateEndpointWeightsAndCapacities first."
        )


def _scaled(fleet: Fleet, wish: Document) -> Fleet:
    if "ServerlessUpdateConfig" in wish:
        raise NotImplementedYet(
            "'DesiredWeightsAndCapacities.ServerlessUpdateConfig'",
            f"variant {fleet.variant.name} is not serverless",
        )
    size = int(wish.get("DesiredInstanceCount", fleet.size))
    if size < 1:
        raise ValidationException(
            f"DesiredWeightsAndCapacities: DesiredInstanceCount of variant {fleet.variant.name} "
            f"must be 1 or more, not {size}."
        )
    weight = weight_of(wish["DesiredWeight"]) if "DesiredWeight" in wish else fleet.weight
    return replace(fleet, size=size, weight=weight)
