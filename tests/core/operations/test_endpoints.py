"""Endpoint operations over a real store. What they decide is the engine's, tested with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from inservice.deployment.state import Decision, Phase
from inservice.errors import NotImplementedYet, ValidationException
from inservice.hosting.endpoint import EndpointStatus
from inservice.store.base import Store
from inservice.store.collections.endpoints import ENDPOINTS, EndpointRecord
from inservice.store.errors import StaleDecision

from .conftest import ACCOUNT, REGION, Perform

PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"
ARN = f"{PREFIX}:endpoint/Demo"
ALARMS = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}


def add_config(perform: Perform, name: str, *, count: int = 1) -> None:
    perform("CreateModel", ModelName=f"model-of-{name}", PrimaryContainer={"Image": "i:1"})
    perform(
        "CreateEndpointConfig",
        EndpointConfigName=name,
        ProductionVariants=[
            variant("AllTraffic", ModelName=f"model-of-{name}", InitialInstanceCount=count)
        ],
    )


def variant(name: str, **members: Any) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": "model-of-first",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        **members,
    }


@pytest.fixture(autouse=True)
def config(perform: Perform) -> None:
    add_config(perform, "first")


def create(perform: Perform, name: str = "Demo", **members: Any) -> Any:
    return perform("CreateEndpoint", EndpointName=name, EndpointConfigName="first", **members)


def record_of(store: Store, name: str = "Demo") -> EndpointRecord:
    with store.reading() as records:
        return records.endpoints.get(ACCOUNT, REGION, name)


def settle(store: Store, name: str = "Demo", phase: Phase = Phase.IN_SERVICE) -> None:
    """What the controller saves when a deployment has come to its end."""
    record = record_of(store, name)
    fleets = record.deployment.new or record.endpoint.fleets
    endpoint = replace(
        record.endpoint,
        status=phase.status,
        fleets=fleets,
        config=record.deployment.config or record.endpoint.config,
    )
    with store.transaction() as tx:
        done = Decision(endpoint, replace(record.deployment, phase=phase))
        tx.endpoints.save(record, done)


def complete_deletion(store: Store, name: str = "Demo") -> None:
    record = record_of(store, name)
    with store.transaction() as tx:
        tx.endpoints.save(record, Decision(record.endpoint, record.deployment, gone=True))


def test_creating_answers_at_once_and_wakes_the_controller(perform: Perform, store: Store) -> None:
    told: list[object] = []
    store.feed.subscribe(ENDPOINTS, told.append)
    assert create(perform, Tags=[{"Key": "k", "Value": "v"}]) == {"EndpointArn": ARN}
    record = record_of(store)
    assert record.endpoint.status is EndpointStatus.CREATING
    assert record.endpoint.config.name == "first"
    assert told == [{(ACCOUNT, REGION, "Demo")}]
    assert perform("ListTags", ResourceArn=ARN)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_an_endpoint_is_described(perform: Perform) -> None:
    create(perform, now=5.0)
    described = perform("DescribeEndpoint", EndpointName="demo")
    expected = {
        "EndpointName": "Demo",
        "EndpointArn": ARN,
        "EndpointStatus": "Creating",
        "CreationTime": 5.0,
        "LastModifiedTime": 5.0,
    }
    assert expected.items() <= described.items()
    assert "ProductionVariants" not in described  # AWS has a serving config to show only later
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "first"


def test_what_its_config_says_of_metrics_is_described(perform: Perform, store: Store) -> None:
    metrics = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 30}
    perform(
        "CreateEndpointConfig",
        EndpointConfigName="metered",
        ProductionVariants=[variant("AllTraffic")],
        MetricsConfig=metrics,
    )
    perform("CreateEndpoint", EndpointName="Demo", EndpointConfigName="metered")
    settle(store)
    assert perform("DescribeEndpoint", EndpointName="Demo")["MetricsConfig"] == metrics


@pytest.mark.parametrize("again", ["Demo", "demo", "DEMO"])
def test_a_name_is_taken_whatever_its_case(perform: Perform, again: str) -> None:
    create(perform)
    with pytest.raises(ValidationException) as caught:
        create(perform, again)
    assert caught.value.message == f'Cannot create already existing endpoint "{ARN}".'


def test_fifty_creations_of_one_name_at_once_make_one_endpoint(
    perform: Perform, store: Store
) -> None:
    spellings = ["Demo", "demo", "DEMO", "dEMO", "DeMo"] * 10

    with ThreadPoolExecutor(16) as threads:
        attempts = [threads.submit(create, perform, name) for name in spellings]
    errors = [error for each in attempts if (error := each.exception())]
    assert len(errors) == len(spellings) - 1
    assert all("Cannot create already existing endpoint" in str(error) for error in errors)
    with store.reading() as records:
        assert len(records.endpoints.names()) == 1


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("DescribeEndpoint", {}),
        ("DeleteEndpoint", {}),
        ("UpdateEndpoint", {"EndpointConfigName": "first"}),
        ("UpdateEndpointWeightsAndCapacities", {"DesiredWeightsAndCapacities": []}),
    ],
)
def test_not_found(perform: Perform, operation: str, members: dict[str, Any]) -> None:
    with pytest.raises(ValidationException) as caught:
        perform(operation, EndpointName="Demo", **members)
    assert caught.value.message == f'Could not find endpoint "{ARN}".'


def test_its_config_must_exist(perform: Perform, store: Store) -> None:
    says = f'Could not find endpoint configuration "{PREFIX}:endpoint-config/nope".'
    with pytest.raises(ValidationException) as caught:
        perform("CreateEndpoint", EndpointName="Demo", EndpointConfigName="nope")
    assert caught.value.message == says
    create(perform)
    settle(store)
    with pytest.raises(ValidationException) as caught:
        perform("UpdateEndpoint", EndpointName="Demo", EndpointConfigName="nope")
    assert caught.value.message == says


def test_the_models_of_its_config_must_still_exist(perform: Perform) -> None:
    perform("DeleteModel", ModelName="model-of-first")
    with pytest.raises(ValidationException) as caught:
        create(perform)
    assert caught.value.message == f'Could not find model "{PREFIX}:model/model-of-first".'


def test_alarms_must_exist(perform: Perform, store: Store) -> None:
    with pytest.raises(ValidationException, match="errors"):
        create(perform, DeploymentConfig=ALARMS)
    with store.transaction() as tx:
        tx.alarms.save(ACCOUNT, REGION, "errors", state="OK", document={})
    create(perform, DeploymentConfig=ALARMS)
    assert record_of(store).endpoint.last_deployment_config == ALARMS


def test_an_update_looks_up_the_alarms_that_it_retains(perform: Perform, store: Store) -> None:
    with store.transaction() as tx:
        tx.alarms.save(ACCOUNT, REGION, "errors", state="OK", document={})
    create(perform, DeploymentConfig=ALARMS)
    settle(store)
    add_config(perform, "second")
    update = {"EndpointName": "Demo", "EndpointConfigName": "second"}
    with store.transaction() as tx:
        tx.alarms.delete(ACCOUNT, REGION, "errors")
    with pytest.raises(ValidationException, match="errors"):
        perform("UpdateEndpoint", **update, RetainDeploymentConfig=True)
    with store.transaction() as tx:
        tx.alarms.save(ACCOUNT, REGION, "errors", state="OK", document={})
    perform("UpdateEndpoint", **update, RetainDeploymentConfig=True)
    assert record_of(store).deployment.alarms == ("errors",)


def test_no_update_retains_nothing_but_weights_of_zero(perform: Perform, store: Store) -> None:
    """The variants that took the traffic are gone, and the one that stays was switched off."""
    variants = [variant("one", InitialVariantWeight=0), variant("two")]
    perform("CreateEndpointConfig", EndpointConfigName="both", ProductionVariants=variants)
    perform("CreateEndpointConfig", EndpointConfigName="one", ProductionVariants=[variant("one")])
    perform("CreateEndpoint", EndpointName="Demo", EndpointConfigName="both")
    settle(store)
    before = record_of(store)
    update = {
        "EndpointName": "Demo",
        "EndpointConfigName": "one",
        "RetainAllVariantProperties": True,
    }
    with pytest.raises(ValidationException, match="weight of zero"):
        perform("UpdateEndpoint", **update)
    assert record_of(store) == before
    excluded = [{"VariantPropertyType": "DesiredWeight"}]
    perform("UpdateEndpoint", **update, ExcludeRetainedVariantProperties=excluded)
    assert record_of(store).endpoint.status is EndpointStatus.UPDATING


def test_an_endpoint_works_from_its_own_copies(perform: Perform, store: Store) -> None:
    # AWS refuses the update once the record of the old config is gone; a snapshot cannot be.
    create(perform)
    settle(store)
    before = record_of(store)
    perform("DeleteEndpointConfig", EndpointConfigName="first")
    perform("DeleteModel", ModelName="model-of-first")
    assert record_of(store) == before
    (fleet,) = before.endpoint.fleets
    assert fleet.model is not None
    assert fleet.model.containers[0].image == "i:1"
    add_config(perform, "second")
    perform("UpdateEndpoint", EndpointName="demo", EndpointConfigName="second")
    assert record_of(store).endpoint.config.name == "first"
    settle(store)
    assert record_of(store).endpoint.config.name == "second"


def test_fifty_updates_at_once_begin_one_deployment(perform: Perform, store: Store) -> None:
    create(perform)
    settle(store)
    names = [f"next-{n}" for n in range(50)]
    for name in names:
        add_config(perform, name)

    def attempt(name: str) -> None:
        perform("UpdateEndpoint", EndpointName="Demo", EndpointConfigName=name)

    with ThreadPoolExecutor(16) as threads:
        attempts = {name: threads.submit(attempt, name) for name in names}
    errors = {name: each.exception() for name, each in attempts.items()}
    accepted = [name for name, error in errors.items() if error is None]
    refusals = {str(error) for error in errors.values() if error is not None}
    record = record_of(store)
    assert record.deployment.config is not None
    assert accepted == [record.deployment.config.name]
    assert refusals == {f'Cannot update in-progress endpoint "{ARN}".'}
    assert record.deployment.number == 2


def update(perform: Perform) -> None:
    add_config(perform, "second")
    perform("UpdateEndpoint", EndpointName="Demo", EndpointConfigName="second")


def scale(perform: Perform) -> None:
    wish = {"VariantName": "AllTraffic", "DesiredInstanceCount": 3}
    perform(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="Demo",
        DesiredWeightsAndCapacities=[wish],
    )


def remove(perform: Perform) -> None:
    perform("DeleteEndpoint", EndpointName="Demo")


@pytest.mark.parametrize("change", [update, scale, remove])
@pytest.mark.parametrize("begun", [None, update, scale])
def test_an_endpoint_in_progress_refuses_every_change(
    perform: Perform,
    store: Store,
    begun: Callable[[Perform], None] | None,
    change: Callable[[Perform], None],
) -> None:
    create(perform)
    if begun is not None:
        settle(store)
        begun(perform)
        perform("CreateModel", ModelName="unused", PrimaryContainer={"Image": "i:1"})
    before = record_of(store)
    if begun is update and change is update:
        perform("DeleteModel", ModelName="model-of-second")
        perform("DeleteEndpointConfig", EndpointConfigName="second")
    with pytest.raises(ValidationException) as caught:
        change(perform)
    assert caught.value.message == f'Cannot update in-progress endpoint "{ARN}".'
    assert record_of(store) == before


def test_scaling_makes_a_wish_of_the_same_fleet(perform: Perform, store: Store) -> None:
    create(perform)
    settle(store)
    scale(perform)
    record = record_of(store)
    assert record.endpoint.status is EndpointStatus.UPDATING
    assert [fleet.size for fleet in record.deployment.new] == [3]
    assert [fleet.id for fleet in record.deployment.new] == [
        fleet.id for fleet in record.endpoint.fleets
    ]


def test_what_serverless_endpoints_are_asked_is_refused(perform: Perform, store: Store) -> None:
    create(perform)
    settle(store)
    wish = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}
    with pytest.raises(NotImplementedYet, match="ServerlessUpdateConfig"):
        perform(
            "UpdateEndpointWeightsAndCapacities",
            EndpointName="Demo",
            DesiredWeightsAndCapacities=[wish],
        )


def test_a_deleted_name_is_free_and_its_past_is_over(perform: Perform, store: Store) -> None:
    create(perform, Tags=[{"Key": "k", "Value": "v"}])
    settle(store)
    late = record_of(store)
    remove(perform)
    assert record_of(store).endpoint.status is EndpointStatus.DELETING
    with pytest.raises(ValidationException, match="already existing"):
        create(perform)
    complete_deletion(store)
    with pytest.raises(ValidationException, match="Could not find endpoint"):
        perform("DescribeEndpoint", EndpointName="Demo")
    create(perform, "demo")
    assert perform("ListTags", ResourceArn=ARN.replace("Demo", "demo"))["Tags"] == []
    again = record_of(store)
    assert again.endpoint.generation != late.endpoint.generation
    with pytest.raises(StaleDecision), store.transaction() as tx:
        tx.endpoints.save(late, Decision(late.endpoint, late.deployment))
    assert record_of(store) == again


def test_a_list_of_endpoints(perform: Perform, store: Store) -> None:
    create(perform, "a", now=10.0)
    create(perform, "b", now=20.0)
    settle(store, "a")
    page = perform("ListEndpoints")
    assert page == {
        "Endpoints": [
            {
                "EndpointName": name,
                "EndpointArn": f"{PREFIX}:endpoint/{name}",
                "CreationTime": at,
                "LastModifiedTime": at,
                "EndpointStatus": status,
            }
            for name, at, status in [("b", 20.0, "Creating"), ("a", 10.0, "InService")]
        ]
    }


def test_filters_and_orders_that_only_endpoints_have(perform: Perform, store: Store) -> None:
    for at, name in enumerate(["a", "b", "c"], start=1):
        create(perform, name, now=float(at))
    settle(store, "a")
    perform("DeleteEndpoint", EndpointName="a", now=9.0)
    settle(store, "c", Phase.FAILED)

    def names(**members: Any) -> str:
        lines = perform("ListEndpoints", SortOrder="Ascending", **members)["Endpoints"]
        return "".join(line["EndpointName"] for line in lines)

    assert names(SortBy="Status") == "bac"  # Creating, Deleting, Failed
    assert names(StatusEquals="Failed") == "c"
    assert names(StatusEquals="OutOfService") == ""
    assert names(LastModifiedTimeAfter=3.0) == "ac"
    assert names(LastModifiedTimeBefore=3.0) == "b"
    first = perform("ListEndpoints", SortBy="Status", MaxResults=2)
    second = perform("ListEndpoints", SortBy="Status", NextToken=first["NextToken"])
    lines = [*first["Endpoints"], *second["Endpoints"]]
    assert [line["EndpointName"] for line in lines] == ["c", "a", "b"]
