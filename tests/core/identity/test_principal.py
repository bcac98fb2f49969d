"""Who a principal is, by its name alone, and what policies may know of it."""

from __future__ import annotations

import pytest

from inservice.identity.principal import (
    ANONYMOUS,
    Account,
    Principal,
    PrincipalKind,
    federated_user,
    role_session,
    service,
    user,
    web_identity,
)

A = "000000000001"
PROVIDER = f"arn:aws:iam::{A}:oidc-provider/token.example.com/path"


@pytest.mark.parametrize(
    ("principal", "kind", "context"),
    [
        (
            Account(A).root,
            PrincipalKind.ROOT,
            {"arn": f"arn:aws:iam::{A}:root", "type": "Account", "userid": A},
        ),
        (
            user(A, "ana", "/team/", "AIDA"),
            PrincipalKind.USER,
            {"arn": f"arn:aws:iam::{A}:user/team/ana", "type": "User", "userid": "AIDA"},
        ),
        (
            role_session(A, "r", "ana", "/team/", "AROA"),
            PrincipalKind.ROLE_SESSION,
            {"arn": f"arn:aws:iam::{A}:role/team/r", "type": "AssumedRole", "userid": "AROA:ana"},
        ),
        (
            federated_user(A, "ana"),
            PrincipalKind.FEDERATED_USER,
            {
                "arn": f"arn:aws:sts::{A}:federated-user/ana",
                "type": "FederatedUser",
                "userid": f"{A}:ana",
            },
        ),
        (ANONYMOUS, PrincipalKind.ANONYMOUS, {"type": "Anonymous", "userid": "anonymous"}),
    ],
)
def test_values_of_the_table_of_principals(
    principal: Principal, kind: PrincipalKind, context: dict[str, str]
) -> None:
    has = principal.context()
    assert principal.kind is kind
    assert has.pop("aws:principaltype") == context["type"]
    assert has.pop("aws:principalarn", None) == context.get("arn")
    assert has.pop("aws:userid") == context["userid"] == principal.userid
    assert has.pop("aws:principalaccount", "") == principal.account
    assert has.pop("aws:principalisawsservice") == "false"
    assert has == ({"aws:username": "ana"} if kind is PrincipalKind.USER else {})


def test_a_service_is_of_no_account() -> None:
    sagemaker = service("sagemaker.amazonaws.com")
    assert sagemaker.kind is PrincipalKind.SERVICE
    assert sagemaker.context() == {
        "aws:principaltype": "Service",
        "aws:principalisawsservice": "true",
        "aws:principalservicename": "sagemaker.amazonaws.com",
    }


def test_a_token_is_of_its_provider() -> None:
    assert web_identity(A, PROVIDER).kind is PrincipalKind.WEB_IDENTITY


def test_a_session_of_a_role_that_is_not_known_does_not_guess_it() -> None:
    stored = Principal(A, f"arn:aws:sts::{A}:assumed-role/r/ana")
    assert stored.kind is PrincipalKind.ROLE_SESSION
    assert "aws:principalarn" not in stored.context()
    assert "aws:userid" not in stored.context()


@pytest.mark.parametrize(
    ("account", "arn"),
    [
        (A, ""),
        (A, "root"),
        (A, "anonymous"),
        (A, "sagemaker.amazonaws.com"),
        (A, "arn:aws:iam::000000000002:root"),
        (A, "arn:aws:iam::000000000002:user/ana"),
        (A, f"arn:aws:iam::{A}:root "),
        (A, f"arn:aws:iam::{A}:user/"),
        (A, f"arn:aws:iam::{A}:user//ana"),
        (A, f"arn:aws:iam::{A}:group/g"),
        (A, f"arn:aws:iam::{A}:role/r"),
        (A, f"arn:aws:sts::{A}:assumed-role/r"),
        (A, f"arn:aws:sts::{A}:assumed-role/path/r/ana"),
        ("", "arn:aws:iam:::user/ana"),
        ("", "sagemaker.example.com"),
        ("", ""),
    ],
)
def test_any_other_name_is_nobodys(account: str, arn: str) -> None:
    nobody = Principal(account, arn)
    assert nobody.kind is PrincipalKind.UNKNOWN
    assert not nobody.is_root
    assert "aws:principaltype" not in nobody.context()
