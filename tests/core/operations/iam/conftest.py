"""IAM's operations on a real store, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from inservice.errors import AwsError
from tests.core.operations.conftest import Perform

Refused = Callable[..., tuple[str, str]]

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def statement(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **more}


def document(*statements: dict[str, Any], padding: int = 0) -> str:
    """A policy's document, longer by a Sid of `padding` characters."""
    several = list(statements) or [statement()]
    if padding:
        several[0] = {**several[0], "Sid": "x" * padding}
    return json.dumps({"Version": "2012-10-17", "Statement": several})


def trust(principal: Any = None, **more: Any) -> str:
    """A trust policy."""
    principal = {"Service": "sagemaker.amazonaws.com"} if principal is None else principal
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
            ],
        }
    )


def decoded(text: str) -> Any:
    """A document as answers hold it, as a client decodes it."""
    return json.loads(unquote(text))


@pytest.fixture
def refused(perform: Perform) -> Refused:
    """The code and the words with which an operation is refused."""

    def refuse(name: str, **members: Any) -> tuple[str, str]:
        with pytest.raises(AwsError) as caught:
            perform(name, **members)
        return caught.value.code, caught.value.message

    return refuse


@pytest.fixture
def everything(perform: Perform) -> Callable[[], Mapping[str, Any]]:
    """All that an account has, keys included: to compare before and after a refusal."""

    def tell() -> Mapping[str, Any]:
        details = dict(perform("GetAccountAuthorizationDetails", now=0.0, MaxItems=1000))
        for user in details["UserDetailList"]:
            name = user["UserName"]
            details[name] = perform("ListAccessKeys", now=0.0, UserName=name)["AccessKeyMetadata"]
        for policy in details["Policies"]:
            details[policy["Arn"]] = perform("GetPolicy", now=0.0, PolicyArn=policy["Arn"])
        return details

    return tell
