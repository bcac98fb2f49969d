"""What CreateEndpointConfig's document becomes, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from inservice.errors import NotImplementedYet, ValidationException
from inservice.hosting.endpoint_config import (
    EndpointConfig,
    ProductionVariant,
    RoutingStrategy,
    weight_of,
)


def variant(**members: Any) -> dict[str, Any]:
    return {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1, **members}


def made(*variants: dict[str, Any], **members: Any) -> EndpointConfig:
    document = {"EndpointConfigName": "c", "ProductionVariants": list(variants), **members}
    return EndpointConfig.from_document(
        document, account="000000000000", region="us-east-1", now=5.0
    )


def test_the_documented_defaults() -> None:
    assert made(variant()).variants == (
        ProductionVariant(
            name="A",
            model_name="m",
            instance_type=None,
            initial_instance_count=1,
            initial_weight=Fraction(1),
            routing_strategy=RoutingStrategy.RANDOM,
            download_timeout_seconds=3600,
            startup_timeout_seconds=480,
            document=variant(),
        ),
    )


def test_every_member_that_is_honoured() -> None:
    config = made(
        variant(
            InstanceType="ml.m5.large",
            InitialInstanceCount=3,
            InitialVariantWeight=0.1,
            ModelDataDownloadTimeoutInSeconds=60,
            ContainerStartupHealthCheckTimeoutInSeconds=61,
            RoutingConfig={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        )
    )
    (only,) = config.variants
    assert config.arn == "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/c"
    assert (only.instance_type, only.initial_instance_count) == ("ml.m5.large", 3)
    assert only.initial_weight == Fraction(1, 10)
    assert (only.download_timeout_seconds, only.startup_timeout_seconds) == (60, 61)
    assert only.routing_strategy is RoutingStrategy.LEAST_OUTSTANDING_REQUESTS


def test_what_means_nothing_here_is_kept_as_it_was() -> None:
    members = {
        "VolumeSizeInGB": 30,
        "EnableSSMAccess": False,
        "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
        "VariantInstanceProvisionTimeoutInSeconds": 300,
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 0},
        "CoreDumpConfig": {"DestinationS3Uri": "s3://b/k"},
        "InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}],
    }
    members_of_the_config = {
        "KmsKeyId": "k",
        "VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]},
        "CrossRegionTrafficConfig": {"MaxInvocationsPerSecondPerInstance": 1},
        "DataCaptureConfig": {"EnableCapture": False, "DestinationS3Uri": "s3://b/k"},
    }
    metrics = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
    config = made(variant(**members), MetricsConfig=metrics, **members_of_the_config)
    assert members.items() <= config.document["ProductionVariants"][0].items()
    assert members_of_the_config.items() <= config.document.items()
    assert config.document["MetricsConfig"] == metrics


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1024}}, "together with InitialInstanceCount"),
        ({"InstancePools": [{"Priority": 1, "ModelNameOverride": "m"}]}, "ModelNameOverride'"),
        ({"RoutingConfig": {"RoutingStrategy": "PREFIX_AWARE"}}, "the value 'PREFIX_AWARE'"),
        ({"InitialVariantWeight": 0.0}, "above zero"),
        ({"InitialVariantWeight": -1.0}, "zero or more, not -1.0"),
        ({"InitialVariantWeight": float("nan")}, "zero or more, not nan"),
        ({"InitialVariantWeight": float("inf")}, "zero or more, not inf"),
    ],
)
def test_variants_that_are_refused(members: dict[str, Any], says: str) -> None:
    with pytest.raises((ValidationException, NotImplementedYet)) as caught:
        made(variant(**members))
    assert says in caught.value.message
    here_alone = "InService does not support" in caught.value.message
    assert isinstance(caught.value, NotImplementedYet) is here_alone


@pytest.mark.parametrize("member", ["ModelName", "InitialInstanceCount"])
def test_members_that_only_other_kinds_of_variants_leave_out(member: str) -> None:
    without = {name: value for name, value in variant().items() if name != member}
    with pytest.raises((ValidationException, NotImplementedYet), match=member):
        made(without)


@pytest.mark.parametrize(
    "members",
    [
        {"DataCaptureConfig": {"EnableCapture": True}},
        {"DataCaptureConfig": {"DestinationS3Uri": "s3://b/k"}},
        {"AsyncInferenceConfig": {"OutputConfig": {}}},
        {"ExplainerConfig": {"ClarifyExplainerConfig": {}}},
        {"ShadowProductionVariants": [{"VariantName": "S"}]},
        {"EnableNetworkIsolation": True},
    ],
)
def test_configs_that_ask_for_what_does_not_run_here(members: dict[str, Any]) -> None:
    (name,) = members
    with pytest.raises(NotImplementedYet, match=f"InService does not support .*{name}"):
        made(variant(), **members)


def test_names_of_variants_are_unique() -> None:
    with pytest.raises(ValidationException, match="more than once: A"):
        made(variant(), variant(), variant(VariantName="B"))
    assert [v.name for v in made(variant(), variant(VariantName="a")).variants] == ["A", "a"]


def test_one_variant_may_weigh_nothing_but_not_all() -> None:
    config = made(variant(), variant(VariantName="B", InitialVariantWeight=0))
    assert [v.initial_weight for v in config.variants] == [1, 0]


def test_a_frequency_that_aws_lists_in_prose_alone() -> None:
    with pytest.raises(ValidationException, match="MetricPublishFrequencyInSeconds must be one of"):
        made(variant(), MetricsConfig={"MetricPublishFrequencyInSeconds": 15})


@pytest.mark.parametrize(
    ("number", "weight"),
    [(0.1, Fraction(1, 10)), (3, Fraction(3)), (0, Fraction(0)), (1e-7, Fraction(1, 10**7))],
)
def test_a_weight_is_the_decimal_that_was_written(number: float, weight: Fraction) -> None:
    assert weight_of(number) == weight
