"""IAM through its own clients: boto3 and Debian's AWS CLI; and its keys, on both planes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import rival
from tests.acceptance.server import Server
from tests.acceptance.test_keys import holding
from tests.waiting import wait_until

ACCOUNT = "000000000000"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": ["*"]}],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(tmp_path_factory.mktemp("iam") / "data")
    yield server
    server.stop()


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status, answer["Error"]["Code"], answer["Error"]["Message"]


def with_key(server: Server, key: Any) -> Server:
    """The same server for whoever has a key that CreateAccessKey gave."""
    return holding(
        server,
        {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]},
    )


def said_to(server: Server) -> tuple[str, str]:
    """The codes with which the API and the data plane refuse a caller."""
    api = refusal(server.client("sagemaker").list_endpoints)[1]
    plane = refusal(
        server.client("sagemaker-runtime").invoke_endpoint, EndpointName="nobody", Body=b"x"
    )[1]
    return api, plane


def hears(server: Server, codes: tuple[str, str]) -> None:
    """Wait until both planes say so, whichever worker answers."""
    for _ in range(8):
        wait_until(lambda: said_to(server) == codes)


DENIED = ("AccessDeniedException", "AccessDeniedException")
"""The key is known, the signature right, and no policy allows it."""
UNKNOWN = ("UnrecognizedClientException", "UnrecognizedClientException")


# ── boto3 ───────────────────────────────────────────────────────────────────────────────────────
def test_boto3_reads_what_it_wrote(running: Server) -> None:
    iam = running.client("iam")
    role = iam.create_role(
        RoleName="Read.Me",
        AssumeRolePolicyDocument=json.dumps(TRUST, indent=4),
        Description="ä and <&>",
        Tags=[{"Key": "Team", "Value": "é"}],
    )["Role"]
    assert role["AssumeRolePolicyDocument"] == TRUST
    found = iam.get_role(RoleName="read.me")["Role"]
    assert found == {**role, "RoleLastUsed": {}}
    assert (found["Description"], found["Tags"][0]["Value"]) == ("ä and <&>", "é")
    iam.put_role_policy(RoleName="Read.Me", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    inline = iam.get_role_policy(RoleName="Read.Me", PolicyName="p")
    assert inline["PolicyDocument"] == POLICY
    policy = iam.create_policy(PolicyName="P", PolicyDocument=json.dumps(POLICY))["Policy"]
    iam.get_waiter("policy_exists").wait(PolicyArn=policy["Arn"])
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]
    assert version["Document"] == POLICY
    iam.attach_role_policy(RoleName="Read.Me", PolicyArn=policy["Arn"])
    details = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    (told,) = [each for each in details if each["RoleName"] == "Read.Me"]
    assert told["RolePolicyList"] == [{"PolicyName": "p", "PolicyDocument": POLICY}]
    names = [
        each["PolicyName"]
        for page in iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 2})
        for each in page["Policies"]
    ]
    assert {"P", "ReadOnlyAccess"} <= set(names)
    assert len(names) == len(set(names))


def test_errors_have_iam_s_codes_and_statuses(running: Server) -> None:
    iam = running.client("iam")
    says = "The role with name nobody cannot be found."
    assert refusal(iam.get_role, RoleName="nobody") == (404, "NoSuchEntity", says)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_user(UserName="nobody")
    iam.create_user(UserName="twice")
    taken = (409, "EntityAlreadyExists", "User with name TWICE already exists.")
    assert refusal(iam.create_user, UserName="TWICE") == taken
    malformed = {"PolicyName": "m", "PolicyDocument": "{"}
    assert refusal(iam.create_policy, **malformed)[:2] == (400, "MalformedPolicyDocument")
    assert refusal(iam.create_user, UserName="no spaces")[:2] == (400, "ValidationError")
    assert refusal(iam.create_user, UserName="x" * 65)[:2] == (400, "ValidationError")
    assert refusal(iam.list_users, PathPrefix="x")[:2] == (400, "ValidationError")
    assert refusal(iam.attach_user_policy, UserName="twice", PolicyArn="x" * 20)[:2] == (
        400,
        "InvalidInput",
    )
    iam.create_group(GroupName="g")
    iam.add_user_to_group(UserName="twice", GroupName="g")
    assert refusal(iam.delete_user, UserName="twice")[:2] == (409, "DeleteConflict")
    status, code, says = refusal(iam.create_instance_profile, InstanceProfileName="x")
    assert (status, code) == (400, "NotImplemented")
    assert "iam:CreateInstanceProfile" in says
    assert refusal(iam.update_login_profile, UserName="twice", Password="x")[1] == "NotImplemented"


def test_what_terraform_does_with_a_role(running: Server) -> None:
    """The calls of its provider for aws_iam_role, aws_iam_role_policy_attachment and
    aws_iam_policy, from the first to the last."""
    iam = running.client("iam")
    iam.create_role(
        RoleName="tf",
        Path="/",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        MaxSessionDuration=3600,
        Tags=[{"Key": "made", "Value": "by terraform"}],
    )
    assert iam.list_role_policies(RoleName="tf")["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName="tf")["AttachedPolicies"] == []
    iam.attach_role_policy(RoleName="tf", PolicyArn=READ_ONLY)
    found = iam.list_attached_role_policies(RoleName="tf")["AttachedPolicies"]
    assert found == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": READ_ONLY}]
    iam.update_role(RoleName="tf", MaxSessionDuration=7200)
    iam.tag_role(RoleName="tf", Tags=[{"Key": "more", "Value": "x"}])
    iam.untag_role(RoleName="tf", TagKeys=["made"])
    role = iam.get_role(RoleName="tf")["Role"]
    assert (role["MaxSessionDuration"], role["Tags"]) == (7200, [{"Key": "more", "Value": "x"}])
    iam.detach_role_policy(RoleName="tf", PolicyArn=READ_ONLY)
    assert iam.list_instance_profiles_for_role(RoleName="tf")["InstanceProfiles"] == []
    iam.delete_role(RoleName="tf")
    assert refusal(iam.get_role, RoleName="tf")[1] == "NoSuchEntity"


def test_simulations_are_answered_in_pages(running: Server) -> None:
    iam = running.client("iam")
    asked = {
        "PolicyInputList": [json.dumps(POLICY, indent=1)],
        "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:GetBucketAcl"],
    }
    pages = iam.get_paginator("simulate_custom_policy").paginate(
        **asked, PaginationConfig={"PageSize": 1}
    )
    results = [each for page in pages for each in page["EvaluationResults"]]
    decisions = [each["EvalDecision"] for each in results]
    assert decisions == ["allowed", "implicitDeny", "allowed"]
    (match,) = results[0]["MatchedStatements"]
    assert match["StartPosition"] == {"Line": 4, "Column": 3}


# ── keys ────────────────────────────────────────────────────────────────────────────────────────
def test_a_key_is_known_to_both_planes_at_once_and_no_longer_than_it_is_active(
    running: Server,
) -> None:
    iam = running.client("iam")
    user = iam.create_user(UserName="ana", Path="/eng/")["User"]
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    ana = with_key(running, key)
    caller = ana.client("sts").get_caller_identity()
    assert (caller["UserId"], caller["Account"], caller["Arn"]) == (
        user["UserId"],
        ACCOUNT,
        f"arn:aws:iam::{ACCOUNT}:user/eng/ana",
    )
    status, code, says = refusal(ana.client("iam").list_users)
    assert (status, code) == (403, "AccessDenied")
    assert says == (
        f"User: {user['Arn']} is not authorized to perform: iam:ListUsers because no "
        "identity-based policy allows the iam:ListUsers action"
    )
    hears(ana, DENIED)
    switch = {"UserName": "ana", "AccessKeyId": key["AccessKeyId"]}
    for status_, expected in (("Inactive", UNKNOWN), ("Active", DENIED)):
        iam.update_access_key(**switch, Status=status_)
        assert said_to(ana)[0] == expected[0]  # control knows when it has answered
        hears(ana, expected)
    assert refusal(ana.client("iam").get_user)[1] == "AccessDenied"
    iam.delete_access_key(**switch)
    assert refusal(ana.client("sts").get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    hears(ana, UNKNOWN)


def test_a_key_that_is_off_stays_off_when_control_is_killed(running: Server) -> None:
    iam = running.client("iam")
    iam.create_user(UserName="kim")
    keys = [iam.create_access_key(UserName="kim")["AccessKey"] for _ in range(2)]
    off, on = (with_key(running, key) for key in keys)
    wait_until(lambda: said_to(off) == DENIED)
    control = next(p["pid"] for p in running.status()["processes"] if p["name"] == "control")
    iam.update_access_key(UserName="kim", AccessKeyId=keys[0]["AccessKeyId"], Status="Inactive")
    os.kill(control, signal.SIGKILL)
    plane = {"EndpointName": "nobody", "Body": b"x"}
    invoke = off.client("sagemaker-runtime").invoke_endpoint
    for _ in range(8):  # whichever worker answers, while there is no control
        wait_until(lambda: refusal(invoke, **plane)[1] == UNKNOWN[1])
    wait_until(lambda: refusal(on.client("sagemaker").list_endpoints)[1] == DENIED[0])
    assert said_to(off) == UNKNOWN
    assert said_to(on) == DENIED


def test_a_key_that_was_never_used_says_so(running: Server) -> None:
    iam = running.client("iam")
    iam.create_user(UserName="lee")
    key = iam.create_access_key(UserName="lee")["AccessKey"]
    told = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert told["UserName"] == "lee"
    assert told["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}


def test_a_renamed_user_keeps_the_key(running: Server) -> None:
    iam = running.client("iam")
    iam.create_user(UserName="old")
    key = iam.create_access_key(UserName="old")["AccessKey"]
    iam.update_user(UserName="old", NewUserName="new", NewPath="/n/")
    caller = with_key(running, key).client("sts").get_caller_identity()
    assert caller["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/n/new"


# ── the AWS CLI ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.long
@pytest.mark.skipif(not rival.AWS.exists(), reason="Debian's package awscli is not installed")
def test_the_aws_cli(running: Server, tmp_path: Path) -> None:
    def aws(*words: str, code: int = 0) -> Any:
        done = rival.run(
            ["--endpoint-url", running.url, "--output", "json", *words],
            {
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
                "AWS_ACCESS_KEY_ID": running.credentials["access_key_id"],
                "AWS_SECRET_ACCESS_KEY": running.credentials["secret_access_key"],
                "AWS_DEFAULT_REGION": "us-east-1",
            },
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr.decode()

    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(TRUST))
    made = aws(
        *("iam", "create-role", "--role-name", "cli", "--path", "/c/"),
        *("--assume-role-policy-document", f"file://{trust}"),
    )["Role"]
    assert made["AssumeRolePolicyDocument"] == TRUST
    aws("iam", "create-user", "--user-name", "cli", "--tags", "Key=a,Value=b c")
    aws("iam", "attach-user-policy", "--user-name", "cli", "--policy-arn", READ_ONLY)
    key = aws("iam", "create-access-key", "--user-name", "cli")["AccessKey"]
    listed = aws("iam", "list-access-keys", "--user-name", "cli")["AccessKeyMetadata"]
    assert [each["AccessKeyId"] for each in listed] == [key["AccessKeyId"]]
    simulated = aws(
        *("iam", "simulate-principal-policy", "--policy-source-arn"),
        f"arn:aws:iam::{ACCOUNT}:user/cli",
        *("--action-names", "sagemaker:ListEndpoints", "sagemaker:CreateEndpoint"),
    )["EvaluationResults"]
    assert [each["EvalDecision"] for each in simulated] == ["allowed", "implicitDeny"]
    assert aws("iam", "list-user-tags", "--user-name", "cli")["Tags"] == [
        {"Key": "a", "Value": "b c"}
    ]
    assert "(DeleteConflict)" in aws("iam", "delete-user", "--user-name", "cli", code=254)
    assert aws("iam", "get-account-summary")["SummaryMap"]["Users"] >= 1
    assert aws("sts", "get-caller-identity")["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
