"""Fields of AWS's machines: kept, described verbatim, warned of; refused by a strict server.

Requests come in over the wire, so that AWS's own constraints have judged the values.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from inservice.operations.live import Live
from tests.wire.calls import Caller, Quiet, application

VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
MODEL = {
    "ModelName": "m",
    "PrimaryContainer": {
        "Image": "inservice",
        "Mode": "SingleModel",
        "ModelDataUrl": "file:///m.tar.gz",
        "ImageConfig": {
            "RepositoryAccessMode": "Vpc",
            "RepositoryAuthConfig": {
                "RepositoryCredentialsProviderArn": "arn:aws:lambda:us-east-1:1:function:f"
            },
        },
    },
    "VpcConfig": VPC,
}
VARIANT = {
    "VariantName": "A",
    "ModelName": "m",
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large",
    "InitialVariantWeight": 1.0,
    "InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}],
    "VariantInstanceProvisionTimeoutInSeconds": 300,
    "AcceleratorType": "ml.eia2.medium",
    "CoreDumpConfig": {"DestinationS3Uri": "s3://a-real-bucket/dumps/", "KmsKeyId": "alias/k"},
    "VolumeSizeInGB": 30,
    "EnableSSMAccess": True,
    "ManagedInstanceScaling": {
        "Status": "ENABLED",
        "MinInstanceCount": 1,
        "MaxInstanceCount": 4,
        "ScaleInPolicy": {"Strategy": "IDLE_RELEASE", "CooldownInMinutes": 5},
    },
    "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
    "CapacityReservationConfig": {
        "CapacityReservationPreference": "capacity-reservations-only",
        "MlReservationArn": "arn:aws:sagemaker:us-east-1:000000000000:training-plan/p",
    },
    "AcceleratorPartitionLayouts": [{"AcceleratorPartitionTypes": ["mig-3g.40gb"]}],
}
CONFIG = {
    "EndpointConfigName": "c",
    "ProductionVariants": [VARIANT],
    "KmsKeyId": "arn:aws:kms:us-east-1:000000000000:key/1",
    "VpcConfig": VPC,
    "MetricsConfig": {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 60},
    "CrossRegionTrafficConfig": {
        "MaxInvocationsPerSecondPerInstance": 10,
        "MaxCrossRegionPercentPerEndpoint": 5,
    },
    "DataCaptureConfig": {
        "EnableCapture": False,
        "InitialSamplingPercentage": 0,
        "DestinationS3Uri": "s3://a-real-bucket/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    },
}
OF_THE_VARIANT = (
    *("InstancePools", "VariantInstanceProvisionTimeoutInSeconds", "AcceleratorType"),
    *("CoreDumpConfig", "VolumeSizeInGB", "EnableSSMAccess", "ManagedInstanceScaling"),
    *("InferenceAmiVersion", "CapacityReservationConfig", "AcceleratorPartitionLayouts"),
)
OF_THE_CONFIG = {
    *(f"'ProductionVariants.{member}'" for member in OF_THE_VARIANT),
    *("'KmsKeyId'", "'VpcConfig'", "'MetricsConfig.EnableEnhancedMetrics'"),
    "'CrossRegionTrafficConfig'",
}
OF_THE_MODEL = {"'PrimaryContainer.ImageConfig'", "'VpcConfig'"}


class Strict(Quiet):
    is_strict = True


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    with application(tmp_path) as made:
        yield Caller(made)


def ask(caller: Caller, operation: str, body: Any) -> tuple[dict[str, Any], list[str]]:
    """The answer, and its warnings."""
    headers = {
        "X-Amz-Target": operation if "." in operation else f"SageMaker.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    answer = caller.send(json.dumps(body).encode(), headers)
    assert isinstance(answer.body, bytes)
    assert answer.status == 200, answer.body
    found = [value for name, value in answer.headers if name == b"x-inservice-warning"]
    assert len(found) <= 1
    warnings = found[0].decode("ascii").split(" | ") if found else []
    return json.loads(answer.body), warnings


def subjects(warnings: list[str], of: str = "") -> set[str]:
    """What each is about; all of them say that it has no effect, and why."""
    middle = f"{of} is kept and has no effect here: "
    parts = [warning.partition(middle) for warning in warnings]
    assert all(found and why.endswith(".") for _, found, why in parts)
    return {what for what, _, _ in parts}


def test_what_is_kept_is_described_as_it_was_given_and_warned_of(caller: Caller) -> None:
    _, warnings = ask(caller, "CreateModel", MODEL)
    assert subjects(warnings) == OF_THE_MODEL
    described, again = ask(caller, "DescribeModel", {"ModelName": "m"})
    assert again == warnings
    assert MODEL.items() <= described.items()

    _, warnings = ask(caller, "CreateEndpointConfig", CONFIG)
    assert subjects(warnings) == OF_THE_CONFIG
    described, again = ask(caller, "DescribeEndpointConfig", {"EndpointConfigName": "c"})
    assert again == warnings
    assert CONFIG.items() <= described.items()


def test_what_is_described_makes_another_config(caller: Caller) -> None:
    """The SDK copies what DescribeEndpointConfig says into CreateEndpointConfig."""
    ask(caller, "CreateModel", MODEL)
    ask(caller, "CreateEndpointConfig", CONFIG)
    described, _ = ask(caller, "DescribeEndpointConfig", {"EndpointConfigName": "c"})
    for name in ("EndpointConfigArn", "CreationTime"):
        described.pop(name)
    ask(caller, "CreateEndpointConfig", {**described, "EndpointConfigName": "d"})
    second, _ = ask(caller, "DescribeEndpointConfig", {"EndpointConfigName": "d"})
    assert {**described, "EndpointConfigName": "d"}.items() <= second.items()


def test_an_endpoint_tells_it_again_and_keeps_it_in_its_history(caller: Caller) -> None:
    ask(caller, "CreateModel", MODEL)
    ask(caller, "CreateEndpointConfig", CONFIG)
    _, warnings = ask(caller, "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    of_the_config = [each for each in warnings if " of endpoint config c is kept" in each]
    of_the_model = [each for each in warnings if " of model m is kept" in each]
    assert subjects(of_the_config, " of endpoint config c") == OF_THE_CONFIG
    assert subjects(of_the_model, " of model m") == OF_THE_MODEL
    assert len(of_the_config) + len(of_the_model) == len(warnings)

    history, _ = ask(caller, "InService.ListDeploymentEvents", {"EndpointName": "e"})
    told = [event["What"] for event in history["Events"]]
    assert set(warnings) <= set(told)
    described, again = ask(caller, "DescribeEndpoint", {"EndpointName": "e"})
    assert again == warnings
    (pending,) = described["PendingDeploymentSummary"]["ProductionVariants"]
    echoed = ("InstanceType", "AcceleratorType", "ManagedInstanceScaling")
    for member in (*echoed, "AcceleratorPartitionLayouts"):
        assert pending[member] == VARIANT[member]
    assert described["CrossRegionTrafficConfig"] == CONFIG["CrossRegionTrafficConfig"]
    assert described["DataCaptureConfig"] == {
        "EnableCapture": False,
        "CaptureStatus": "Stopped",
        "CurrentSamplingPercentage": 0,
        "DestinationS3Uri": "s3://a-real-bucket/captured",
        "KmsKeyId": "",
    }


def test_what_asks_for_nothing_is_no_reason_to_warn(caller: Caller) -> None:
    """Terraform says EnableSSMAccess false, EnableCapture false and Mode without being asked."""
    container = {"Image": "inservice", "Mode": "SingleModel"}
    image = {"RepositoryAccessMode": "Platform"}
    quiet = {"ModelName": "m", "PrimaryContainer": {**container, "ImageConfig": image}}
    assert ask(caller, "CreateModel", quiet)[1] == []
    variant = {
        "VariantName": "A",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "EnableSSMAccess": False,
        "ManagedInstanceScaling": {"Status": "DISABLED"},
    }
    config = {
        "EndpointConfigName": "c",
        "ProductionVariants": [variant],
        "DataCaptureConfig": CONFIG["DataCaptureConfig"],
    }
    assert ask(caller, "CreateEndpointConfig", config)[1] == []
    made = {"EndpointName": "e", "EndpointConfigName": "c"}
    assert ask(caller, "CreateEndpoint", made)[1] == []


BAD: list[tuple[str, str, Any]] = [
    ("CreateModel", "VpcConfig.Subnets", ["no spaces"]),
    ("CreateModel", "VpcConfig.SecurityGroupIds", [f"sg-{n}" for n in range(6)]),
    ("CreateModel", "VpcConfig.Subnets", None),
    ("CreateModel", "PrimaryContainer.ImageConfig.RepositoryAccessMode", "Elsewhere"),
    ("CreateEndpointConfig", "KmsKeyId", "not a key!"),
    ("CreateEndpointConfig", "ProductionVariants.0.VolumeSizeInGB", 513),
    ("CreateEndpointConfig", "ProductionVariants.0.CoreDumpConfig.DestinationS3Uri", "ftp://b"),
    ("CreateEndpointConfig", "ProductionVariants.0.InferenceAmiVersion", "mine"),
    ("CreateEndpointConfig", "ProductionVariants.0.AcceleratorType", "ml.eia9.huge"),
    ("CreateEndpointConfig", "ProductionVariants.0.ManagedInstanceScaling.Status", "MAYBE"),
    ("CreateEndpointConfig", "ProductionVariants.0.ManagedInstanceScaling.MaxInstanceCount", 0),
    ("CreateEndpointConfig", "ProductionVariants.0.InstancePools.0.Priority", 6),
    ("CreateEndpointConfig", "ProductionVariants.0.InstancePools.0.InstanceType", "ml.none"),
    ("CreateEndpointConfig", "CrossRegionTrafficConfig.MaxCrossRegionPercentPerEndpoint", 101),
    ("CreateEndpointConfig", "DataCaptureConfig.InitialSamplingPercentage", 101),
]


@pytest.mark.parametrize(("operation", "path", "value"), BAD)
def test_values_without_effect_are_validated_all_the_same(
    caller: Caller, operation: str, path: str, value: Any
) -> None:
    request = copy.deepcopy(MODEL if operation == "CreateModel" else CONFIG)
    if operation != "CreateModel":
        ask(caller, "CreateModel", MODEL)
    *above, last = path.split(".")
    place: Any = request
    for part in above:
        place = place[int(part)] if part.isdecimal() else place[part]
    place[last] = value
    if value is None:
        del place[last]
    status, refusal = caller.call(operation, request)
    assert (status, refusal["__type"].rpartition("#")[2]) == (400, "ValidationException")
    name = {"CreateModel": "DescribeModel"}.get(operation, "DescribeEndpointConfig")
    key = {"CreateModel": "ModelName"}.get(operation, "EndpointConfigName")
    assert caller.call(name, {key: request[key]})[0] == 400  # nothing was kept


def _one_by_one() -> Iterator[tuple[str, dict[str, Any], str]]:
    bare = {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1}
    for member in OF_THE_VARIANT:
        config: dict[str, Any] = {
            "EndpointConfigName": "c",
            "ProductionVariants": [{**bare, member: VARIANT[member]}],
        }
        yield "CreateEndpointConfig", config, f"'ProductionVariants.{member}'"
    for member in ("KmsKeyId", "VpcConfig", "CrossRegionTrafficConfig"):
        config = {"EndpointConfigName": "c", "ProductionVariants": [bare]}
        config[member] = CONFIG[member]
        yield "CreateEndpointConfig", config, f"'{member}'"
    model = {"ModelName": "n", "PrimaryContainer": {"Image": "inservice"}, "VpcConfig": VPC}
    yield "CreateModel", model, "'VpcConfig'"


@pytest.mark.parametrize(("operation", "request_of_it", "names"), list(_one_by_one()))
def test_a_strict_server_refuses_each(
    tmp_path: Path, operation: str, request_of_it: dict[str, Any], names: str
) -> None:
    with application(tmp_path, live=cast(Live, Strict())) as made:
        caller = Caller(made)
        ask(caller, "CreateModel", {"ModelName": "m", "PrimaryContainer": {"Image": "inservice"}})
        status, refusal = caller.call(operation, request_of_it)
        assert (status, refusal["__type"].rpartition("#")[2]) == (400, "NotImplemented")
        assert f"InService does not support {names} yet: " in refusal["message"]
        assert "INSERVICE_STRICT" in refusal["message"]
        described = {"CreateModel": ("DescribeModel", {"ModelName": "n"})}.get(
            operation, ("DescribeEndpointConfig", {"EndpointConfigName": "c"})
        )
        assert caller.call(*described)[0] == 400


def test_a_server_that_became_strict_makes_no_endpoint_of_what_is_there(tmp_path: Path) -> None:
    live = Quiet()
    with application(tmp_path, live=cast(Live, live)) as made:
        caller = Caller(made)
        ask(caller, "CreateModel", MODEL)
        ask(caller, "CreateEndpointConfig", CONFIG)
        live.is_strict = True
        made_of_it = {"EndpointName": "e", "EndpointConfigName": "c"}
        status, refusal = caller.call("CreateEndpoint", made_of_it)
        assert (status, refusal["__type"].rpartition("#")[2]) == (400, "NotImplemented")
        assert caller.call("DescribeEndpoint", {"EndpointName": "e"})[0] == 400
        # What is there can be looked at.
        assert ask(caller, "DescribeModel", {"ModelName": "m"})[1]
