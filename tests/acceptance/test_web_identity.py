"""Who shows a token of an identity provider, and who vouches for somebody: on a real server, by
boto3, on both planes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from inservice.operations import registry
from tests.acceptance.server import run_cli
from tests.acceptance.test_sessions import (
    ACCOUNT,
    INVOKE,
    LIST,
    Client,
    World,
    allow,
    document,
)
from tests.issuers import AUDIENCE, Issuer, issuer
from tests.waiting import wait_until

CODE = """
import boto3, json, os
url = os.environ["AWS_ENDPOINT_URL"]
who = boto3.client("sts").get_caller_identity()["Arn"]
models = [each["ModelName"] for each in boto3.client("sagemaker").list_models()["Models"]]
said = boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"hello")
print(json.dumps([who, models, json.loads(said["Body"].read())["said"]]))
"""
"""A program as it runs in CI: it knows of no keys."""

REFUSED = {
    "expired": "ExpiredTokenException",
    "not yet": "IDPRejectedClaim",
}
"""What is said to a bad token; to all others that it is none."""


class Federated(World):
    """The world of sessions, with an identity provider and a role that takes its tokens."""

    def __init__(self, data: Path, directory: Path, there: Issuer) -> None:
        super().__init__(data, directory)
        self.issuer = there
        self.provider = self.iam.create_open_id_connect_provider(
            Url=there.url, ClientIDList=[AUDIENCE]
        )["OpenIDConnectProviderArn"]
        self.host = there.url.partition("://")[2]
        self.trust = {
            "Effect": "Allow",
            "Principal": {"Federated": self.provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{self.host}:aud": AUDIENCE},
                "StringLike": {f"{self.host}:sub": "repo:octo/demo:*"},
            },
        }
        self.ci = self.iam.create_role(
            RoleName="ci", AssumeRolePolicyDocument=document(self.trust), MaxSessionDuration=7200
        )["Role"]["Arn"]
        self.iam.put_role_policy(
            RoleName="ci", PolicyName="p", PolicyDocument=document(allow(INVOKE, LIST))
        )

    def sts(self) -> Any:
        return boto3.client(
            "sts",
            endpoint_url=self.server.url,
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
        )

    def show(self, token: str, role: str = "", **members: Any) -> Any:
        return self.sts().assume_role_with_web_identity(
            **{
                "RoleArn": role or self.ci,
                "RoleSessionName": "run-1",
                "WebIdentityToken": token,
                **members,
            }
        )

    def shown(self, token: str, role: str = "", **members: Any) -> str:
        """ "" or the code of the refusal."""
        try:
            self.show(token, role, **members)
        except ClientError as refusal:
            return str(refusal.response["Error"]["Code"])
        return ""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    directory = tmp_path_factory.mktemp("federated")
    with issuer() as there:
        made = Federated(directory / "data", directory, there)
        yield made
        made.server.stop()


def test_code_that_has_nothing_but_a_token_file_runs_unmodified(
    world: Federated, tmp_path: Path
) -> None:
    """As GitHub Actions and EKS leave it: AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN."""
    file = tmp_path / "token"
    file.write_text(world.issuer.token())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
        "AWS_ROLE_ARN": world.ci,
        "AWS_ROLE_SESSION_NAME": "run-7",
        "AWS_ENDPOINT_URL": world.server.url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    ran = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [
        f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7",
        ["m"],
        "hello",
    ]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is Debian's package awscli")
def test_the_aws_cli_registers_a_provider_and_shows_a_token(
    world: Federated, tmp_path: Path
) -> None:
    root = world.server.credentials
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def aws(*words: str, **more: str) -> Any:
        line = ["/usr/bin/aws", "--endpoint-url", world.server.url, "--output", "json", *words]
        ran = subprocess.run(
            line, env={**environment, **more}, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout) if ran.stdout.strip() else None

    key = {
        "AWS_ACCESS_KEY_ID": root["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": root["secret_access_key"],
    }
    made = aws(
        *("iam", "create-open-id-connect-provider", "--url", "https://cli.example"),
        *("--client-id-list", AUDIENCE, "--thumbprint-list", "a" * 40),
        **key,
    )
    arn = made["OpenIDConnectProviderArn"]
    told = aws("iam", "get-open-id-connect-provider", "--open-id-connect-provider-arn", arn, **key)
    assert (told["Url"], told["ClientIDList"]) == ("cli.example", [AUDIENCE])
    aws("iam", "delete-open-id-connect-provider", "--open-id-connect-provider-arn", arn, **key)
    shown = aws(
        *("sts", "assume-role-with-web-identity", "--role-arn", world.ci),
        *("--role-session-name", "cli", "--web-identity-token", world.issuer.token()),
    )
    given = shown["Credentials"]
    who = aws(
        *("sts", "get-caller-identity"),
        AWS_ACCESS_KEY_ID=given["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=given["SecretAccessKey"],
        AWS_SESSION_TOKEN=given["SessionToken"],
    )
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/cli"
    assert aws("sts", "get-session-token", **key)["Credentials"]["AccessKeyId"].startswith("ASIA")


def test_what_is_told_of_it(world: Federated) -> None:
    answer = world.show(world.issuer.token("ec"), DurationSeconds=7200)
    assert answer["Provider"] == world.issuer.url
    assert answer["Audience"] == AUDIENCE
    assert answer["SubjectFromWebIdentityToken"] == "repo:octo/demo:ref:refs/heads/main"
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-1"
    session = Client(world.server, answer["Credentials"])
    assert session.both_planes() == ("", "")
    assert session.may("sts", "get_session_token") == "AccessDenied"
    assert session.may("iam", "list_users") == "AccessDenied"
    assert world.shown(world.issuer.token(), DurationSeconds=7201) == "ValidationError"
    narrow = world.show(world.issuer.token(), Policy=document(allow(INVOKE)))["Credentials"]
    assert Client(world.server, narrow).both_planes() == ("AccessDeniedException", "")


def test_no_forged_token_is_taken(world: Federated) -> None:
    for what, token in world.issuer.forgeries().items():
        code = REFUSED.get(what, "InvalidIdentityToken")
        assert world.shown(token) == code, what
    assert world.shown(world.issuer.token()) == ""


def test_the_trust_policy_has_its_say(world: Federated) -> None:
    other = world.issuer.token(sub="repo:evil/demo:ref:refs/heads/main")
    with pytest.raises(ClientError) as caught:
        world.show(other)
    error = caught.value.response
    assert error["Error"]["Code"] == "AccessDenied"
    assert error["Error"]["Message"] == "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    good = world.issuer.token()
    # One that trusts the account and no token, and one that is not there: told alike.
    assert world.shown(good, world.role["Arn"]) == "AccessDenied"
    assert world.shown(good, f"arn:aws:iam::{ACCOUNT}:role/nobody") == "AccessDenied"
    assert world.shown(good, f"arn:aws-x:iam::{ACCOUNT}:role/ci") == "AccessDenied"
    china = world.show(good, f"arn:aws-cn:iam::{ACCOUNT}:role/ci")["AssumedRoleUser"]["Arn"]
    assert china == f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/ci/run-1"
    assert world.shown(good, "arn:aws:iam::123456789012:role/ci") == "InvalidIdentityToken"
    assert world.shown(good, "x" * 20) == "ValidationError"


def test_tags_of_a_token_want_to_be_trusted_and_reach_policies(world: Federated) -> None:
    said: dict[str, Any] = {
        "https://aws.amazon.com/tags": {
            "principal_tags": {"Team": ["a"]},
            "transitive_tag_keys": ["Team"],
        }
    }
    assert world.shown(world.issuer.token(**said)) == "AccessDenied"
    trust = {**world.trust, "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]}
    world.iam.create_role(RoleName="tagged", AssumeRolePolicyDocument=document(trust))
    team = {"StringEquals": {"aws:PrincipalTag/Team": "a", f"{world.host}:aud": AUDIENCE}}
    world.iam.put_role_policy(
        RoleName="tagged",
        PolicyName="p",
        PolicyDocument=document(allow(INVOKE, LIST, Condition=team)),
    )
    role = f"arn:aws:iam::{ACCOUNT}:role/tagged"
    tagged = Client(world.server, world.show(world.issuer.token(**said), role)["Credentials"])
    plain = Client(world.server, world.show(world.issuer.token(), role)["Credentials"])
    assert tagged.both_planes() == ("", "")
    assert plain.both_planes() == ("AccessDeniedException",) * 2


def test_sessions_of_tokens_survive_control_and_go_with_their_role(world: Federated) -> None:
    world.iam.create_role(RoleName="brief", AssumeRolePolicyDocument=document(world.trust))
    world.iam.put_role_policy(
        RoleName="brief", PolicyName="p", PolicyDocument=document(allow(INVOKE, LIST))
    )
    role = f"arn:aws:iam::{ACCOUNT}:role/brief"
    session = Client(world.server, world.show(world.issuer.token(), role)["Credentials"])
    assert session.both_planes() == ("", "")
    world.kill_control()
    assert {session.invoke() for _ in range(10)} == {""}
    wait_until(lambda: session.may("sagemaker", "list_models") == "")
    world.iam.delete_role_policy(RoleName="brief", PolicyName="p")
    world.iam.delete_role(RoleName="brief")
    wait_until(lambda: session.both_planes() == ("UnrecognizedClientException",) * 2)


def test_a_provider_that_is_gone_is_believed_no_more(world: Federated) -> None:
    with issuer() as other:
        made = world.iam.create_open_id_connect_provider(Url=other.url, ClientIDList=[AUDIENCE])
        arn = made["OpenIDConnectProviderArn"]
        trust = {**world.trust, "Principal": {"Federated": arn}, "Condition": {}}
        world.iam.create_role(RoleName="other", AssumeRolePolicyDocument=document(trust))
        role = f"arn:aws:iam::{ACCOUNT}:role/other"
        assert world.shown(other.token(), role) == ""
        assert world.shown(world.issuer.token(), role) == "AccessDenied"
        world.iam.remove_client_id_from_open_id_connect_provider(
            OpenIDConnectProviderArn=arn, ClientID=AUDIENCE
        )
        assert world.shown(other.token(), role) == "InvalidIdentityToken"
        world.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        assert world.shown(other.token(), role) == "InvalidIdentityToken"


def test_an_issuer_that_hangs_delays_nobody_else(world: Federated) -> None:
    with issuer() as slow:
        world.iam.create_open_id_connect_provider(Url=slow.url, ClientIDList=[AUDIENCE])
        slow.manner = "hang"
        code = (
            "import boto3, sys; from botocore import UNSIGNED; from botocore.config import Config\n"
            "boto3.client('sts', endpoint_url=sys.argv[1], region_name='us-east-1', config=Config("
            "signature_version=UNSIGNED, retries={'total_max_attempts': 1}))"
            ".assume_role_with_web_identity(RoleArn=sys.argv[2], RoleSessionName='s1',"
            " WebIdentityToken=sys.argv[3])"
        )
        asking = [
            subprocess.Popen(
                [sys.executable, "-c", code, world.server.url, world.ci, slow.token()],
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        wait_until(lambda: slow.asked)
        assert world.ana.may("sagemaker", "list_models") == "AccessDeniedException"
        assert world.shown(world.issuer.token()) == ""
        for one in asking:
            _, said = one.communicate()
            assert "IDPCommunicationError" in said
        assert slow.asked == ["/.well-known/openid-configuration"], "once for all who wait"
        slow.over.set()


def _raw(world: Federated, action: str, version: str, **fields: str) -> tuple[int, str]:
    form = urllib.parse.urlencode({"Action": action, "Version": version, **fields}).encode()
    try:
        with urllib.request.urlopen(world.server.url + "/", form) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_nothing_else_is_answered_without_a_signature(world: Federated) -> None:
    """Every operation of the query services, in each one's version, and one that is signed by
    nobody though it could be."""
    versions = {"sts": "2011-06-15", "iam": "2010-05-08", "cloudwatch": "2010-08-01"}
    for each in registry.operations():
        for version in versions.values():
            if each.action == "sts:AssumeRoleWithWebIdentity" and version == versions["sts"]:
                continue
            status, said = _raw(world, each.name, version)
            assert status == 403, (each.action, version, said)
            assert "MissingAuthenticationToken" in said, (each.action, version)
    status, said = _raw(world, "AssumeRoleWithSAML", versions["sts"])
    assert (status, "sts:AssumeRoleWithSAML" in said, "NotImplemented" in said) == (400, True, True)
    status, said = _raw(world, "AssumeRoleWithWebIdentity", versions["sts"])
    assert (status, "ValidationError" in said) == (400, True)
    status, said = _raw(
        world, "AssumeRoleWithWebIdentity", versions["sts"], WebIdentityToken="x" * 200_000
    )
    assert status in (400, 403, 413)


# ── for oneself, and for who is vouched for ─────────────────────────────────────────────────────


def test_a_users_session_is_the_user_but_for_iam_and_sts(world: Federated) -> None:
    world.iam.put_user_policy(
        UserName="ana", PolicyName="more", PolicyDocument=document(allow(INVOKE, LIST, "iam:*"))
    )
    try:
        given = world.ana.of("sts").get_session_token(DurationSeconds=129_600)["Credentials"]
        session = Client(world.server, given)
        wait_until(lambda: session.both_planes() == ("", ""))
        arn = session.of("sts").get_caller_identity()["Arn"]
        assert arn == f"arn:aws:iam::{ACCOUNT}:user/ana"
        assert session.may("iam", "list_users") == "InvalidClientTokenId"
        assert session.may("sts", "get_session_token") == "AccessDenied"
        assert session.may("sts", "get_federation_token", Name="bob") == "AccessDenied"
        assert Client(world.server, session.assume(world.role["Arn"])).both_planes() == ("", "")
        for mfa in ({"SerialNumber": "arn:aws:iam::0:mfa/ana"}, {"TokenCode": "123456"}):
            assert world.ana.may("sts", "get_session_token", **mfa) == "AccessDenied"
    finally:
        world.iam.delete_user_policy(UserName="ana", PolicyName="more")
    wait_until(lambda: session.both_planes() == ("AccessDeniedException",) * 2)


def test_who_is_vouched_for_has_what_both_policies_allow(world: Federated) -> None:
    world.iam.create_user(UserName="portal")
    world.iam.put_user_policy(
        UserName="portal",
        PolicyName="p",
        PolicyDocument=document(allow(INVOKE, LIST, "sts:GetFederationToken", "iam:*")),
    )
    key = world.iam.create_access_key(UserName="portal")["AccessKey"]
    portal = Client(world.server, key)

    def vouch(**members: Any) -> Client:
        answer = portal.of("sts").get_federation_token(Name="bob", **members)
        assert answer["FederatedUser"] == {
            "FederatedUserId": f"{ACCOUNT}:bob",
            "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        }
        return Client(world.server, answer["Credentials"])

    bare, some = vouch(), vouch(Policy=document(allow(INVOKE, "iam:*", "sagemaker:DeleteModel")))
    assert some.both_planes() == ("AccessDeniedException", "")
    assert bare.both_planes() == ("AccessDeniedException",) * 2
    assert some.may("sagemaker", "delete_model", ModelName="m") == "AccessDeniedException"
    assert some.may("iam", "list_users") == "InvalidClientTokenId"
    assert some.may("sts", "assume_role", RoleArn=world.ci, RoleSessionName="s1") == "AccessDenied"
    identity = some.of("sts").get_caller_identity()
    assert identity["UserId"] == f"{ACCOUNT}:bob"
    tags = [{"Key": "Team", "Value": "a"}]
    assert portal.may("sts", "get_federation_token", Name="bob", Tags=tags) == "AccessDenied"
    assert world.ana.may("sts", "get_federation_token", Name="bob", DurationSeconds=900) == ""
    # It goes with the user, on both planes.
    world.iam.delete_user_policy(UserName="portal", PolicyName="p")
    wait_until(lambda: some.invoke() == "AccessDeniedException")
    world.iam.delete_access_key(UserName="portal", AccessKeyId=key["AccessKeyId"])
    world.iam.delete_user(UserName="portal")
    wait_until(lambda: some.both_planes() == ("UnrecognizedClientException",) * 2)


def test_root_s_sessions_last_an_hour_and_go_with_its_key(world: Federated) -> None:
    root = world.server.client("sts")
    given = root.get_session_token(DurationSeconds=129_600)["Credentials"]
    issued = given["Expiration"].timestamp() - 3_600
    assert abs(issued - root.get_session_token()["Credentials"]["Expiration"].timestamp()) < 3_700
    session = Client(world.server, given)
    assert session.both_planes() == ("", "")
    assert session.may("iam", "list_users") == "InvalidClientTokenId"
    vouched = root.get_federation_token(Name="bob", Policy=document(allow(LIST)))["Credentials"]
    assert Client(world.server, vouched).both_planes() == ("", "AccessDeniedException")
    rotated = run_cli("key", "rotate", data_dir=world.data)
    assert rotated.returncode == 0, rotated.stderr
    wait_until(lambda: session.both_planes() == ("UnrecognizedClientException",) * 2)
