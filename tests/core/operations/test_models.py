"""Model operations over a real store."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import ValidationException

from .conftest import Perform

ARN = "arn:aws:sagemaker:us-east-1:111122223333:model/"
CONTAINER = {"Image": "registry/image:1", "ModelDataUrl": "s3://b/model.tar.gz"}


def create(perform: Perform, name: str, **members: Any) -> None:
    perform("CreateModel", ModelName=name, PrimaryContainer=CONTAINER, **members)


def test_a_model_is_described_as_it_was_created(perform: Perform) -> None:
    members = {
        "ModelName": "Demo",
        "PrimaryContainer": {**CONTAINER, "Environment": {"A": "ü\n"}, "Mode": "SingleModel"},
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/r",
        "EnableNetworkIsolation": False,
    }
    made = perform("CreateModel", **members, Tags=[{"Key": "k", "Value": "v"}], now=12.3456)
    assert made == {"ModelArn": f"{ARN}Demo"}
    assert perform("DescribeModel", ModelName="Demo") == {
        **members,
        "ModelArn": f"{ARN}Demo",
        "CreationTime": 12.345,
    }


def test_containers_are_described_as_containers(perform: Perform) -> None:
    perform("CreateModel", ModelName="m", Containers=[CONTAINER])
    described = perform("DescribeModel", ModelName="m")
    assert described["Containers"] == [CONTAINER]
    assert "PrimaryContainer" not in described


@pytest.mark.parametrize("again", ["Demo", "demo", "DEMO"])
def test_a_name_is_taken_whatever_its_case(perform: Perform, again: str) -> None:
    create(perform, "Demo")
    with pytest.raises(ValidationException) as caught:
        create(perform, again)
    assert caught.value.message == f'Cannot create already existing model "{ARN}Demo".'


def test_other_accounts_and_regions_have_names_of_their_own(perform: Perform) -> None:
    create(perform, "m")
    create(perform, "m", account="999999999999")
    create(perform, "m", region="eu-west-1")
    assert len(perform("ListModels")["Models"]) == 1
    perform("DeleteModel", ModelName="m")
    perform("DescribeModel", ModelName="m", account="999999999999")
    perform("DescribeModel", ModelName="m", region="eu-west-1")


@pytest.mark.parametrize("operation", ["DescribeModel", "DeleteModel"])
def test_not_found_is_a_validation_exception_with_the_arn(perform: Perform, operation: str) -> None:
    with pytest.raises(ValidationException) as caught:
        perform(operation, ModelName="nope")
    assert caught.value.message == f'Could not find model "{ARN}nope".'


def test_a_name_is_found_whatever_its_case(perform: Perform) -> None:
    create(perform, "Demo")
    assert perform("DescribeModel", ModelName="demo")["ModelName"] == "Demo"
    assert perform("DeleteModel", ModelName="DEMO") == {}
    with pytest.raises(ValidationException):
        perform("DescribeModel", ModelName="Demo")


def test_a_refused_tag_leaves_no_model_behind(perform: Perform) -> None:
    with pytest.raises(ValidationException, match="reserved"):
        create(perform, "m", Tags=[{"Key": "aws:x", "Value": ""}])
    with pytest.raises(ValidationException, match="Could not find"):
        perform("DescribeModel", ModelName="m")


def test_a_name_may_be_used_again_without_the_old_tags(perform: Perform) -> None:
    create(perform, "m", Tags=[{"Key": "k", "Value": "v"}])
    perform("DeleteModel", ModelName="M")
    create(perform, "m")
    assert perform("ListTags", ResourceArn=f"{ARN}m") == {"Tags": []}
