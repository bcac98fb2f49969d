"""PlanDeployment for a config that exists, and for one that an update would make."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import ValidationException
from inservice.store.base import Store

from .conftest import Perform
from .test_endpoints import add_config, create, settle, variant

ONE = {"Type": "INSTANCE_COUNT", "Value": 1}
CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 60,
            "CanarySize": ONE,
        }
    }
}


@pytest.fixture(autouse=True)
def endpoint(perform: Perform, store: Store) -> None:
    add_config(perform, "first", count=2)
    add_config(perform, "second", count=2)
    create(perform)
    settle(store)


def plan(perform: Perform, **members: Any) -> Any:
    return perform("PlanDeployment", EndpointName="Demo", DeploymentConfig=CANARY, **members)


def test_what_a_config_would_say_is_planned_as_the_config_is(perform: Perform) -> None:
    said = [variant("AllTraffic", ModelName="model-of-second", InitialInstanceCount=2)]
    planned = plan(perform, ProductionVariants=said)
    assert planned == plan(perform, EndpointConfigName="second")
    assert planned["Strategy"] == "canary"
    configs = perform("ListEndpointConfigs")["EndpointConfigs"]
    assert {config["EndpointConfigName"] for config in configs} == {"first", "second"}


def test_the_serving_model_may_be_planned_for_again(perform: Perform) -> None:
    """The config that `endpoint update --model` makes is another one, whatever it says."""
    said = [variant("AllTraffic", ModelName="model-of-first", InitialInstanceCount=2)]
    assert plan(perform, ProductionVariants=said)["Steps"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"EndpointConfigName": "second", "ProductionVariants": [variant("AllTraffic")]},
        {"ProductionVariants": [variant("AllTraffic", ModelName="nowhere")]},
        {"ProductionVariants": [variant("AllTraffic"), variant("AllTraffic")]},
        {"EndpointConfigName": "nowhere"},
    ],
)
def test_what_cannot_be_planned(members: dict[str, Any], perform: Perform) -> None:
    with pytest.raises(ValidationException):
        plan(perform, **members)
