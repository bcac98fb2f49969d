"""Simulations: what IAM would decide, and which statements make it so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.operations.conftest import ACCOUNT, Perform
from tests.core.operations.iam.conftest import READ_ONLY, Refused, document, statement, trust

ANA = f"arn:aws:iam::{ACCOUNT}:user/ana"
BUCKET = "arn:aws:s3:::bucket"


def results(answer: Any) -> list[tuple[str, str, str, list[str]]]:
    return [
        (
            each["EvalActionName"],
            each["EvalResourceName"],
            each["EvalDecision"],
            [match["SourcePolicyId"] for match in each["MatchedStatements"]],
        )
        for each in answer["EvaluationResults"]
    ]


class TestCustom:
    def test_decisions_come_in_the_order_of_what_is_asked(self, perform: Perform) -> None:
        allows = document(statement(Resource=f"{BUCKET}/*"))
        denies = document(statement(Effect="Deny", Resource=f"{BUCKET}/secret"))
        told = perform(
            "SimulateCustomPolicy",
            PolicyInputList=[allows, denies],
            ActionNames=["s3:GetObject", "s3:Nonsense", "s3:GetObject"],
            ResourceArns=[f"{BUCKET}/secret", f"{BUCKET}/a"],
        )
        secret, other = (
            ("s3:GetObject", f"{BUCKET}/secret", "explicitDeny", ["PolicyInputList.2"]),
            ("s3:GetObject", f"{BUCKET}/a", "allowed", ["PolicyInputList.1"]),
        )
        nothing: list[tuple[str, str, str, list[str]]] = [
            ("s3:Nonsense", f"{BUCKET}/{name}", "implicitDeny", []) for name in ("secret", "a")
        ]
        assert results(told) == [secret, other, *nothing, secret, other]
        first = told["EvaluationResults"][0]
        (specific,) = first["ResourceSpecificResults"]
        assert specific["EvalResourceDecision"] == "explicitDeny"
        assert specific["MatchedStatements"] == first["MatchedStatements"]

    def test_a_match_says_where_the_statement_stands(self, perform: Perform) -> None:
        text = json.dumps(json.loads(document(statement(Sid="a"), statement(Sid="b"))), indent=2)
        told = perform("SimulateCustomPolicy", PolicyInputList=[text], ActionNames=["s3:GetObject"])
        (result,) = told["EvaluationResults"]
        assert result["EvalResourceName"] == "*"
        assert result["ResourceSpecificResults"] == []
        lines = text.splitlines()
        for match, sid in zip(result["MatchedStatements"], ("a", "b"), strict=True):
            assert match["SourcePolicyType"] == "IAM Policy"
            start, end = match["StartPosition"], match["EndPosition"]
            said = "\n".join(lines[start["Line"] - 1 : end["Line"]])
            assert f'"Sid": "{sid}"' in said

    def test_context_is_what_is_given_and_what_is_missing_is_told(self, perform: Perform) -> None:
        condition = {
            "StringEquals": {"aws:PrincipalTag/Team": "x"},
            "NumericLessThan": {"s3:max-keys": "5"},
        }
        asked: dict[str, Any] = {
            "PolicyInputList": [document(statement(Condition=condition))],
            "ActionNames": ["s3:GetObject"],
        }
        (result,) = perform("SimulateCustomPolicy", **asked)["EvaluationResults"]
        assert result["EvalDecision"] == "implicitDeny"
        assert result["MissingContextValues"] == ["aws:PrincipalTag/Team", "s3:max-keys"]
        team = {
            "ContextKeyName": "AWS:principaltag/team",
            "ContextKeyValues": ["x"],
            "ContextKeyType": "string",
        }
        most = {
            "ContextKeyName": "s3:max-keys",
            "ContextKeyValues": ["4"],
            "ContextKeyType": "numeric",
        }
        (result,) = perform("SimulateCustomPolicy", **asked, ContextEntries=[team, most])[
            "EvaluationResults"
        ]
        assert (result["EvalDecision"], result["MissingContextValues"]) == ("allowed", [])
        keys = perform("GetContextKeysForCustomPolicy", PolicyInputList=asked["PolicyInputList"])
        assert keys["ContextKeyNames"] == ["aws:PrincipalTag/Team", "s3:max-keys"]

    def test_a_boundary_bounds(self, perform: Perform) -> None:
        bound = document(statement(Action="s3:List*"))
        told = perform(
            "SimulateCustomPolicy",
            PolicyInputList=[document(statement(Action="s3:*"))],
            PermissionsBoundaryPolicyInputList=[bound],
            ActionNames=["s3:GetObject", "s3:ListBucket"],
        )
        assert [each["EvalDecision"] for each in told["EvaluationResults"]] == [
            "implicitDeny",
            "allowed",
        ]
        details = [each["PermissionsBoundaryDecisionDetail"] for each in told["EvaluationResults"]]
        assert [each["AllowedByPermissionsBoundary"] for each in details] == [False, True]

    def test_a_policy_of_the_resource_gives_it_to_the_caller(
        self, perform: Perform, refused: Refused
    ) -> None:
        policy = document(statement(Principal={"AWS": ANA}, Resource=f"{BUCKET}/*"))
        asked: dict[str, Any] = {
            "PolicyInputList": [document(statement(Action="s3:ListBucket"))],
            "ActionNames": ["s3:GetObject"],
            "ResourceArns": [f"{BUCKET}/k"],
            "ResourcePolicy": policy,
        }
        told = perform("SimulateCustomPolicy", **asked, CallerArn=ANA)
        assert results(told)[0][2:] == ("allowed", ["ResourcePolicy"])
        match = told["EvaluationResults"][0]["MatchedStatements"][0]
        assert match["SourcePolicyType"] == "Resource Policy"
        other = perform("SimulateCustomPolicy", **asked, CallerArn=ANA + "2")
        assert results(other)[0][2] == "implicitDeny"
        assert refused("SimulateCustomPolicy", **asked)[0] == "InvalidInput"
        everything = document(statement(Principal="*"))
        asked["ResourcePolicy"] = everything
        assert refused("SimulateCustomPolicy", **asked, CallerArn=ANA)[0] == "InvalidInput"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ActionNames": ["s3:Get*"]},
        {"ActionNames": ["GetObject"]},
        {"ActionNames": ["s3:Get:Object"]},
        {"PolicyInputList": ["{"]},
        {"PermissionsBoundaryPolicyInputList": [document(), document()]},
        {"CallerArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"},
        {"ResourceOwner": "nobody"},
        {"ContextEntries": [{"ContextKeyName": "a:b", "ContextKeyValues": ["1"]}]},
        {
            "ContextEntries": [
                {
                    "ContextKeyName": "a:b",
                    "ContextKeyValues": ["1", "2"],
                    "ContextKeyType": "string",
                }
            ]
        },
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_refused(refused: Refused, wrong: dict[str, Any]) -> None:
    asked = {"PolicyInputList": [document()], "ActionNames": ["s3:GetObject"], **wrong}
    code, words = refused("SimulateCustomPolicy", **asked)
    assert (code, bool(words)) == ("InvalidInput", True)


class TestPrincipal:
    def test_what_a_user_has_is_all_that_hangs_on_her(
        self, perform: Perform, refused: Refused
    ) -> None:
        perform("CreateUser", UserName="ana", Path="/p/", Tags=[{"Key": "Team", "Value": "x"}])
        perform("CreateGroup", GroupName="crew")
        perform("AddUserToGroup", UserName="ana", GroupName="crew")
        tagged = statement(
            Action="s3:PutObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "x"}}
        )
        own = document(tagged, statement(Action="s3:Get*", Resource=f"{BUCKET}/${{aws:username}}"))
        perform("PutUserPolicy", UserName="ana", PolicyName="mine", PolicyDocument=own)
        perform("PutGroupPolicy", GroupName="crew", PolicyName="ours", PolicyDocument=document())
        perform("AttachUserPolicy", UserName="ana", PolicyArn=READ_ONLY)
        asked: dict[str, Any] = {
            "PolicySourceArn": ANA,  # without her path
            "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "ResourceArns": [f"{BUCKET}/ana"],
        }
        told = results(perform("SimulatePrincipalPolicy", **asked))
        assert [each[2] for each in told] == ["allowed", "allowed", "implicitDeny"]
        assert told[0][3] == ["user_ana_mine", "ReadOnlyAccess", "group_crew_ours"]
        perform("PutUserPermissionsBoundary", UserName="ana", PermissionsBoundary=READ_ONLY)
        told = results(perform("SimulatePrincipalPolicy", **asked))
        assert [each[2] for each in told] == ["allowed", "implicitDeny", "implicitDeny"]
        more = document(statement(Effect="Deny", Action="s3:*"))
        told = results(perform("SimulatePrincipalPolicy", **asked, PolicyInputList=[more]))
        assert [each[2:] for each in told] == [("explicitDeny", ["PolicyInputList.1"])] * 3
        keys = perform("GetContextKeysForPrincipalPolicy", PolicySourceArn=ANA)["ContextKeyNames"]
        assert {"aws:PrincipalTag/team", "aws:username"} <= set(keys)
        gone = {**asked, "PolicySourceArn": ANA + "2"}
        assert refused("SimulatePrincipalPolicy", **gone)[0] == "NoSuchEntity"
        nonsense = {**asked, "PolicySourceArn": READ_ONLY}
        assert refused("SimulatePrincipalPolicy", **nonsense)[0] == "InvalidInput"

    def test_as_sagemaker_s_sdk_asks_of_a_role(self, perform: Perform) -> None:
        """One action on `*` by page, of a role that a service becomes."""
        perform("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
        perform("PutRolePolicy", RoleName="R", PolicyName="p", PolicyDocument=document())
        asked: dict[str, Any] = {
            "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/R",
            "ActionNames": ["ecr:GetAuthorizationToken", "s3:GetObject"],
        }
        first = perform("SimulatePrincipalPolicy", **asked, MaxItems=1)
        assert results(first)[0][2] == "implicitDeny"
        rest = perform("SimulatePrincipalPolicy", **asked, MaxItems=1, Marker=first["Marker"])
        assert results(rest) == [("s3:GetObject", "*", "allowed", ["role_R_p"])]
        assert rest["IsTruncated"] is False

    def test_what_nobody_reads_is_not_simulated(self, perform: Perform) -> None:
        """Of 20,000 actions on 20,000 resources a page is decided."""
        many = [f"s3:Action{n}" for n in range(20_000)]
        asked: dict[str, Any] = {
            "PolicyInputList": [document(statement(Action="s3:Action0"))],
            "ActionNames": many,
            "ResourceArns": [f"{BUCKET}/{n}" for n in range(20_000)],
        }
        page = perform("SimulateCustomPolicy", **asked, MaxItems=2)
        assert [each[:3] for each in results(page)] == [
            (many[0], f"{BUCKET}/0", "allowed"),
            (many[0], f"{BUCKET}/1", "allowed"),
        ]
        page = perform("SimulateCustomPolicy", **asked, MaxItems=1, Marker=page["Marker"])
        assert results(page)[0][1] == f"{BUCKET}/2"

    def test_a_group_can_be_asked_too(self, perform: Perform) -> None:
        perform("CreateGroup", GroupName="g")
        perform("PutGroupPolicy", GroupName="g", PolicyName="p", PolicyDocument=document())
        arn = f"arn:aws:iam::{ACCOUNT}:group/g"
        told = perform("SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=["s3:GetObject"])
        assert results(told) == [("s3:GetObject", "*", "allowed", ["group_g_p"])]
