"""InService's own operations on deployments: the plan before, the picture during, hand controls.

They stand beside AWS's API and never change its shapes: while a hand control holds,
DescribeEndpoint shows what AWS documents for an update under way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inservice.cloudwatch.alarms.record import AlarmRecord
from inservice.deployment.calls import controls
from inservice.deployment.calls.begin import begin_update, effective_deployment_config
from inservice.deployment.events import DetailType, Event, as_eventbridge
from inservice.deployment.policy import alarm_names
from inservice.deployment.state import Decision
from inservice.deployment.views.picture import hold_seconds, peak_instances, picture, steps
from inservice.errors import ValidationException
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.operations.own.fleets_seen import with_what_is_seen
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sagemaker import touches
from inservice.store.base import Reading
from inservice.store.collections.endpoints import EndpointRecord

EVENTS_PAGE = 100


@operation("inservice", "PlanDeployment", on=(touches.endpoint,))
def plan_deployment(
    call: Call,
    *,
    endpoint_name: str,
    endpoint_config_name: str | None = None,
    production_variants: Sequence[Mapping[str, Any]] = (),
    deployment_config: Mapping[str, Any] | None = None,
    retain_all_variant_properties: bool = False,
    exclude_retained_variant_properties: Sequence[Mapping[str, str]] = (),
    retain_deployment_config: bool = False,
) -> Document:
    """What UpdateEndpoint with these members will do. It is begun, shown and forgotten."""
    with call.store.reading() as records:
        record = records.endpoints.get(call.account, call.region, endpoint_name)
        config = _config_to_plan_for(call, records, endpoint_config_name, production_variants)
        policy = effective_deployment_config(
            record.endpoint, deployment_config, retain_deployment_config
        )
        models = {
            variant.model_name: records.models.get(call.account, call.region, variant.model_name)
            for variant in config.variants
        }
        alarms = records.alarms.states(call.account, call.region, alarm_names(policy))
    planned = begin_update(
        record.endpoint,
        record.deployment,
        config,
        models,
        deployment_config=deployment_config,
        retain_all_variant_properties=retain_all_variant_properties,
        exclude_retained_variant_properties=exclude_retained_variant_properties,
        retain_deployment_config=retain_deployment_config,
        alarms=alarms,
        now=call.now,
    ).deployment
    return {
        "Strategy": planned.strategy,
        "Steps": steps(planned.plan, [fleet.id for fleet in planned.new]),
        "PeakInstances": peak_instances(planned.plan),
        "HoldSeconds": hold_seconds(planned.plan),
        "TimeoutSeconds": planned.timeout_seconds,
        "Alarms": [{"AlarmName": name, "StateValue": alarms[name]} for name in planned.alarms],
    }


def _config_to_plan_for(
    call: Call,
    records: Reading,
    name: str | None,
    variants: Sequence[Mapping[str, Any]],
) -> EndpointConfig:
    """The config that is named, or the one that the variants would make; it is not kept."""
    if (name is None) is not bool(variants):
        raise ValidationException(
            "Exactly one of EndpointConfigName and ProductionVariants must be specified."
        )
    if name is not None:
        return records.endpoint_configs.get(call.account, call.region, name)
    document = {"EndpointConfigName": "(planned)", "ProductionVariants": variants}
    return EndpointConfig.from_document(
        document, account=call.account, region=call.region, now=call.now
    )


@operation("inservice", "DescribeDeployment", on=(touches.endpoint,))
def describe_deployment(call: Call, *, endpoint_name: str) -> Document:
    """The deployment of an endpoint as it is now; the last one if none is under way."""
    with call.store.reading() as records:
        record = records.endpoints.get(call.account, call.region, endpoint_name)
        alarms = _alarms(call, records, record)
    shown = picture(record.endpoint, record.deployment, record.facts, call.now)
    fleets = with_what_is_seen(
        shown["Fleets"], record, call.live.instances_seen(), call.live.metrics.recent, call.now
    )
    return {**shown, "Fleets": fleets, "Alarms": alarms}


@operation("inservice", "ListDeploymentEvents", on=(touches.endpoint,))
def list_deployment_events(
    call: Call,
    *,
    endpoint_name: str,
    deployment_id: str | None = None,
    max_results: int = EVENTS_PAGE,
    next_token: str | None = None,
) -> Document:
    """What deployments of an endpoint did, oldest first."""
    after = _number_of(next_token)
    with call.store.reading() as records:
        record = records.endpoints.get(call.account, call.region, endpoint_name)
        page = records.endpoints.events(record.key, after=after, limit=max_results)
    shown = [
        _event(record.endpoint, number, event)
        for number, event in page
        if deployment_id is None or event.deployment == deployment_id
    ]
    more = {"NextToken": str(page[-1][0])} if len(page) == max_results else {}
    return {"Events": shown, **more}


@operation("inservice", "PauseDeployment", on=(touches.endpoint,))
def pause_deployment(call: Call, *, endpoint_name: str) -> Document:
    """Stay on the current step. Alarms and failures still roll back."""
    return _control(call, endpoint_name, controls.pause)


@operation("inservice", "ResumeDeployment", on=(touches.endpoint,))
def resume_deployment(call: Call, *, endpoint_name: str) -> Document:
    """Go on after a pause."""
    return _control(call, endpoint_name, controls.resume)


@operation("inservice", "PromoteDeployment", on=(touches.endpoint,))
def promote_deployment(call: Call, *, endpoint_name: str) -> Document:
    """Skip the rest of the current bake."""
    return _control(call, endpoint_name, controls.promote)


@operation("inservice", "AbortDeployment", on=(touches.endpoint,))
def abort_deployment(call: Call, *, endpoint_name: str) -> Document:
    """Roll back now."""
    return _control(call, endpoint_name, controls.abort)


@operation("inservice", "UndoDeployment", on=(touches.endpoint,))
def undo_deployment(call: Call, *, endpoint_name: str) -> Document:
    """Begin an update back to the config that the endpoint had before."""
    return _control(call, endpoint_name, controls.undo)


def _control(call: Call, endpoint_name: str, decide: Callable[..., Decision]) -> Document:
    with call.store.transaction() as tx:
        record = tx.endpoints.get(call.account, call.region, endpoint_name)
        decision = decide(record.endpoint, record.deployment, now=call.now)
        tx.endpoints.save(record, decision)
    return {"EndpointName": record.endpoint.name, "DeploymentId": decision.deployment.id}


def _alarms(call: Call, records: Reading, record: EndpointRecord) -> list[Document]:
    return [_alarm(call, records, name) for name in record.deployment.alarms]


def _alarm(call: Call, records: Reading, name: str) -> Document:
    """An alarm as it is, with the datapoints that made it so."""
    kept = records.alarms.find(call.account, call.region, name)
    if kept is None:
        return {"AlarmName": name, "StateValue": "deleted"}
    state = AlarmRecord.from_kept(kept).state
    return {"AlarmName": name, "StateValue": state.value.value, "StateReason": state.reason}


def _event(endpoint: Endpoint, number: int, event: Event) -> Document:
    """An event as history lists it, and as EventBridge would have delivered it."""
    known = {"EndpointName": endpoint.name, "EndpointArn": endpoint.arn}
    as_aws = as_eventbridge(event, endpoint, known, f"{endpoint.generation}-{number}")
    return {
        "At": event.at,
        "DeploymentId": event.deployment,
        "Row": event.row,
        "What": _what(event),
        "Event": json.dumps(as_aws),
    }


def _what(event: Event) -> str:
    """What happened in a sentence, with the reason where the endpoint has another status for it:
    steps of the way back have the same one."""
    if event.reason is None or event.detail_type is not DetailType.ENDPOINT:
        return event.message
    return f"{event.message.rstrip('.')}: {event.reason.rstrip('.')}."


def _number_of(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal() or len(token) > 18:
        raise ValidationException("The NextToken is not one that ListDeploymentEvents gave.")
    return int(token)
