"""DescribeInstanceTypes by boto3: what the SageMaker SDK asks EC2 before it deploys."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from inservice.api.application import SERVICES
from inservice.hosting.instance_types import instance_types
from tests.acceptance.cloudwatch_rig import KEY, Rig, cloudwatch


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with cloudwatch(tmp_path_factory.mktemp("rig"), services=SERVICES) as rig:
        yield rig


@pytest.fixture(scope="module")
def ec2(rig: Rig) -> Any:
    return rig.client("ec2")


def code_of(ec2: Any, operation: str, **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        getattr(ec2, operation)(**arguments)
    code: str = refused.value.response["Error"]["Code"]
    return code


def test_a_type_has_what_its_ml_type_has(ec2: Any) -> None:
    (told,) = ec2.describe_instance_types(InstanceTypes=["g5.12xlarge"])["InstanceTypes"]
    assert told["InstanceType"] == "g5.12xlarge"
    assert told["VCpuInfo"]["DefaultVCpus"] == 48
    assert told["MemoryInfo"]["SizeInMiB"] == 192 * 1024
    assert told["GpuInfo"] == {
        "Gpus": [
            {
                "Name": "A10G",
                "Manufacturer": "NVIDIA",
                "Count": 4,
                "MemoryInfo": {"SizeInMiB": 24 * 1024},
            }
        ],
        "TotalGpuMemoryInMiB": 96 * 1024,
    }
    assert told["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    neuron, burst = ec2.describe_instance_types(InstanceTypes=["inf2.xlarge", "t2.medium"])[
        "InstanceTypes"
    ]
    assert "GpuInfo" not in neuron
    assert neuron["NeuronInfo"]["NeuronDevices"][0]["Count"] == 1
    assert burst["BurstablePerformanceSupported"]
    assert "GpuInfo" not in burst


def test_all_of_them_page_by_page_each_once(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 30})
    told = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert sorted(told) == sorted(one.ec2_name for one in instance_types().values())
    assert len(told) == len(set(told))
    assert len(ec2.describe_instance_types()["InstanceTypes"]) == 100


P5 = {"p5.4xlarge", "p5.48xlarge", "p5e.48xlarge", "p5en.48xlarge"}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"instance-type": ["m5.large", "nothing.large"]}, {"m5.large"}),
        ({"instance-type": ["p5*"]}, P5),
        (
            {"instance-type": ["c7g.*"], "vcpu-info.default-vcpus": ["8", "2"]},
            {"c7g.large", "c7g.2xlarge"},
        ),
        (
            {"processor-info.supported-architecture": ["arm64"], "instance-type": ["m*.medium"]},
            {"m8g.medium"},
        ),
        ({"memory-info.size-in-mib": ["4096"], "current-generation": ["false"]}, {"t2.medium"}),
        ({"bare-metal": ["true"]}, set()),
        ({"hypervisor": ["nitro"]}, set()),
        ({"instance-type": ["[m]5.large"]}, set()),
    ],
)
def test_filters_are_all_to_fit_and_of_their_values_one(
    ec2: Any, filters: dict[str, list[str]], found: set[str]
) -> None:
    asked = [{"Name": name, "Values": values} for name, values in filters.items()]
    told = ec2.describe_instance_types(Filters=asked)["InstanceTypes"]
    assert {one["InstanceType"] for one in told} == found


def test_bad_input_gets_ec2s_codes(ec2: Any) -> None:
    ask = "describe_instance_types"
    assert code_of(ec2, ask, InstanceTypes=["m5.large", "ml.m5.large"]) == "InvalidInstanceType"
    assert code_of(ec2, ask, Filters=[{"Name": "x", "Values": ["y"]}]) == "InvalidParameterValue"
    assert code_of(ec2, ask, NextToken="bTUubGFyZ2V4") == "InvalidNextToken"
    assert code_of(ec2, ask, NextToken="é") == "InvalidNextToken"
    assert code_of(ec2, ask, DryRun=True) == "DryRunOperation"
    assert code_of(ec2, ask, MaxResults=1000) == "InvalidParameterValue"
    combined = code_of(ec2, ask, InstanceTypes=["m5.large"], MaxResults=5)
    assert combined == "InvalidParameterCombination"


def test_nothing_else_of_ec2_is_here(ec2: Any) -> None:
    for operation, arguments in (
        ("describe_vpcs", {}),
        ("describe_instances", {}),
        ("run_instances", {"MinCount": 1, "MaxCount": 1}),
    ):
        assert code_of(ec2, operation, **arguments) == "NotImplemented"


def test_it_can_be_asked_by_a_presigned_url(rig: Rig) -> None:
    """As consoles and shell scripts do: the form is in the query."""
    form = {
        "Action": "DescribeInstanceTypes",
        "Version": "2016-11-15",
        "InstanceType.1": "m5.large",
    }
    request = AWSRequest("GET", f"{rig.url}/?{urllib.parse.urlencode(form)}")
    credentials = Credentials(KEY.id, KEY.secret)
    SigV4QueryAuth(credentials, "ec2", "us-east-1").add_auth(request)
    with urllib.request.urlopen(str(request.url)) as answer:
        assert b"<item><instanceType>m5.large</instanceType>" in answer.read()
