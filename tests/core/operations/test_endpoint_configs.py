"""Endpoint config operations over a real store."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import ValidationException

from .conftest import Perform

PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"


def variant(**members: Any) -> dict[str, Any]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": 0.5,
        **members,
    }


@pytest.fixture(autouse=True)
def model(perform: Perform) -> None:
    perform("CreateModel", ModelName="m", PrimaryContainer={"Image": "registry/image:1"})


def create(perform: Perform, name: str = "Demo", *variants: dict[str, Any], **members: Any) -> Any:
    return perform(
        "CreateEndpointConfig",
        EndpointConfigName=name,
        ProductionVariants=list(variants) or [variant()],
        **members,
    )


def test_a_config_is_described_as_it_was_created(perform: Perform) -> None:
    members = {
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/r",
        "MetricsConfig": {"EnableEnhancedMetrics": True},
        "EnableNetworkIsolation": False,
    }
    made = create(perform, "Demo", **members, Tags=[{"Key": "k", "Value": "v"}], now=5.0)
    arn = f"{PREFIX}:endpoint-config/Demo"
    assert made == {"EndpointConfigArn": arn}
    assert perform("DescribeEndpointConfig", EndpointConfigName="demo") == {
        "EndpointConfigName": "Demo",
        "ProductionVariants": [variant()],
        **members,
        "EndpointConfigArn": arn,
        "CreationTime": 5.0,
    }


def test_its_models_must_exist(perform: Perform) -> None:
    # AWS checks it synchronously at CreateEndpointConfig.
    with pytest.raises(ValidationException) as caught:
        create(perform, "c", variant(), variant(VariantName="B", ModelName="gone"))
    assert caught.value.message == f'Could not find model "{PREFIX}:model/gone".'
    with pytest.raises(ValidationException, match="Could not find endpoint configuration"):
        perform("DescribeEndpointConfig", EndpointConfigName="c")


def test_its_models_may_go_later(perform: Perform) -> None:
    create(perform, "c")
    perform("DeleteModel", ModelName="m")
    described = perform("DescribeEndpointConfig", EndpointConfigName="c")
    assert described["ProductionVariants"] == [variant()]


def test_a_name_is_taken_whatever_its_case(perform: Perform) -> None:
    create(perform, "Demo")
    with pytest.raises(ValidationException) as caught:
        create(perform, "DEMO")
    assert caught.value.message == (
        f'Cannot create already existing endpoint configuration "{PREFIX}:endpoint-config/Demo".'
    )


@pytest.mark.parametrize("operation", ["DescribeEndpointConfig", "DeleteEndpointConfig"])
def test_not_found(perform: Perform, operation: str) -> None:
    with pytest.raises(ValidationException) as caught:
        perform(operation, EndpointConfigName="nope")
    assert caught.value.message == (
        f'Could not find endpoint configuration "{PREFIX}:endpoint-config/nope".'
    )


def test_a_list_of_configs(perform: Perform) -> None:
    create(perform, "a", now=1.0)
    create(perform, "b", now=2.0)
    page = perform("ListEndpointConfigs", MaxResults=1)
    assert page["EndpointConfigs"] == [
        {
            "EndpointConfigName": "b",
            "EndpointConfigArn": f"{PREFIX}:endpoint-config/b",
            "CreationTime": 2.0,
        }
    ]
    perform("DeleteEndpointConfig", EndpointConfigName="B")
    page = perform("ListEndpointConfigs", MaxResults=1, NextToken=page["NextToken"])
    assert [line["EndpointConfigName"] for line in page["EndpointConfigs"]] == ["a"]
