"""CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.tags import with_tags
from inservice.operations.registry import Call, Document, given, operation
from inservice.operations.sagemaker import touches
from inservice.operations.sagemaker.execution_roles import check_execution_role
from inservice.operations.sagemaker.kept import kept_of_config, sentences, warn
from inservice.operations.sagemaker.listing import PAGE_SIZE, Listing
from inservice.operations.touches import anything

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import EndpointConfigSortKeyType, OrderKeyType
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigTypeDef,
        DataCaptureConfigTypeDef,
        ExplainerConfigTypeDef,
        MetricsConfigTypeDef,
        ProductionVariantTypeDef,
        TagTypeDef,
        VpcConfigTypeDef,
    )


@operation(
    "sagemaker", "CreateEndpointConfig", on=(touches.new_endpoint_config, touches.execution_role)
)
def create_endpoint_config(
    call: Call,
    *,
    endpoint_config_name: str,
    production_variants: Sequence[ProductionVariantTypeDef],
    data_capture_config: DataCaptureConfigTypeDef | None = None,
    tags: Sequence[TagTypeDef] = (),
    kms_key_id: str | None = None,
    async_inference_config: AsyncInferenceConfigTypeDef | None = None,
    explainer_config: ExplainerConfigTypeDef | None = None,
    shadow_production_variants: Sequence[ProductionVariantTypeDef] | None = None,
    execution_role_arn: str | None = None,
    vpc_config: VpcConfigTypeDef | None = None,
    enable_network_isolation: bool | None = None,
    metrics_config: MetricsConfigTypeDef | None = None,
    cross_region_traffic_config: Document | None = None,
) -> Document:
    """Record which models an endpoint would serve. They must exist now, not for ever."""
    document = given(
        EndpointConfigName=endpoint_config_name,
        ProductionVariants=production_variants,
        DataCaptureConfig=data_capture_config,
        KmsKeyId=kms_key_id,
        AsyncInferenceConfig=async_inference_config,
        ExplainerConfig=explainer_config,
        ShadowProductionVariants=shadow_production_variants,
        ExecutionRoleArn=execution_role_arn,
        VpcConfig=vpc_config,
        EnableNetworkIsolation=enable_network_isolation,
        MetricsConfig=metrics_config,
        CrossRegionTrafficConfig=cross_region_traffic_config,
    )
    account, region = call.account, call.region
    config = EndpointConfig.from_document(document, account=account, region=region, now=call.now)
    warn(call, kept_of_config(document))
    arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, endpoint_config_name)
    with call.store.transaction() as tx:
        check_execution_role(tx, call, execution_role_arn, arn)
        for variant in config.variants:
            tx.models.get(account, region, variant.model_name)  # raises AWS's not-found
        tx.endpoint_configs.add(config)
        tx.tags.set(arn, with_tags({}, tags))
    return {"EndpointConfigArn": config.arn}


@operation("sagemaker", "DescribeEndpointConfig", on=(touches.endpoint_config,))
def describe_endpoint_config(call: Call, *, endpoint_config_name: str) -> Document:
    """An endpoint config as it was created, without its tags."""
    with call.store.reading() as records:
        config = records.endpoint_configs.get(call.account, call.region, endpoint_config_name)
    call.warnings.extend(sentences(kept_of_config(config.document)))
    return {
        **config.document,
        "EndpointConfigArn": config.arn,
        "CreationTime": config.created_at,
    }


@operation("sagemaker", "ListEndpointConfigs", on=(anything,))
def list_endpoint_configs(
    call: Call,
    *,
    sort_by: EndpointConfigSortKeyType = "CreationTime",
    sort_order: OrderKeyType = "Descending",
    next_token: str | None = None,
    max_results: int = PAGE_SIZE,
    name_contains: str | None = None,
    creation_time_before: float | None = None,
    creation_time_after: float | None = None,
) -> Document:
    """Endpoint configs of the account and region, page by page."""
    listing = Listing.of(
        call,
        "ListEndpointConfigs",
        sort_by=sort_by,
        sort_order=sort_order,
        max_results=max_results,
        name_contains=name_contains,
        creation_time_before=creation_time_before,
        creation_time_after=creation_time_after,
    )
    with call.store.reading() as records:
        page = records.endpoint_configs.page(listing.from_token(next_token))
    lines = [
        {
            "EndpointConfigName": line.name,
            "EndpointConfigArn": line.arn,
            "CreationTime": line.created_at,
        }
        for line in page.lines
    ]
    return listing.answer("EndpointConfigs", lines, page)


@operation("sagemaker", "DeleteEndpointConfig", on=(touches.endpoint_config,))
def delete_endpoint_config(call: Call, *, endpoint_config_name: str) -> None:
    """Forget an endpoint config, in use or not: endpoints keep their own copy."""
    with call.store.transaction() as tx:
        tx.endpoint_configs.delete(call.account, call.region, endpoint_config_name)
