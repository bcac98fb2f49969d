"""What InService makes of every field of the hosting requests. One table, nothing beside it.

Each shape of AWS's model has a row for each of its members, and each row has a standing:

- HONOURED: it does what it does on AWS. `accepts` narrows that to certain values.
- KEPT: it is about AWS's machines and has no effect on one's own. It is kept, described as AWS
  describes it, and whoever sent it is warned; a server that is strict refuses it.
- REFUSED: it would change what a model does, or what is seen of it, and is not built. The call
  fails and names the field.

So a stack that was written for AWS runs here unless a field of it would have to do something; and
nobody has to find out by themselves that a field did nothing.

A member without a row is refused as well, so a field that AWS adds tomorrow is never swallowed. The
tests walk from the requests through AWS's model, as far as anything is taken, and hold the table
against what they find; the reference page is generated from it. Warnings follow from a record's
document and are kept nowhere: what is said of a record of long ago is what is true of it today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inservice.errors import NotImplementedYet


class Standing(StrEnum):
    """What happens to a field."""

    HONOURED = "honoured"
    KEPT = "kept"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a shape."""

    standing: Standing
    says: str = ""  # why it is kept or refused, or what of it is honoured
    accepts: tuple[object, ...] = ()  # the only values that are; empty: all that AWS's model allows
    shape: str = ""  # the shape of the value, or of its elements, when that is a structure
    idle: tuple[object, ...] = ()
    """Of one that is kept: values that ask for nothing, and are no reason to warn. A structure is
    one if it says what one of these says."""

    def asks_nothing(self, value: object) -> bool:
        """Whether this value wants what is here anyway."""
        if isinstance(value, Mapping):
            saying = (each for each in self.idle if isinstance(each, Mapping))
            return any(each.items() <= value.items() for each in saying)
        return value in self.idle


_HONOURED = Field(Standing.HONOURED)
_PART = Field(Standing.KEPT, "with what it is in")
_CONTAINER = Field(Standing.HONOURED, shape="ContainerDefinition")
_TAGS = Field(Standing.HONOURED, shape="Tag")
_ROLE = Field(
    Standing.HONOURED,
    "one that exists here is what model data is read and code runs as; of one that does not, "
    "see `INSERVICE_EXECUTION_ROLES`",
)
_SINGLE_CONTAINER = Field(
    Standing.HONOURED, "exactly one container; no pipelines", shape="ContainerDefinition"
)
_DEPLOYMENT = Field(Standing.HONOURED, shape="DeploymentConfig")
_CAPACITY = Field(Standing.HONOURED, shape="CapacitySize")


def _kept(says: str, *idle: object, shape: str = "") -> Field:
    return Field(Standing.KEPT, says, idle=idle, shape=shape)


def _refused(says: str) -> Field:
    return Field(Standing.REFUSED, says)


def _only(*values: object, says: str) -> Field:
    return Field(Standing.HONOURED, says, accepts=values)


def _honoured(*members: str) -> dict[str, Field]:
    return dict.fromkeys(members, _HONOURED)


def _parts(*members: str) -> dict[str, Field]:
    """The members of a structure that is kept as a whole, and warned about as one."""
    return dict.fromkeys(members, _PART)


_MODEL: Mapping[str, Mapping[str, Field]] = {
    "CreateModelInput": {
        "ModelName": _HONOURED,
        "PrimaryContainer": _CONTAINER,
        "Containers": _SINGLE_CONTAINER,
        "InferenceExecutionConfig": Field(Standing.HONOURED, shape="InferenceExecutionConfig"),
        "ExecutionRoleArn": _ROLE,
        "Tags": _TAGS,
        "VpcConfig": _kept("there are no VPCs to attach a model to", shape="VpcConfig"),
        "EnableNetworkIsolation": _HONOURED,
    },
    "VpcConfig": _parts("SecurityGroupIds", "Subnets"),
    "InferenceExecutionConfig": {
        "Mode": _only("Serial", says="one container has nothing to be called beside"),
    },
    "ContainerDefinition": {
        "ContainerHostname": _HONOURED,
        "Image": _HONOURED,
        "ImageConfig": _kept(
            "an image is found by this host, wherever its registry is",
            {"RepositoryAccessMode": "Platform"},
            shape="ImageConfig",
        ),
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
        "RepositoryAccessMode": _PART,
        "RepositoryAuthConfig": Field(
            Standing.KEPT, "with what it is in", shape="RepositoryAuthConfig"
        ),
    },
    "RepositoryAuthConfig": _parts("RepositoryCredentialsProviderArn"),
    "ModelDataSource": {
        "S3DataSource": Field(Standing.HONOURED, shape="S3ModelDataSource"),
    },
    "S3ModelDataSource": {
        "S3Uri": _HONOURED,
        "S3DataType": _HONOURED,
        "CompressionType": _HONOURED,
        "ModelAccessConfig": Field(
            Standing.HONOURED,
            "accepting a license is between you and its owner",
            shape="ModelAccessConfig",
        ),
        "HubAccessConfig": _refused("there is no JumpStart hub"),
        "ManifestS3Uri": _refused("artifacts are fetched by object or by prefix"),
        "ETag": _refused("an artifact is not pinned to a version of its object"),
        "ManifestEtag": _refused("artifacts are fetched by object or by prefix"),
    },
    "ModelAccessConfig": _honoured("AcceptEula"),
    "Tag": _honoured("Key", "Value"),
}

_ENDPOINT_CONFIG: Mapping[str, Mapping[str, Field]] = {
    "CreateEndpointConfigInput": {
        "EndpointConfigName": _HONOURED,
        "ProductionVariants": Field(Standing.HONOURED, shape="ProductionVariant"),
        "DataCaptureConfig": Field(Standing.HONOURED, shape="DataCaptureConfig"),
        "Tags": _TAGS,
        "KmsKeyId": _kept("there is no KMS; encrypt the disk of the data directory"),
        "AsyncInferenceConfig": _refused("asynchronous inference does not run here"),
        "ExplainerConfig": _refused("there is no explainer"),
        "ShadowProductionVariants": _refused("shadow variants do not run here"),
        "ExecutionRoleArn": _ROLE,
        "VpcConfig": _kept("there are no VPCs to attach an endpoint to", shape="VpcConfig"),
        "EnableNetworkIsolation": _only(
            False, says="isolation is set on the model; here it is for inference components"
        ),
        "MetricsConfig": Field(Standing.HONOURED, shape="MetricsConfig"),
        "CrossRegionTrafficConfig": _kept(
            "there are no inference routers to send anything from another region",
            shape="CrossRegionTrafficConfig",
        ),
    },
    "ProductionVariant": {
        "VariantName": _HONOURED,
        "ModelName": _HONOURED,
        "InitialInstanceCount": _HONOURED,
        "InstanceType": Field(
            Standing.HONOURED,
            "what of your host an instance has: see `INSERVICE_LIMITS` and `INSERVICE_GPUS`",
        ),
        "InstancePools": _kept(
            "where there is no InstanceType, the first by priority is it, and no other is tried",
            shape="InstancePool",
        ),
        "VariantInstanceProvisionTimeoutInSeconds": _kept("no capacity is waited for"),
        "InitialVariantWeight": _HONOURED,
        "AcceleratorType": _kept("Elastic Inference is gone from AWS as well"),
        "CoreDumpConfig": _kept(
            "core dumps are not collected", shape="ProductionVariantCoreDumpConfig"
        ),
        "ServerlessConfig": _refused("serverless inference does not run here"),
        "VolumeSizeInGB": _kept("instances use the disk of their host"),
        "ModelDataDownloadTimeoutInSeconds": _HONOURED,
        "ContainerStartupHealthCheckTimeoutInSeconds": _HONOURED,
        "EnableSSMAccess": _kept("there is no Systems Manager to log in with", False),
        "ManagedInstanceScaling": _kept(
            "the number of instances stays what you say",
            {"Status": "DISABLED"},
            shape="ProductionVariantManagedInstanceScaling",
        ),
        "RoutingConfig": Field(Standing.HONOURED, shape="ProductionVariantRoutingConfig"),
        "InferenceAmiVersion": _kept("your hosts keep the system they have"),
        "CapacityReservationConfig": _kept(
            "there is no capacity to reserve", shape="ProductionVariantCapacityReservationConfig"
        ),
        "AcceleratorPartitionLayouts": _kept(
            "accelerators are as your hosts partition them", shape="AcceleratorPartitionLayout"
        ),
    },
    "InstancePool": {
        "InstanceType": _PART,
        "Priority": _PART,
        "ModelNameOverride": _refused("a variant has one model"),
    },
    "ProductionVariantCoreDumpConfig": _parts("DestinationS3Uri", "KmsKeyId"),
    "ProductionVariantManagedInstanceScaling": {
        **_parts("Status", "MinInstanceCount", "MaxInstanceCount"),
        "ScaleInPolicy": Field(
            Standing.KEPT, shape="ProductionVariantManagedInstanceScalingScaleInPolicy"
        ),
    },
    "ProductionVariantManagedInstanceScalingScaleInPolicy": _parts(
        "Strategy", "MaximumStepSize", "CooldownInMinutes"
    ),
    "ProductionVariantCapacityReservationConfig": _parts(
        "CapacityReservationPreference", "MlReservationArn"
    ),
    "AcceleratorPartitionLayout": _parts("AcceleratorPartitionTypes"),
    "ProductionVariantRoutingConfig": {
        "RoutingStrategy": _only(
            "RANDOM",
            "LEAST_OUTSTANDING_REQUESTS",
            says="the gateway routes by these two strategies",
        ),
        "PrefixAwareRoutingConfig": _refused("the gateway does not read prompts"),
    },
    "DataCaptureConfig": {
        "EnableCapture": _only(False, says="invocations are not captured; absent means they are"),
        **_honoured("InitialSamplingPercentage", "DestinationS3Uri", "KmsKeyId"),
        "CaptureOptions": Field(Standing.HONOURED, shape="CaptureOption"),
        "CaptureContentTypeHeader": Field(Standing.HONOURED, shape="CaptureContentTypeHeader"),
    },
    "CaptureOption": _honoured("CaptureMode"),
    "CaptureContentTypeHeader": _honoured("CsvContentTypes", "JsonContentTypes"),
    "MetricsConfig": {
        "EnableEnhancedMetrics": _kept("metrics have the dimensions that they always have", False),
        "EnableDetailedObservability": _kept(
            "containers and accelerators are measured as they always are", False
        ),
        "MetricPublishFrequencyInSeconds": Field(
            Standing.HONOURED, "every metric is kept by the second anyway"
        ),
    },
    "CrossRegionTrafficConfig": _parts(
        "MaxInvocationsPerSecondPerInstance", "MaxCrossRegionPercentPerEndpoint"
    ),
}

_ENDPOINT: Mapping[str, Mapping[str, Field]] = {
    "CreateEndpointInput": {
        **_honoured("EndpointName", "EndpointConfigName"),
        "DeploymentConfig": _DEPLOYMENT,
        "Tags": _TAGS,
    },
    "UpdateEndpointInput": {
        **_honoured("EndpointName", "EndpointConfigName", "RetainAllVariantProperties"),
        "ExcludeRetainedVariantProperties": Field(Standing.HONOURED, shape="VariantProperty"),
        "DeploymentConfig": _DEPLOYMENT,
        "RetainDeploymentConfig": _HONOURED,
    },
    "VariantProperty": {
        "VariantPropertyType": Field(
            Standing.HONOURED, "`DataCaptureConfig` is the new config's in any case"
        ),
    },
    "UpdateEndpointWeightsAndCapacitiesInput": {
        "EndpointName": _HONOURED,
        "DesiredWeightsAndCapacities": Field(Standing.HONOURED, shape="DesiredWeightAndCapacity"),
    },
    "DesiredWeightAndCapacity": {
        **_honoured("VariantName", "DesiredWeight", "DesiredInstanceCount"),
        "ServerlessUpdateConfig": _refused("serverless inference does not run here"),
    },
    "DeploymentConfig": {
        "BlueGreenUpdatePolicy": Field(Standing.HONOURED, shape="BlueGreenUpdatePolicy"),
        "RollingUpdatePolicy": Field(Standing.HONOURED, shape="RollingUpdatePolicy"),
        "AutoRollbackConfiguration": Field(Standing.HONOURED, shape="AutoRollbackConfig"),
    },
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": Field(Standing.HONOURED, shape="TrafficRoutingConfig"),
        **_honoured("TerminationWaitInSeconds", "MaximumExecutionTimeoutInSeconds"),
    },
    "TrafficRoutingConfig": {
        **_honoured("Type", "WaitIntervalInSeconds"),
        "CanarySize": _CAPACITY,
        "LinearStepSize": _CAPACITY,
    },
    "CapacitySize": _honoured("Type", "Value"),
    "RollingUpdatePolicy": {
        "MaximumBatchSize": _CAPACITY,
        **_honoured("WaitIntervalInSeconds", "MaximumExecutionTimeoutInSeconds"),
        "RollbackMaximumBatchSize": _CAPACITY,
    },
    "AutoRollbackConfig": {"Alarms": Field(Standing.HONOURED, shape="Alarm")},
    "Alarm": _honoured("AlarmName"),
}

SHAPES: Mapping[str, Mapping[str, Field]] = {**_MODEL, **_ENDPOINT_CONFIG, **_ENDPOINT}


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


def without_effect(shape: str, document: Mapping[str, Any]) -> Mapping[str, str]:
    """The members of a document that are kept and do nothing, and why: each once, in however many
    variants it is. What is refused is not looked for. It is asked for each DescribeEndpoint."""
    return dict(_kept_in(shape, document, ""))


def _kept_in(shape: str, document: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    rows = _LEADING[shape]
    for member, value in document.items():
        field = rows.get(member)
        if field is None or value is None or value == []:
            continue
        if field.standing is Standing.KEPT:
            if not field.asks_nothing(value):
                yield f"{path}{member}", field.says
            continue
        for element in value if isinstance(value, list) else (value,):
            yield from _kept_in(field.shape, element, f"{path}{member}.")


def _leads(field: Field) -> bool:
    """Whether something is kept here, or within."""
    if field.standing is Standing.KEPT:
        return True
    within = SHAPES.get(field.shape, {}).values()
    return field.standing is Standing.HONOURED and any(map(_leads, within))


_LEADING: Mapping[str, Mapping[str, Field]] = {
    shape: {member: field for member, field in rows.items() if _leads(field)}
    for shape, rows in SHAPES.items()
}
"""Of each table, the rows that a warning is found by: most requests have few of them."""
