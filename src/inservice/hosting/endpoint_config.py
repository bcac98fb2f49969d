"""An endpoint config: which models an endpoint serves, on how many instances, with what weights.

It never changes. An endpoint is moved to another config by UpdateEndpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Self

from inservice.errors import NotImplementedYet, ValidationException
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.fields import refuse_unsupported
from inservice.values import Document

DEFAULT_WEIGHT = Fraction(1)
"""AWS's default of InitialVariantWeight."""

DEFAULT_STARTUP_TIMEOUT_SECONDS = 8 * 60
"""From launch to the first healthy ping. Eight minutes in AWS's current guide (four until 2023)."""

DEFAULT_DOWNLOAD_TIMEOUT_SECONDS = 60 * 60
"""To fetch and unpack the artifact. AWS documents no default, only this maximum; with anything
shorter an artifact that deploys on AWS could fail here."""

_PUBLISH_FREQUENCIES_SECONDS = (10, 30, 60, 120, 180, 240, 300)


class RoutingStrategy(StrEnum):
    """How an invocation finds its instance within a variant."""

    RANDOM = "RANDOM"
    LEAST_OUTSTANDING_REQUESTS = "LEAST_OUTSTANDING_REQUESTS"


@dataclass(frozen=True, slots=True)
class ProductionVariant:
    """One model with a share of the endpoint's traffic."""

    name: str
    model_name: str
    instance_type: str | None  # by which an instance has its resources; None: it has none
    initial_instance_count: int  # at least 1
    initial_weight: Fraction  # not negative; exactly the decimal number that was sent
    routing_strategy: RoutingStrategy
    download_timeout_seconds: int
    startup_timeout_seconds: int
    document: Document

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """One element of ProductionVariants that has passed `EndpointConfig`'s checks."""
        routing = document.get("RoutingConfig", {})
        return cls(
            name=document["VariantName"],
            model_name=document["ModelName"],
            instance_type=document.get("InstanceType") or _first_of(document),
            initial_instance_count=document["InitialInstanceCount"],
            initial_weight=weight_of(document.get("InitialVariantWeight", DEFAULT_WEIGHT)),
            routing_strategy=RoutingStrategy(
                routing.get("RoutingStrategy", RoutingStrategy.RANDOM)
            ),
            download_timeout_seconds=document.get(
                "ModelDataDownloadTimeoutInSeconds", DEFAULT_DOWNLOAD_TIMEOUT_SECONDS
            ),
            startup_timeout_seconds=document.get(
                "ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_TIMEOUT_SECONDS
            ),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """An endpoint config as it was created."""

    account: str
    region: str
    name: str
    arn: str
    created_at: float  # epoch seconds
    variants: tuple[ProductionVariant, ...]  # one to ten, names unique, weights not all zero
    document: Document  # CreateEndpointConfig's members without Tags

    @classmethod
    def from_document(cls, document: Document, *, account: str, region: str, now: float) -> Self:
        """The endpoint config that a CreateEndpointConfig request asks for.

        Whether its models exist is the store's to say. Raises ValidationException for what AWS
        refuses too, then NotImplementedYet for what InService does not support yet.
        """
        _check_serverless(document["ProductionVariants"])
        _check_metrics(document)
        refuse_unsupported("CreateEndpointConfigInput", document)
        _check_capture(document)
        _check_instances(document["ProductionVariants"])
        variants = tuple(map(ProductionVariant.from_document, document["ProductionVariants"]))
        _check_together(variants)
        name = document["EndpointConfigName"]
        return cls(
            account=account,
            region=region,
            name=name,
            arn=str(ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, name)),
            created_at=now,
            variants=variants,
            document=document,
        )

    def is_record(self, other: EndpointConfig) -> bool:
        """Whether both are one record, and not only of one name: that of a config that was deleted
        is free for another."""
        mine = self.arn, self.created_at, self.document
        return mine == (other.arn, other.created_at, other.document)


def _first_of(document: Document) -> str | None:
    """The type of the instance pool that comes first: the lowest number is the first priority."""
    pools = [pool for pool in document.get("InstancePools", ()) if "InstanceType" in pool]
    if not pools:
        return None
    name: str = min(pools, key=lambda pool: pool.get("Priority", 0))["InstanceType"]
    return name


def weight_of(number: float | Fraction) -> Fraction:
    """A weight as the exact decimal that was written: 0.1 is a tenth, not its nearest double.

    Raises ValidationException for a negative number and for what is no number at all, which JSON
    can smuggle in as NaN or Infinity.
    """
    if not math.isfinite(number) or number < 0:
        raise ValidationException(f"A variant weight must be zero or more, not {number}.")
    return number if isinstance(number, Fraction) else Fraction(repr(number))


def _check_serverless(variants: Sequence[Document]) -> None:
    for variant in variants:
        if "ServerlessConfig" not in variant:
            continue
        if both := sorted({"InstanceType", "InitialInstanceCount"} & variant.keys()):
            raise ValidationException(
                f"ServerlessConfig cannot be specified together with {' and '.join(both)} "
                f"in production variant {variant['VariantName']}."
            )


def _check_metrics(document: Document) -> None:
    """AWS lists the frequencies in prose; its model does not carry them."""
    seconds = document.get("MetricsConfig", {}).get("MetricPublishFrequencyInSeconds")
    if seconds is not None and seconds not in _PUBLISH_FREQUENCIES_SECONDS:
        raise ValidationException(
            f"MetricPublishFrequencyInSeconds must be one of "
            f"{', '.join(map(str, _PUBLISH_FREQUENCIES_SECONDS))}, not {seconds}."
        )


def _check_capture(document: Document) -> None:
    """AWS captures unless it is told not to, so only who says so asks for nothing."""
    capture = document.get("DataCaptureConfig")
    if capture is not None and capture.get("EnableCapture") is None:
        raise NotImplementedYet(
            "'DataCaptureConfig' without 'EnableCapture'",
            "invocations are not captured, and on AWS they would be",
        )


def _check_instances(variants: Sequence[Document]) -> None:
    """Members that AWS's model leaves optional for kinds of variants that do not run here."""
    for variant in variants:
        if "ModelName" not in variant:
            raise NotImplementedYet(
                f"production variant {variant['VariantName']} without 'ModelName'",
                "inference components do not run here",
            )
        if "InitialInstanceCount" not in variant:
            raise ValidationException(
                f"InitialInstanceCount is required for production variant {variant['VariantName']}."
            )


def _check_together(variants: Sequence[ProductionVariant]) -> None:
    names = [variant.name for variant in variants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValidationException(
            f"Production variant names must be unique; given more than once: {', '.join(twice)}."
        )
    if not any(variant.initial_weight for variant in variants):
        raise ValidationException(
            "At least one production variant must have an InitialVariantWeight above zero."
        )
