"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.model import Model
from inservice.hosting.tags import with_tags
from inservice.operations.registry import Call, Document, given, operation
from inservice.operations.sagemaker import touches
from inservice.operations.sagemaker.execution_roles import check_execution_role
from inservice.operations.sagemaker.kept import kept_of_model, sentences, warn
from inservice.operations.sagemaker.listing import PAGE_SIZE, Listing
from inservice.operations.sagemaker.model_data import check_model_data
from inservice.operations.touches import anything

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import ModelSortKeyType, OrderKeyType
    from types_boto3_sagemaker.type_defs import (
        ContainerDefinitionTypeDef,
        InferenceExecutionConfigTypeDef,
        TagTypeDef,
        VpcConfigTypeDef,
    )


@operation("sagemaker", "CreateModel", on=(touches.new_model, touches.execution_role))
def create_model(
    call: Call,
    *,
    model_name: str,
    primary_container: ContainerDefinitionTypeDef | None = None,
    containers: Sequence[ContainerDefinitionTypeDef] | None = None,
    inference_execution_config: InferenceExecutionConfigTypeDef | None = None,
    execution_role_arn: str | None = None,
    tags: Sequence[TagTypeDef] = (),
    vpc_config: VpcConfigTypeDef | None = None,
    enable_network_isolation: bool | None = None,
) -> Document:
    """Record what serves and what it loads. Nothing is fetched before an endpoint needs it; data in
    a bucket of this server has to be there, and to be readable for the execution role."""
    document = given(
        ModelName=model_name,
        PrimaryContainer=primary_container,
        Containers=containers,
        InferenceExecutionConfig=inference_execution_config,
        ExecutionRoleArn=execution_role_arn,
        VpcConfig=vpc_config,
        EnableNetworkIsolation=enable_network_isolation,
    )
    model = Model.from_document(document, account=call.account, region=call.region, now=call.now)
    warn(call, kept_of_model(document))
    arn = ResourceArn(ResourceKind.MODEL, call.account, call.region, model_name)
    with call.store.reading() as records:
        check_execution_role(records, call, execution_role_arn, arn)
    check_model_data(call, model)  # looks into the storage, so not while others wait to write
    with call.store.transaction() as tx:
        check_execution_role(tx, call, execution_role_arn, arn)
        tx.models.add(model)
        tx.tags.set(arn, with_tags({}, tags))
    return {"ModelArn": model.arn}


@operation("sagemaker", "DescribeModel", on=(touches.model,))
def describe_model(call: Call, *, model_name: str) -> Document:
    """A model as it was created, without its tags."""
    with call.store.reading() as records:
        model = records.models.get(call.account, call.region, model_name)
    call.warnings.extend(sentences(kept_of_model(model.document)))
    return {**model.document, "ModelArn": model.arn, "CreationTime": model.created_at}


@operation("sagemaker", "ListModels", on=(anything,))
def list_models(
    call: Call,
    *,
    sort_by: ModelSortKeyType = "CreationTime",
    sort_order: OrderKeyType = "Descending",
    next_token: str | None = None,
    max_results: int = PAGE_SIZE,
    name_contains: str | None = None,
    creation_time_before: float | None = None,
    creation_time_after: float | None = None,
) -> Document:
    """Models of the account and region, page by page."""
    listing = Listing.of(
        call,
        "ListModels",
        sort_by=sort_by,
        sort_order=sort_order,
        max_results=max_results,
        name_contains=name_contains,
        creation_time_before=creation_time_before,
        creation_time_after=creation_time_after,
    )
    with call.store.reading() as records:
        page = records.models.page(listing.from_token(next_token))
    lines = [
        {"ModelName": line.name, "ModelArn": line.arn, "CreationTime": line.created_at}
        for line in page.lines
    ]
    return listing.answer("Models", lines, page)


@operation("sagemaker", "DeleteModel", on=(touches.model,))
def delete_model(call: Call, *, model_name: str) -> None:
    """Forget a model. Endpoints that serve it keep their own copy and are not touched."""
    with call.store.transaction() as tx:
        tx.models.delete(call.account, call.region, model_name)
