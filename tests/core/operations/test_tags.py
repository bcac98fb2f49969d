"""Tag operations over a real store."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import ValidationException

from .conftest import Perform

ARN = "arn:aws:sagemaker:us-east-1:111122223333:model/Demo"


@pytest.fixture(autouse=True)
def model(perform: Perform) -> None:
    perform(
        "CreateModel",
        ModelName="Demo",
        PrimaryContainer={"Image": "registry/image:1"},
        Tags=[{"Key": "team", "Value": "a"}],
    )


def tags(perform: Perform, arn: str = ARN) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in perform("ListTags", ResourceArn=arn)["Tags"]}


def test_tags_given_at_creation_are_listed(perform: Perform) -> None:
    assert perform("ListTags", ResourceArn=ARN) == {"Tags": [{"Key": "team", "Value": "a"}]}


def test_adding_overwrites_by_key_and_answers_all(perform: Perform) -> None:
    added = [{"Key": "team", "Value": "b"}, {"Key": "cost", "Value": ""}]
    answer = perform("AddTags", ResourceArn=ARN, Tags=added)
    assert sorted(answer["Tags"], key=lambda tag: tag["Key"]) == added[::-1]
    assert tags(perform) == {"team": "b", "cost": ""}


def test_deleting_disregards_keys_that_are_not_there(perform: Perform) -> None:
    assert perform("DeleteTags", ResourceArn=ARN, TagKeys=["team", "nope"]) == {}
    assert tags(perform) == {}


def test_the_limit_holds_for_old_and_new_together(perform: Perform) -> None:
    more = [{"Key": f"k{n}", "Value": ""} for n in range(49)]
    perform("AddTags", ResourceArn=ARN, Tags=more)
    with pytest.raises(ValidationException, match="at most 50 tags"):
        perform("AddTags", ResourceArn=ARN, Tags=[{"Key": "one-more", "Value": ""}])
    assert len(tags(perform)) == 50


@pytest.mark.parametrize(
    ("arn", "says"),
    [
        (ARN.replace("Demo", "gone"), "Could not find model "),
        (ARN.replace("Demo", "demo"), "Could not find model "),  # ARNs are matched by case
        (ARN.replace("model/", "endpoint/"), "Could not find endpoint "),
        (ARN.replace("model/", "endpoint-config/"), "Could not find endpoint configuration "),
        (ARN.replace("model/", "training-job/"), "Could not find resource "),
        (ARN.replace("111122223333", "999999999999"), "Could not find resource "),
        (ARN.replace("us-east-1", "eu-west-1"), "Could not find resource "),
    ],
)
@pytest.mark.parametrize(
    ("operation", "members"),
    [("AddTags", {"Tags": []}), ("ListTags", {}), ("DeleteTags", {"TagKeys": ["team"]})],
)
def test_what_cannot_be_found(
    perform: Perform, arn: str, says: str, operation: str, members: dict[str, Any]
) -> None:
    with pytest.raises(ValidationException) as caught:
        perform(operation, ResourceArn=arn, **members)
    assert caught.value.message.startswith(says)
    assert arn in caught.value.message


def test_there_is_one_page(perform: Perform) -> None:
    assert "NextToken" not in perform("ListTags", ResourceArn=ARN, MaxResults=50)
    with pytest.raises(ValidationException, match="NextToken"):
        perform("ListTags", ResourceArn=ARN, NextToken="x")
