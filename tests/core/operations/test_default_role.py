"""The default execution role: made with an account, and what root can become."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from inservice.errors import AccessDeniedException, ValidationError
from inservice.identity.iam.errors import DeleteConflict, NoSuchEntity, UnmodifiableEntity
from inservice.operations.own.access_keys import ensure_root_key
from inservice.operations.own.default_role import NAME, ensure_default_role
from inservice.store.base import Store
from tests.core.operations.conftest import ACCOUNT, Perform

OTHER = "444455556666"
ARN = f"arn:aws:iam::{ACCOUNT}:role/service-role/{NAME}"
MODEL_ROLE = {"RoleName": NAME}


def taken_away(perform: Perform) -> None:
    attached = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    perform("DetachRolePolicy", **MODEL_ROLE, PolicyArn=attached)
    inline = "AmazonSageMaker-ExecutionPolicy"
    perform("DeleteRolePolicy", **MODEL_ROLE, PolicyName=inline)
    perform("DeleteRole", **MODEL_ROLE)


def decisions(perform: Perform, actions: list[str], resource: str, **more: Any) -> set[str]:
    simulated = perform(
        "SimulatePrincipalPolicy",
        PolicySourceArn=ARN,
        ActionNames=actions,
        ResourceArns=[resource],
        **more,
    )
    return {each["EvalDecision"] for each in simulated["EvaluationResults"]}


def test_it_trusts_sagemaker_and_has_what_hosting_needs(perform: Perform, store: Store) -> None:
    ensure_default_role(store, ACCOUNT)
    role = perform("GetRole", **MODEL_ROLE)["Role"]
    assert role["Arn"] == ARN
    trust = json.loads(unquote(role["AssumeRolePolicyDocument"]))
    assert [each["Principal"] for each in trust["Statement"]] == [
        {"Service": "sagemaker.amazonaws.com"}
    ]
    bucket, allowed = "arn:aws:s3:::data", {"allowed"}
    assert decisions(perform, ["sagemaker:CreateModel", "ecr:GetAuthorizationToken"], "*") == (
        allowed
    )
    own = {"ResourceOwner": f"arn:aws:iam::{ACCOUNT}:root"}
    assert decisions(perform, ["s3:GetObject", "s3:PutObject"], f"{bucket}/k", **own) == allowed
    assert decisions(perform, ["s3:ListBucket"], bucket, **own) == allowed
    foreign = {"ResourceOwner": f"arn:aws:iam::{OTHER}:root"}
    assert decisions(perform, ["s3:PutObject"], f"{bucket}/k", **foreign) == {"implicitDeny"}
    assert decisions(perform, ["iam:GetRole", "iam:SimulatePrincipalPolicy"], ARN) == allowed
    assert decisions(perform, ["iam:CreateUser", "iam:AttachRolePolicy"], ARN) == {"implicitDeny"}


def test_a_restart_does_not_bring_back_what_was_deleted(perform: Perform, store: Store) -> None:
    ensure_root_key(store, ACCOUNT)
    ensure_default_role(store, ACCOUNT)
    taken_away(perform)
    ensure_root_key(store, ACCOUNT)
    ensure_default_role(store, ACCOUNT)
    with store.reading() as records:
        assert records.roles.named(ACCOUNT, NAME) is None


def test_one_of_that_name_that_is_there_is_left_as_it_is(perform: Perform, store: Store) -> None:
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            },
        }
    )
    perform("CreateRole", **MODEL_ROLE, AssumeRolePolicyDocument=trust, Description="mine")
    ensure_default_role(store, ACCOUNT)
    assert perform("GetRole", **MODEL_ROLE)["Role"]["Description"] == "mine"
    assert perform("ListAttachedRolePolicies", **MODEL_ROLE)["AttachedPolicies"] == []


def test_the_own_account_is_listed_once_and_by_its_id(perform: Perform, store: Store) -> None:
    ensure_root_key(store, ACCOUNT)
    before = perform("ListAccounts")
    ensure_default_role(store, ACCOUNT)
    assert perform("ListAccounts") == before


def test_an_account_has_its_own_and_it_goes_with_it(perform: Perform) -> None:
    perform("CreateAccount", AccountId=OTHER)
    role = perform("GetRole", account=OTHER, **MODEL_ROLE)["Role"]
    assert role["Arn"] == f"arn:aws:iam::{OTHER}:role/service-role/{NAME}"
    perform("BeginRoleSession", account=OTHER, RoleSessionName="se")
    perform("CreateUser", account=OTHER, UserName="ana")
    with pytest.raises(DeleteConflict, match=r"users \(1\)"):
        perform("DeleteAccount", AccountId=OTHER)
    assert perform("GetRole", account=OTHER, **MODEL_ROLE)["Role"] == role, "nothing was done"
    perform("DeleteUser", account=OTHER, UserName="ana")
    perform("DeleteAccount", AccountId=OTHER)
    with pytest.raises(NoSuchEntity):
        perform("GetRole", account=OTHER, **MODEL_ROLE)


# ── becoming it ─────────────────────────────────────────────────────────────────────────────────
def test_root_becomes_a_role_that_trusts_only_sagemaker(perform: Perform, store: Store) -> None:
    ensure_default_role(store, ACCOUNT)
    begun = perform("BeginRoleSession", RoleSessionName="tries", now=1_000.0)
    assert begun["RoleArn"] == ARN
    assert begun["AssumedRoleArn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAME}/tries"
    keys = begun["Credentials"]
    assert keys["Expiration"] == 1_000.0 + 3_600
    with store.reading() as records:
        kept = records.sessions.find(keys["AccessKeyId"])
        assert kept is not None
        assert kept.session is not None
        assert kept.session.holder == ARN
        assert kept.secret == keys["SecretAccessKey"]


@pytest.mark.parametrize("who", ["user/admin", "role/admin"])
def test_nobody_but_root_does(perform: Perform, store: Store, who: str) -> None:
    """Whatever policies say: who has passed them gets here."""
    ensure_default_role(store, ACCOUNT)
    with pytest.raises(AccessDeniedException):
        perform(
            "BeginRoleSession", principal=f"arn:aws:iam::{ACCOUNT}:{who}", RoleSessionName="tries"
        )
    with store.reading() as records:
        assert not records.sessions.all()


def test_a_role_is_its_account_s_and_no_service_s(perform: Perform, store: Store) -> None:
    ensure_default_role(store, ACCOUNT)
    service = "sagemaker.application-autoscaling.amazonaws.com"
    perform("CreateServiceLinkedRole", AWSServiceName=service)
    linked = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    for name, refused in ((linked, UnmodifiableEntity), ("nobody", NoSuchEntity)):
        with pytest.raises(refused):
            perform("BeginRoleSession", RoleSessionName="tries", RoleName=name)
    with pytest.raises(ValidationError, match="MaxSessionDuration"):
        perform("BeginRoleSession", RoleSessionName="tries", DurationSeconds=7_200)
    with store.reading() as records:
        assert not records.sessions.all()
