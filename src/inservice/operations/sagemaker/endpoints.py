"""CreateEndpoint, DescribeEndpoint, ListEndpoints, UpdateEndpoint,
UpdateEndpointWeightsAndCapacities, DeleteEndpoint.

Each change is decided by `deployment.calls.begin` and kept; the controller hears of the commit and
acts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inservice.deployment.calls.begin import (
    begin_create,
    begin_delete,
    begin_update,
    begin_update_weights_and_capacities,
    effective_deployment_config,
)
from inservice.deployment.policy import alarm_names
from inservice.deployment.views.describe import describe
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.fields import refuse_unsupported
from inservice.hosting.model import Model
from inservice.hosting.tags import with_tags
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sagemaker import touches
from inservice.operations.sagemaker.capacity import warn_of_capacity, with_capacity_told
from inservice.operations.sagemaker.execution_roles import with_roles_told
from inservice.operations.sagemaker.kept import (
    Kept,
    kept_of_endpoint,
    sentences,
    with_kept_told,
)
from inservice.operations.sagemaker.listing import PAGE_SIZE, Listing
from inservice.operations.touches import anything
from inservice.store.base import Reading
from inservice.store.collections.endpoints import EndpointRecord

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import (
        EndpointSortKeyType,
        EndpointStatusType,
        OrderKeyType,
    )
    from types_boto3_sagemaker.type_defs import (
        DeploymentConfigTypeDef,
        DesiredWeightAndCapacityTypeDef,
        TagTypeDef,
    )


@operation("sagemaker", "CreateEndpoint", on=(touches.new_endpoint, touches.endpoint_config))
def create_endpoint(
    call: Call,
    *,
    endpoint_name: str,
    endpoint_config_name: str,
    deployment_config: DeploymentConfigTypeDef | None = None,
    tags: Sequence[TagTypeDef] = (),
) -> Document:
    """Begin creating an endpoint. `deployment_config` is kept for updates that retain it."""
    arn = ResourceArn(ResourceKind.ENDPOINT, call.account, call.region, endpoint_name)
    seen = call.live.capacity()
    with call.store.transaction() as tx:
        config = tx.endpoint_configs.get(call.account, call.region, endpoint_config_name)
        models = _models(call, tx, config)
        decision = begin_create(
            config,
            models,
            name=endpoint_name,
            arn=str(arn),
            generation=secrets.token_hex(5),
            deployment_config=deployment_config,
            alarms=tx.alarms.states(call.account, call.region, alarm_names(deployment_config)),
            now=call.now,
        )
        decision = with_roles_told(decision, tx, call, config, models)
        decision = with_capacity_told(decision, call, seen)
        tx.endpoints.add(with_kept_told(decision, call, config, models))
        tx.tags.set(arn, with_tags({}, tags))
    return {"EndpointArn": str(arn)}


@operation("sagemaker", "DescribeEndpoint", on=(touches.endpoint,))
def describe_endpoint(call: Call, *, endpoint_name: str) -> Document:
    """An endpoint as it is: what serves, what is on its way, and how far it has got."""
    with call.store.reading() as records:
        record = records.endpoints.get(call.account, call.region, endpoint_name)
    call.warnings.extend(sentences(_kept_of(record)))
    warn_of_capacity(call, record)
    return describe(record.endpoint, record.deployment, record.facts)


@operation("sagemaker", "ListEndpoints", on=(anything,))
def list_endpoints(
    call: Call,
    *,
    sort_by: EndpointSortKeyType = "CreationTime",
    sort_order: OrderKeyType = "Descending",
    next_token: str | None = None,
    max_results: int = PAGE_SIZE,
    name_contains: str | None = None,
    creation_time_before: float | None = None,
    creation_time_after: float | None = None,
    last_modified_time_before: float | None = None,
    last_modified_time_after: float | None = None,
    status_equals: EndpointStatusType | None = None,
) -> Document:
    """Endpoints of the account and region, page by page."""
    listing = Listing.of(
        call,
        "ListEndpoints",
        sort_by=sort_by,
        sort_order=sort_order,
        max_results=max_results,
        name_contains=name_contains,
        creation_time_before=creation_time_before,
        creation_time_after=creation_time_after,
        last_modified_time_before=last_modified_time_before,
        last_modified_time_after=last_modified_time_after,
        status_equals=status_equals,
    )
    with call.store.reading() as records:
        page = records.endpoints.page(listing.from_token(next_token))
    lines = [
        {
            "EndpointName": line.name,
            "EndpointArn": line.arn,
            "CreationTime": line.created_at,
            "LastModifiedTime": line.modified_at,
            "EndpointStatus": line.status,
        }
        for line in page.lines
    ]
    return listing.answer("Endpoints", lines, page)


@operation("sagemaker", "UpdateEndpoint", on=(touches.endpoint, touches.endpoint_config))
def update_endpoint(
    call: Call,
    *,
    endpoint_name: str,
    endpoint_config_name: str,
    retain_all_variant_properties: bool = False,
    exclude_retained_variant_properties: Sequence[Document] = (),
    deployment_config: DeploymentConfigTypeDef | None = None,
    retain_deployment_config: bool = False,
) -> Document:
    """Begin moving an endpoint to another endpoint config.

    AWS also wants the record of the present config to exist; here its snapshot does.
    """
    seen = call.live.capacity()
    with call.store.transaction() as tx:
        record = tx.endpoints.get(call.account, call.region, endpoint_name)
        config = tx.endpoint_configs.get(call.account, call.region, endpoint_config_name)
        policy = effective_deployment_config(
            record.endpoint, deployment_config, retain_deployment_config
        )
        models = _models(call, tx, config)
        decision = begin_update(
            record.endpoint,
            record.deployment,
            config,
            models,
            deployment_config=deployment_config,
            retain_all_variant_properties=retain_all_variant_properties,
            exclude_retained_variant_properties=exclude_retained_variant_properties,
            retain_deployment_config=retain_deployment_config,
            alarms=tx.alarms.states(call.account, call.region, alarm_names(policy)),
            now=call.now,
        )
        decision = with_roles_told(decision, tx, call, config, models)
        decision = with_capacity_told(decision, call, seen)
        tx.endpoints.save(record, with_kept_told(decision, call, config, models))
    return {"EndpointArn": record.endpoint.arn}


@operation("sagemaker", "UpdateEndpointWeightsAndCapacities", on=(touches.endpoint,))
def update_endpoint_weights_and_capacities(
    call: Call,
    *,
    endpoint_name: str,
    desired_weights_and_capacities: Sequence[DesiredWeightAndCapacityTypeDef],
) -> Document:
    """Begin changing weights or instance counts in place, without a new fleet."""
    for desired in desired_weights_and_capacities:
        refuse_unsupported("DesiredWeightAndCapacity", desired, "DesiredWeightsAndCapacities.")
    seen = call.live.capacity()
    with call.store.transaction() as tx:
        record = tx.endpoints.get(call.account, call.region, endpoint_name)
        decision = begin_update_weights_and_capacities(
            record.endpoint, record.deployment, desired_weights_and_capacities, now=call.now
        )
        tx.endpoints.save(record, with_capacity_told(decision, call, seen))
    return {"EndpointArn": record.endpoint.arn}


@operation("sagemaker", "DeleteEndpoint", on=(touches.endpoint,))
def delete_endpoint(call: Call, *, endpoint_name: str) -> None:
    """Begin deleting an endpoint. Its config and models stay."""
    with call.store.transaction() as tx:
        record = tx.endpoints.get(call.account, call.region, endpoint_name)
        decision = begin_delete(record.endpoint, record.deployment, now=call.now)
        tx.endpoints.save(record, decision)


def _kept_of(record: EndpointRecord) -> Kept:
    """Of what it serves, and of what is on its way."""
    endpoint, deployment = record.endpoint, record.deployment
    configs = (each for each in (endpoint.config, deployment.config) if each is not None)
    fleets = (*endpoint.fleets, *deployment.new)
    return kept_of_endpoint(configs, (fleet.model for fleet in fleets if fleet.model is not None))


def _models(call: Call, records: Reading, config: EndpointConfig) -> Mapping[str, Model]:
    """The models that a config names. Raises AWS's not-found if one was deleted since."""
    return {
        variant.model_name: records.models.get(call.account, call.region, variant.model_name)
        for variant in config.variants
    }
