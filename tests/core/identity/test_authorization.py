"""Who may do what, until there are policies: root, and nobody else."""

from __future__ import annotations

import pytest

from inservice.identity.authorization import denial
from inservice.identity.principal import Account, Principal

ACCOUNT = "000000000001"


def test_root_may_do_everything_in_its_account() -> None:
    assert denial(Account(ACCOUNT).root, "sagemaker:InvokeEndpoint") is None


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{ACCOUNT}:user/nobody",
        f"arn:aws:iam::{ACCOUNT}:role/root",
        f"arn:aws:iam::{ACCOUNT}:user/root",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/r/root",
        "arn:aws:iam::000000000002:root",
        f"arn:aws:iam::{ACCOUNT}:root ",
        f"arn:aws:iam::{ACCOUNT}:ROOT",
        "root",
        "",
    ],
)
def test_nobody_else_may_do_anything(arn: str) -> None:
    words = denial(Principal(ACCOUNT, arn), "sagemaker:InvokeEndpoint", "eu-west-1", "endpoint/e")
    assert words == (
        f"User: {arn} is not authorized to perform: sagemaker:InvokeEndpoint on resource: "
        f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/e because no identity-based policy "
        "allows the sagemaker:InvokeEndpoint action"
    )


def test_a_resource_that_is_not_known_is_not_named() -> None:
    words = denial(Principal(ACCOUNT, "x"), "sagemaker:ListEndpoints")
    assert words is not None
    assert "on resource" not in words
