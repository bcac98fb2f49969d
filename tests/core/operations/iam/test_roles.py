"""Roles: whom they trust, what they may be, and the roles of services."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import READ_ONLY, Refused, decoded, document, trust

ANA = f"arn:aws:iam::{ACCOUNT}:user/Ana"
SCALING = "sagemaker.application-autoscaling.amazonaws.com"
SCALER = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def test_a_role_is_made_and_told_whole(perform: Perform) -> None:
    text = trust().replace(": ", " :  ")
    made = perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=text, now=5.0)["Role"]
    assert re.fullmatch("AROA[A-Z2-7]{17}", made["RoleId"])
    assert made["AssumeRolePolicyDocument"].startswith("%7B%22Version%22%20%3A%20%20%222012-10-17")
    assert made == {
        "Path": "/",
        "RoleName": "R",
        "RoleId": made["RoleId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/R",
        "CreateDate": 5.0,
        "AssumeRolePolicyDocument": made["AssumeRolePolicyDocument"],
        "MaxSessionDuration": 3600,
        "RoleLastUsed": {},
    }
    assert perform("GetRole", RoleName="r")["Role"] == made
    (line,) = perform("ListRoles")["Roles"]
    assert line == {k: v for k, v in made.items() if k != "RoleLastUsed"}


def test_what_is_left_out_of_an_update_stays(perform: Perform) -> None:
    perform(
        "CreateRole",
        RoleName="R",
        AssumeRolePolicyDocument=trust(),
        MaxSessionDuration=7200,
        Description="d",
        PermissionsBoundary=READ_ONLY,
        Tags=[{"Key": "k", "Value": "v"}],
    )
    perform("UpdateRole", RoleName="R", Description="e")
    perform("UpdateRole", RoleName="R", MaxSessionDuration=9000)
    perform("UpdateRoleDescription", RoleName="R", Description="f")
    role = perform("GetRole", RoleName="R")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("f", 9000)
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    assert role["Tags"] == [{"Key": "k", "Value": "v"}]


class TestTrust:
    def test_who_is_not_there_is_not_trusted(
        self, perform: Perform, refused: Refused, everything: Callable[[], Mapping[str, Any]]
    ) -> None:
        perform("CreateUser", UserName="Ana", Path="/p/")
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
        before = everything()
        for arn in (
            f"arn:aws:iam::{ACCOUNT}:user/Bea",
            f"arn:aws:iam::{ACCOUNT}:user/Ana",  # without her path
            f"arn:aws:iam::{ACCOUNT}:user/p/ana",
            f"arn:aws:iam::{ACCOUNT}:role/R2",
            "AIDAQQQQQQQQQQQQQQQQQ",
        ):
            text = trust({"AWS": ["*", arn]})
            says = ("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{arn}"')
            made = {"RoleName": "S", "AssumeRolePolicyDocument": text}
            assert refused("CreateRole", **made) == says
            assert refused("UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=text) == says
        assert everything() == before

    def test_whether_another_account_has_somebody_is_not_told(self, perform: Perform) -> None:
        """Neither by a refusal nor by an id in the place of the ARN, now or once they are gone."""
        other = "444455556666"
        perform("CreateUser", account=other, UserName="there")

        def told(name: str) -> Any:
            text = trust({"AWS": f"arn:aws:iam::{other}:user/{name}"})
            perform("UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=text)
            role = perform("GetRole", RoleName="R")["Role"]
            return decoded(role["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]["AWS"]

        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
        assert [told(name) for name in ("there", "nobody")] == [
            f"arn:aws:iam::{other}:user/there",
            f"arn:aws:iam::{other}:user/nobody",
        ]
        told("there")
        perform("DeleteUser", account=other, UserName="there")
        role = perform("GetRole", RoleName="R")["Role"]
        named = decoded(role["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]["AWS"]
        assert named == f"arn:aws:iam::{other}:user/there"

    def test_whom_it_means_is_who_was_there(self, perform: Perform) -> None:
        """Of the same name is somebody else: the statement tells the id of who is gone."""
        made = perform("CreateUser", UserName="Ana")["User"]
        root = f"arn:aws:iam::{ACCOUNT}:root"
        text = trust({"AWS": [ANA, root], "Service": "sagemaker.amazonaws.com"})
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=text)

        def trusted(role: str = "R") -> Any:
            told = perform("GetRole", RoleName=role)["Role"]["AssumeRolePolicyDocument"]
            return decoded(told)["Statement"][0]["Principal"]["AWS"]

        assert trusted() == [ANA, root]
        perform("UpdateUser", UserName="Ana", NewUserName="Bea")
        assert trusted() == [f"arn:aws:iam::{ACCOUNT}:user/Bea", root]
        perform("UpdateUser", UserName="Bea", NewUserName="Ana")
        perform("DeleteUser", UserName="Ana")
        assert trusted() == [made["UserId"], root]
        perform("CreateUser", UserName="Ana")
        assert trusted() == [made["UserId"], root]
        perform("UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=trust({"AWS": ANA}))
        assert trusted() == ANA

    def test_an_id_of_who_is_there_is_taken(self, perform: Perform) -> None:
        made = perform("CreateUser", UserName="Ana")["User"]
        text = trust({"AWS": made["UserId"]})
        role = perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=text)["Role"]
        assert decoded(role["AssumeRolePolicyDocument"]) == json.loads(text)

    @pytest.mark.parametrize(
        "text",
        ["{", document(), trust(Resource="*"), trust().replace("sts:AssumeRole", "s3:GetObject")],
        ids=["no JSON", "names nobody", "has a resource", "is about something else"],
    )
    def test_what_is_no_trust_policy_is_refused(
        self, perform: Perform, refused: Refused, text: str
    ) -> None:
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
        made = {"RoleName": "S", "AssumeRolePolicyDocument": text}
        assert refused("CreateRole", **made)[0] == "MalformedPolicyDocument"
        code, words = refused("UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=text)
        assert code == "MalformedPolicyDocument"
        assert words

    def test_it_has_a_size(self, perform: Perform, refused: Refused) -> None:
        long = trust(Sid="x" * 2048)
        limit = ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
        assert refused("CreateRole", RoleName="R", AssumeRolePolicyDocument=long) == limit
        spacious = json.dumps(json.loads(trust()), indent=200)  # which is not counted
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=spacious)


def test_what_hangs_on_a_role_goes_first(perform: Perform, refused: Refused) -> None:
    perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
    assert refused("CreateRole", RoleName="r", AssumeRolePolicyDocument=trust()) == (
        "EntityAlreadyExists",
        "Role with name r already exists.",
    )
    perform("AttachRolePolicy", RoleName="R", PolicyArn=READ_ONLY)
    perform("PutRolePolicy", RoleName="R", PolicyName="p", PolicyDocument=document())
    words = "Cannot delete entity, must {} first."
    conflict = ("DeleteConflict", words.format("detach all policies"))
    assert refused("DeleteRole", RoleName="R") == conflict
    perform("DetachRolePolicy", RoleName="R", PolicyArn=READ_ONLY)
    conflict = ("DeleteConflict", words.format("delete policies"))
    assert refused("DeleteRole", RoleName="R") == conflict
    perform("DeleteRolePolicy", RoleName="R", PolicyName="p")
    assert perform("ListInstanceProfilesForRole", RoleName="R")["InstanceProfiles"] == []
    perform("DeleteRole", RoleName="R")
    missing = ("NoSuchEntity", "The role with name R cannot be found.")
    for name in ("GetRole", "DeleteRole", "ListRolePolicies", "ListInstanceProfilesForRole"):
        assert refused(name, RoleName="R") == missing


class TestRolesOfServices:
    def test_one_is_made_once_and_changed_by_nobody(
        self, perform: Perform, refused: Refused, everything: Callable[[], Mapping[str, Any]]
    ) -> None:
        role = perform("CreateServiceLinkedRole", AWSServiceName=SCALING)["Role"]
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{SCALING}/{SCALER}"
        (said,) = decoded(role["AssumeRolePolicyDocument"])["Statement"]
        assert said["Principal"] == {"Service": SCALING}
        (policy,) = perform("ListAttachedRolePolicies", RoleName=SCALER)["AttachedPolicies"]
        assert policy["PolicyName"] == "AWSApplicationAutoscalingSageMakerEndpointPolicy"
        perform("CreateUser", UserName="e")
        for_services = {"UserName": "e", "PolicyArn": policy["PolicyArn"]}
        assert refused("AttachUserPolicy", **for_services)[0] == "PolicyNotAttachable"
        code, words = refused("CreateServiceLinkedRole", AWSServiceName=SCALING)
        assert (code, SCALER in words) == ("InvalidInput", True)
        before = everything()
        attached = {"PolicyArn": READ_ONLY}
        named = {"PolicyName": "p"}
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("DeleteRole", {}),
            ("UpdateRole", {"Description": "x"}),
            ("UpdateAssumeRolePolicy", {"PolicyDocument": trust()}),
            ("AttachRolePolicy", attached),
            ("DetachRolePolicy", attached),
            ("PutRolePolicy", {**named, "PolicyDocument": document()}),
            ("DeleteRolePolicy", named),
            ("PutRolePermissionsBoundary", {"PermissionsBoundary": READ_ONLY}),
            ("DeleteRolePermissionsBoundary", {}),
        )
        for name, members in calls:
            assert refused(name, RoleName=SCALER, **members) == (
                "UnmodifiableEntity",
                (
                    f"Cannot perform the operation on the protected role '{SCALER}' - this role is "
                    "only modifiable by AWS"
                ),
            ), name
        assert everything() == before

    def test_its_deletion_is_a_task_that_is_over(self, perform: Perform, refused: Refused) -> None:
        perform("CreateServiceLinkedRole", AWSServiceName=SCALING)
        task = perform("DeleteServiceLinkedRole", RoleName=SCALER)["DeletionTaskId"]
        assert task.startswith(f"task/aws-service-role/{SCALING}/{SCALER}/")
        told = perform("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task)
        assert told == {"Status": "SUCCEEDED"}
        assert refused("GetRole", RoleName=SCALER)[0] == "NoSuchEntity"
        for other in (task[:-1], task + "0", "task/x", task.replace(SCALER, "R")):
            code, _ = refused("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=other)
            assert code == "NoSuchEntity"
        elsewhere = refused(
            "GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task, account="000000000000"
        )
        assert elsewhere[0] == "NoSuchEntity"
        perform("CreateServiceLinkedRole", AWSServiceName=SCALING)

    def test_others_are_none_of_a_service_or_none_of_ours(
        self, perform: Perform, refused: Refused
    ) -> None:
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
        assert refused("DeleteServiceLinkedRole", RoleName="R")[0] == "NoSuchEntity"
        code, words = refused("CreateServiceLinkedRole", AWSServiceName="ecs.amazonaws.com")
        assert (code, "ecs.amazonaws.com" in words) == ("NotImplemented", True)
        assert refused("CreateServiceLinkedRole", AWSServiceName="nonsense")[0] == "InvalidInput"
        suffixed = {"AWSServiceName": SCALING, "CustomSuffix": "x"}
        assert refused("CreateServiceLinkedRole", **suffixed)[0] == "InvalidInput"
