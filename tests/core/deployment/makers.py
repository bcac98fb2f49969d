"""Endpoint configs and models in one line each, for tests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from inservice.hosting.endpoint_config import EndpointConfig, ProductionVariant, RoutingStrategy
from inservice.hosting.fleet import Fleet
from inservice.hosting.model import Model

ACCOUNT, REGION = "000000000000", "us-east-1"


def variant_of(name: str, size: int = 1, weight: Fraction | float = 1) -> ProductionVariant:
    """A variant of so many instances."""
    return ProductionVariant(
        name=name,
        model_name="model",
        instance_type="ml.m5.large",
        initial_instance_count=size,
        initial_weight=Fraction(weight),
        routing_strategy=RoutingStrategy.RANDOM,
        download_timeout_seconds=600,
        startup_timeout_seconds=480,
        document={"VariantName": name, "InstanceType": "ml.m5.large"},
    )


def config_of(name: str, variants: Mapping[str, tuple[int, Fraction | float]]) -> EndpointConfig:
    """An endpoint config from variant name → (instances, weight)."""
    return EndpointConfig(
        account=ACCOUNT,
        region=REGION,
        name=name,
        arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint-config/{name}",
        created_at=0.0,
        variants=tuple(variant_of(each, *numbers) for each, numbers in variants.items()),
        document={"EndpointConfigName": name},
    )


def fleet_of(name: str, size: int, weight: Fraction | float = 1, variant: str = "v") -> Fleet:
    """A fleet with an id of its own."""
    made = variant_of(variant, size, weight)
    return Fleet(name, "config", made, None, size, Fraction(weight))


def models_of(config: EndpointConfig) -> Mapping[str, Model]:
    """Every model that the config names."""
    return {variant.model_name: MODEL for variant in config.variants}


MODEL = Model.from_document(
    {
        "ModelName": "model",
        "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
        "PrimaryContainer": {"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"},
    },
    account=ACCOUNT,
    region=REGION,
    now=0.0,
)
