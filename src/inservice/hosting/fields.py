"""What InService makes of every field of the hosting requests. One table, nothing beside it.

Each shape of AWS's model has a row for each of its members, and each row has a standing:

- HONOURED: it does what it does on AWS. `accepts` narrows that to certain values.
- ECHOED: it is about AWS's machines and means nothing on one's own; it is kept and described.
- REFUSED: it asks for something that InService cannot do yet. The call fails and names the field.

A member without a row is refused as well, so a field that AWS adds tomorrow is never swallowed. The
tests hold the table against botocore's model, and the reference page is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inservice.errors import NotImplementedYet


class Standing(StrEnum):
    """What happens to a field."""

    HONOURED = "honoured"
    ECHOED = "echoed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a shape."""

    standing: Standing
    says: str = ""  # why it is echoed or refused, or what of it is honoured
    accepts: tuple[object, ...] = ()  # the only values that are; empty: all that AWS's model allows
    shape: str = ""  # the shape of the value, or of its elements, when that has rows of its own


_HONOURED = Field(Standing.HONOURED)
_CONTAINER = Field(Standing.HONOURED, shape="ContainerDefinition")
_ROLE = Field(Standing.ECHOED, "models run with the rights of this server; no role is assumed")
_SINGLE_CONTAINER = Field(
    Standing.HONOURED, "exactly one container; no pipelines", shape="ContainerDefinition"
)


def _echoed(says: str) -> Field:
    return Field(Standing.ECHOED, says)


def _refused(says: str) -> Field:
    return Field(Standing.REFUSED, says)


def _only(*values: object, says: str) -> Field:
    return Field(Standing.HONOURED, says, accepts=values)


SHAPES: Mapping[str, Mapping[str, Field]] = {
    "CreateModelInput": {
        "ModelName": _HONOURED,
        "PrimaryContainer": _CONTAINER,
        "Containers": _SINGLE_CONTAINER,
        "InferenceExecutionConfig": Field(Standing.HONOURED, shape="InferenceExecutionConfig"),
        "ExecutionRoleArn": _ROLE,
        "Tags": _HONOURED,
        "VpcConfig": _refused("there are no VPCs to attach a model to"),
        "EnableNetworkIsolation": _HONOURED,
    },
    "InferenceExecutionConfig": {
        "Mode": _only("Serial", says="one container has nothing to be called beside"),
    },
    "ContainerDefinition": {
        "ContainerHostname": _HONOURED,
        "Image": _HONOURED,
        "ImageConfig": Field(Standing.ECHOED, shape="ImageConfig"),
        "Mode": _only("SingleModel", says="multi-model endpoints do not run here"),
        "ModelDataUrl": _HONOURED,
        "ModelDataSource": Field(Standing.HONOURED, shape="ModelDataSource"),
        "AdditionalModelDataSources": _refused("a container has one model directory"),
        "Environment": _HONOURED,
        "ModelPackageName": _refused("there is no model registry; give Image and ModelDataUrl"),
        "InferenceSpecificationName": _refused("it belongs to model packages"),
        "MultiModelConfig": _refused("multi-model endpoints do not run here"),
        "ContainerMetricsConfig": _refused("metrics of containers are not scraped"),
    },
    "ImageConfig": {
        "RepositoryAccessMode": Field(
            Standing.ECHOED, "there are no VPCs with registries in them", accepts=("Platform",)
        ),
        "RepositoryAuthConfig": _refused("it belongs to registries in a VPC"),
    },
    "ModelDataSource": {
        "S3DataSource": Field(Standing.HONOURED, shape="S3ModelDataSource"),
    },
    "S3ModelDataSource": {
        "S3Uri": _HONOURED,
        "S3DataType": _HONOURED,
        "CompressionType": _HONOURED,
        "ModelAccessConfig": _echoed("accepting a license is between you and its owner"),
        "HubAccessConfig": _refused("there is no JumpStart hub"),
        "ManifestS3Uri": _refused("artifacts are fetched by object or by prefix"),
        "ETag": _refused("an artifact is not pinned to a version of its object"),
        "ManifestEtag": _refused("artifacts are fetched by object or by prefix"),
    },
    "CreateEndpointConfigInput": {
        "EndpointConfigName": _HONOURED,
        "ProductionVariants": Field(Standing.HONOURED, shape="ProductionVariant"),
        "DataCaptureConfig": _refused("invocations are not captured"),
        "Tags": _HONOURED,
        "KmsKeyId": _refused("there is no KMS; encrypt the disk of the data directory"),
        "AsyncInferenceConfig": _refused("asynchronous inference does not run here"),
        "ExplainerConfig": _refused("there is no explainer"),
        "ShadowProductionVariants": _refused("shadow variants do not run here"),
        "ExecutionRoleArn": _ROLE,
        "VpcConfig": _refused("there are no VPCs to attach an endpoint to"),
        "EnableNetworkIsolation": _only(
            False, says="isolation is set on the model; here it is for inference components"
        ),
        "MetricsConfig": _echoed("every metric is kept at one-second resolution as it is"),
        "CrossRegionTrafficConfig": _refused("there are no inference routers"),
    },
    "ProductionVariant": {
        "VariantName": _HONOURED,
        "ModelName": _HONOURED,
        "InitialInstanceCount": _HONOURED,
        "InstanceType": _echoed("an instance is a process or container on your own hosts"),
        "InstancePools": _refused("there are no instance types to choose between"),
        "VariantInstanceProvisionTimeoutInSeconds": _echoed("no capacity is waited for"),
        "InitialVariantWeight": _HONOURED,
        "AcceleratorType": _refused("Elastic Inference is gone from AWS as well"),
        "CoreDumpConfig": _refused("core dumps are not collected"),
        "ServerlessConfig": _refused("serverless inference does not run here"),
        "VolumeSizeInGB": _echoed("instances use the disk of their host"),
        "ModelDataDownloadTimeoutInSeconds": _HONOURED,
        "ContainerStartupHealthCheckTimeoutInSeconds": _HONOURED,
        "EnableSSMAccess": Field(
            Standing.ECHOED, "there is no Systems Manager to log in with", accepts=(False,)
        ),
        "ManagedInstanceScaling": _refused("it belongs to inference components"),
        "RoutingConfig": Field(Standing.HONOURED, shape="ProductionVariantRoutingConfig"),
        "InferenceAmiVersion": _echoed("your hosts keep the system they have"),
        "CapacityReservationConfig": _refused("there is no capacity to reserve"),
        "AcceleratorPartitionLayouts": _refused("accelerators are not partitioned"),
    },
    "ProductionVariantRoutingConfig": {
        "RoutingStrategy": _only(
            "RANDOM",
            "LEAST_OUTSTANDING_REQUESTS",
            says="the gateway routes by these two strategies",
        ),
        "PrefixAwareRoutingConfig": _refused("the gateway does not read prompts"),
    },
    "CreateEndpointInput": {
        "EndpointName": _HONOURED,
        "EndpointConfigName": _HONOURED,
        "DeploymentConfig": _HONOURED,
        "Tags": _HONOURED,
    },
    "UpdateEndpointInput": {
        "EndpointName": _HONOURED,
        "EndpointConfigName": _HONOURED,
        "RetainAllVariantProperties": _HONOURED,
        "ExcludeRetainedVariantProperties": Field(Standing.HONOURED, shape="VariantProperty"),
        "DeploymentConfig": _HONOURED,
        "RetainDeploymentConfig": _HONOURED,
    },
    "VariantProperty": {
        "VariantPropertyType": _only(
            "DesiredInstanceCount", "DesiredWeight", says="invocations are not captured"
        ),
    },
    "UpdateEndpointWeightsAndCapacitiesInput": {
        "EndpointName": _HONOURED,
        "DesiredWeightsAndCapacities": Field(Standing.HONOURED, shape="DesiredWeightAndCapacity"),
    },
    "DesiredWeightAndCapacity": {
        "VariantName": _HONOURED,
        "DesiredWeight": _HONOURED,
        "DesiredInstanceCount": _HONOURED,
        "ServerlessUpdateConfig": _refused("serverless inference does not run here"),
    },
}


def refuse_unsupported(shape: str, document: Mapping[str, Any], path: str = "") -> None:
    """Raise NotImplementedYet for the first member that asks for what InService cannot do.

    `path` is where `document` stands in the request, "" or ending in a dot. An empty list asks for
    nothing, and passes.
    """
    for member, value in document.items():
        where = f"{path}{member}"
        field = SHAPES[shape].get(member)
        if field is None:
            raise NotImplementedYet(f"'{where}'", "this version does not know the field")
        if value is None or value == []:
            continue
        if field.standing is Standing.REFUSED:
            raise NotImplementedYet(f"'{where}'", field.says)
        if field.accepts and value not in field.accepts:
            raise NotImplementedYet(f"the value '{value}' at '{where}'", field.says)
        if field.shape and isinstance(value, list):
            for index, element in enumerate(value):
                refuse_unsupported(field.shape, element, f"{where}[{index}].")
        elif field.shape:
            refuse_unsupported(field.shape, value, f"{where}.")
