"""Execution roles: who is taken for one, and what the history of an endpoint says of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inservice.errors import ValidationException
from inservice.store.base import Store
from inservice.store.listing import ListQuery
from tests.core.operations.conftest import ACCOUNT, REGION, NothingRuns, Perform

CONTAINER = {"Image": "inservice", "ModelDataUrl": "file:///m.tar.gz"}
SAGEMAKER = {"Service": "sagemaker.amazonaws.com"}


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def trust(principal: Any, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def refusal(arn: str) -> str:
    return (
        f'The execution role ARN "{arn}" is invalid. Please ensure that the role exists and that '
        'its trust relationship policy allows the action "sts:AssumeRole" for the service '
        'principal "sagemaker.amazonaws.com".'
    )


SOURCE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:*"
TRUSTED: list[tuple[str, bool]] = [
    (trust(SAGEMAKER), True),
    (trust({"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}), True),
    (trust({"Service": "ec2.amazonaws.com"}), False),
    (trust({"AWS": ACCOUNT}), False),
    (trust(SAGEMAKER, Effect="Deny"), False),
    (trust(SAGEMAKER, Action="sts:TagSession"), False),
    (trust(SAGEMAKER, Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}}), True),
    (trust(SAGEMAKER, Condition={"StringEquals": {"aws:SourceAccount": "444455556666"}}), False),
    (trust(SAGEMAKER, Condition={"ArnLike": {"aws:SourceArn": SOURCE}}), True),
    (trust(SAGEMAKER, Condition={"ArnLike": {"aws:SourceArn": f"{SOURCE[:-1]}domain/*"}}), False),
]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(("document", "usable"), TRUSTED)
def test_a_role_that_is_here_must_trust_sagemaker(
    perform: Perform,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    document: str,
    usable: bool,
    existing: bool,
) -> None:
    monkeypatch.setattr(NothingRuns, "takes_unknown_roles", not existing)
    perform("CreateRole", RoleName="r", AssumeRolePolicyDocument=document, Path="/p/")
    perform("CreateModel", ModelName="free", PrimaryContainer=CONTAINER)
    arn = role_arn("p/r")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("CreateModel", {"ModelName": "m", "PrimaryContainer": CONTAINER}),
        ("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant()]}),
    ]
    for name, members in calls:
        if usable:
            perform(name, ExecutionRoleArn=arn, **members)
        else:
            with pytest.raises(ValidationException) as caught:
                perform(name, ExecutionRoleArn=arn, **members)
            assert caught.value.message == refusal(arn)
    with store.reading() as records:
        lines = records.models.page(ListQuery(ACCOUNT, REGION, limit=9)).lines
    assert {line.name for line in lines} == ({"free", "m"} if usable else {"free"})


def variant(model: str = "free") -> dict[str, Any]:
    return {
        "VariantName": "v",
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }


UNKNOWN = [
    role_arn("none"),
    role_arn("R"),  # there is an "r"
    role_arn("path/r"),
    "arn:aws:iam::444455556666:role/service-role/AmazonSageMaker-ExecutionRole-20250101T000000",
    f"arn:aws-cn:iam::{ACCOUNT}:role/r",
    "arn:aws:iam::444455556666:role/theirs",  # it is there, and trusts SageMaker
    "arn:aws:iam::444455556666:role/closed",  # it is there, and does not
]


@pytest.mark.parametrize("arn", UNKNOWN)
def test_a_role_that_is_not_here_is_taken_and_told_of_unless_it_is_set_otherwise(
    perform: Perform, store: Store, monkeypatch: pytest.MonkeyPatch, arn: str
) -> None:
    perform("CreateRole", RoleName="r", AssumeRolePolicyDocument=trust(SAGEMAKER))
    for name, document in (("theirs", trust(SAGEMAKER)), ("closed", trust({"AWS": "*"}))):
        perform(
            "CreateRole",
            account="444455556666",
            RoleName=name,
            AssumeRolePolicyDocument=document,
        )
    perform("CreateModel", ModelName="m", PrimaryContainer=CONTAINER, ExecutionRoleArn=arn)
    perform(
        "CreateModel", ModelName="n", PrimaryContainer=CONTAINER, ExecutionRoleArn=role_arn("r")
    )
    for name, model in (("c", "m"), ("d", "n")):
        perform(
            "CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant(model)]
        )
        perform("CreateEndpoint", EndpointName=name, EndpointConfigName=name)
    with store.reading() as records:
        told = {
            name: [event.message for _, event in records.endpoints.events((ACCOUNT, REGION, name))]
            for name in ("c", "d")
        }
    assert told == {
        "c": [
            "Creating the endpoint.",
            f"The execution role {arn} is not known here and was not checked.",
        ],
        "d": ["Creating the endpoint."],
    }
    monkeypatch.setattr(NothingRuns, "takes_unknown_roles", False)
    with pytest.raises(ValidationException) as caught:
        perform("CreateModel", ModelName="x", PrimaryContainer=CONTAINER, ExecutionRoleArn=arn)
    assert caught.value.message == refusal(arn)
    perform("CreateModel", ModelName="x", PrimaryContainer=CONTAINER)
