"""Roles that are assumed, and their sessions: on a real server, by boto3, on both planes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from inservice.identity.principal import AccessKey
from inservice.store.drivers.database import open_store
from tests.acceptance.server import ECHO, PLAIN, Server, archive, is_running, variant
from tests.waiting import wait_until

ACCOUNT = "000000000000"


class Client:
    """Somebody with credentials, permanent or not."""

    def __init__(self, server: Server, credentials: Mapping[str, Any]) -> None:
        self.server = server
        self._session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
            region_name=server.region,
        )

    def of(self, service: str) -> Any:
        return self._session.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.server.url,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    def may(self, service: str, operation: str, **members: Any) -> str:
        """What comes of a call: "" or the code of the refusal."""
        try:
            getattr(self.of(service), operation)(**members)
        except ClientError as refusal:
            return str(refusal.response["Error"]["Code"])
        return ""

    def both_planes(self) -> tuple[str, str]:
        return self.may("sagemaker", "list_models"), self.invoke()

    def invoke(self) -> str:
        return self.may("sagemaker-runtime", "invoke_endpoint", EndpointName="e", Body=b"hello")

    def assume(self, role: str, **members: Any) -> Mapping[str, Any]:
        answer = self.of("sts").assume_role(
            RoleArn=role, **{"RoleSessionName": "deploy", **members}
        )
        given: Mapping[str, Any] = answer["Credentials"]
        return given


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


INVOKE, LIST = "sagemaker:InvokeEndpoint", "sagemaker:ListModels"
TRUST = {
    "Effect": "Allow",
    "Principal": {"AWS": ACCOUNT},
    "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
}


class World:
    """A server with an endpoint, a role that may list and invoke, and a user that may assume it."""

    def __init__(self, data: Path, directory: Path) -> None:
        self.data = data
        self.server = Server.start(data)
        url = archive(directory / "m.tar.gz", {"code/inference.py": ECHO, "name.txt": "m"})
        self.server.create_model("m", url)
        self.server.create_config("c", variant("m"))
        self.server.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName="c")
        assert self.server.settled("e")["EndpointStatus"] == "InService"
        self.iam = self.server.client("iam")
        self.role = self.iam.create_role(
            RoleName="deployer", AssumeRolePolicyDocument=document(TRUST), Path="/ci/"
        )["Role"]
        self.give(allow(INVOKE, LIST))
        self.iam.create_user(UserName="ana")
        self.iam.put_user_policy(
            UserName="ana", PolicyName="p", PolicyDocument=document(allow("sts:*"))
        )
        self._key = self.iam.create_access_key(UserName="ana")["AccessKey"]

    def give(self, *statements: Mapping[str, Any]) -> None:
        """What the role may, from now on."""
        self.server.client("iam").put_role_policy(
            RoleName="deployer", PolicyName="p", PolicyDocument=document(*statements)
        )

    @property
    def ana(self) -> Client:
        return Client(self.server, self._key)

    def session(self, **members: Any) -> Client:
        return Client(self.server, self.ana.assume(self.role["Arn"], **members))

    def kill_control(self) -> None:
        processes = self.server.status()["processes"]
        control = next(one for one in processes if one["name"] == "control")
        os.kill(control["pid"], signal.SIGKILL)
        wait_until(lambda: not is_running(control["pid"]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("sessions")
    made = World(directory / "data", directory)
    yield made
    made.server.stop()


def test_a_session_is_its_role_on_both_planes(world: World) -> None:
    session = world.session()
    assert session.both_planes() == ("", "")
    identity = session.of("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/deploy"
    assert identity["UserId"] == f"{world.role['RoleId']}:deploy"
    with pytest.raises(ClientError) as caught:
        session.of("sagemaker").delete_model(ModelName="m")
    assert caught.value.response["Error"]["Message"] == (
        f"User: {identity['Arn']} is not authorized to perform: sagemaker:DeleteModel on resource: "
        f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/m because no identity-based policy allows "
        "the sagemaker:DeleteModel action"
    )
    assert world.ana.both_planes() == ("AccessDeniedException",) * 2
    used = world.iam.get_role(RoleName="deployer")["Role"]
    assert used["RoleId"] == world.role["RoleId"]


def test_two_sessions_of_one_role_hold_what_each_was_begun_with(world: World) -> None:
    only_invokes = world.session(Policy=document(allow(INVOKE)))
    only_lists = world.session(Policy=document(allow(LIST)))
    arn = "arn:aws:iam::aws:policy/AmazonSageMakerReadOnly"
    only_reads = world.session(PolicyArns=[{"arn": arn}])
    both = world.session()
    for _ in range(2):
        assert only_invokes.both_planes() == ("AccessDeniedException", "")
        assert only_lists.both_planes() == ("", "AccessDeniedException")
        assert only_reads.both_planes() == ("", "AccessDeniedException")
        assert both.both_planes() == ("", "")


def test_tags_of_a_session_are_asked_for_on_both_planes(world: World) -> None:
    team = {"StringEquals": {"aws:PrincipalTag/Team": "a"}}
    world.give(allow(INVOKE, LIST, Condition=team))
    try:
        tagged = world.session(Tags=[{"Key": "team", "Value": "a"}])
        wait_until(lambda: tagged.both_planes() == ("", ""))
        assert world.session().both_planes() == ("AccessDeniedException",) * 2
    finally:
        world.give(allow(INVOKE, LIST))


def test_what_a_role_loses_its_sessions_lose(world: World) -> None:
    session = world.session()
    assert session.both_planes() == ("", "")
    world.give(allow(LIST))
    wait_until(lambda: session.both_planes() == ("", "AccessDeniedException"))
    world.give(allow(INVOKE))
    wait_until(lambda: session.both_planes() == ("AccessDeniedException", ""))
    world.give(allow(INVOKE, LIST))
    wait_until(lambda: session.both_planes() == ("", ""))


def test_sessions_and_their_loss_survive_control(world: World) -> None:
    session = world.session(Policy=document(allow(INVOKE)))
    gone = world.iam.create_role(RoleName="gone", AssumeRolePolicyDocument=document(TRUST))["Role"]
    world.iam.put_role_policy(
        RoleName="gone", PolicyName="p", PolicyDocument=document(allow(INVOKE, LIST))
    )
    of_gone = Client(world.server, world.ana.assume(gone["Arn"]))
    assert of_gone.both_planes() == ("", "")
    world.iam.delete_role_policy(RoleName="gone", PolicyName="p")
    world.iam.delete_role(RoleName="gone")
    wait_until(lambda: of_gone.invoke() == "UnrecognizedClientException")
    world.kill_control()
    assert {session.invoke() for _ in range(10)} == {""}
    assert {of_gone.invoke() for _ in range(10)} == {"UnrecognizedClientException"}
    wait_until(lambda: session.may("sagemaker", "list_models") == "AccessDeniedException")
    assert {session.invoke() for _ in range(10)} == {""}
    assert {of_gone.invoke() for _ in range(10)} == {"UnrecognizedClientException"}
    assert world.session().both_planes() == ("", "")


def wrong(credentials: Mapping[str, Any], **other: Any) -> Mapping[str, Any]:
    return {**credentials, **other}


def test_wrong_tokens_are_refused_in_the_words_of_each_service(world: World) -> None:
    good = world.ana.assume(world.role["Arn"])
    another = world.ana.assume(world.role["Arn"])
    for credentials in (
        wrong(good, SessionToken=another["SessionToken"]),
        wrong(good, SessionToken=good["SessionToken"] + "A"),
        wrong(good, SessionToken=None),
        wrong(good, AccessKeyId=another["AccessKeyId"]),
        wrong(world._key, SessionToken=good["SessionToken"]),
    ):
        client = Client(world.server, {**credentials})
        assert client.both_planes() == ("UnrecognizedClientException",) * 2
        assert client.may("sts", "get_caller_identity") == "InvalidClientTokenId"
    swapped = Client(world.server, wrong(good, SecretAccessKey=another["SecretAccessKey"]))
    assert swapped.both_planes() == ("InvalidSignatureException",) * 2
    assert swapped.may("sts", "get_caller_identity") == "SignatureDoesNotMatch"


def test_who_may_not_assume_learns_nothing(world: World) -> None:
    root = Client(
        world.server,
        {
            "AccessKeyId": world.server.credentials["access_key_id"],
            "SecretAccessKey": world.server.credentials["secret_access_key"],
        },
    )
    for client, arn, words in (
        (root, world.role["Arn"], "Roles may not be assumed by root accounts."),
        (
            world.ana,
            f"{world.role['Arn']}x",
            (
                f"User: arn:aws:iam::{ACCOUNT}:user/ana is not authorized to perform: "
                f"sts:AssumeRole on resource: {world.role['Arn']}x"
            ),
        ),
    ):
        with pytest.raises(ClientError) as caught:
            client.assume(arn)
        response = caught.value.response
        assert response["Error"]["Code"] == "AccessDenied"
        assert response["Error"]["Message"] == words
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    code = world.ana.may("sts", "assume_role", RoleArn=world.role["Arn"], RoleSessionName="s")
    assert code == "ValidationError"


ASKS = """
import json, os
import boto3
from botocore.exceptions import ClientError

def model_fn(model_dir):
    return boto3.client("sts").get_caller_identity()["Arn"]

def tried(service, operation, **members):
    try:
        getattr(boto3.client(service), operation)(**members)
    except ClientError as refusal:
        return refusal.response["Error"]["Code"]
    return ""

def transform_fn(model, data, content_type, accept):
    said = data.decode() if isinstance(data, bytes) else data
    if said.startswith("token "):
        os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = said.partition(" ")[2]
    key = boto3.Session().get_credentials()
    answer = {
        "while it loaded": model,
        "now": boto3.client("sts").get_caller_identity()["Arn"],
        "token": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
        "key": key.get_frozen_credentials().access_key,
        "method": key.method,
        "list": tried("sagemaker", "list_models"),
        "delete": tried("sagemaker", "delete_model", ModelName="nobody"),
        "invoke": tried("sagemaker-runtime", "invoke_endpoint", EndpointName="e", Body=b"hello"),
        "become": tried("sts", "assume_role", RoleArn=said, RoleSessionName="s1"),
    }
    return json.dumps(answer), "application/json"
"""


def test_a_models_own_code_is_its_execution_role(world: World, tmp_path: Path) -> None:
    server, iam = world.server, world.server.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    url = archive(tmp_path / "m.tar.gz", {"code/inference.py": ASKS})
    roles = {}
    for name, actions in (("runs-a", (INVOKE, LIST)), ("runs-b", (LIST,))):
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(allow(*actions)))
        roles[name] = role["Arn"]
        server.client("sagemaker").create_model(
            ModelName=name,
            PrimaryContainer={"Image": PLAIN, "ModelDataUrl": url},
            ExecutionRoleArn=role["Arn"],
        )
        server.create_config(name, variant(name))
        server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    for name in roles:
        described = server.settled(name)
        assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    who = "arn:aws:sts::{}:assumed-role/{}/SageMaker".format
    denied = "AccessDeniedException"
    said = server.invoke("runs-a", roles["runs-b"])
    assert (said["while it loaded"], said["now"]) == (who(ACCOUNT, "runs-a"),) * 2
    assert said["method"] == "container-role"
    assert said["key"].startswith("ASIA")
    outcomes = said["list"], said["invoke"], said["delete"], said["become"]
    assert outcomes == ("", "", denied, "AccessDenied")
    other = server.invoke("runs-b", "x" * 20)
    assert (other["now"], other["list"], other["invoke"]) == (who(ACCOUNT, "runs-b"), "", denied)
    assert other["token"] != said["token"]
    iam.put_role_policy(RoleName="runs-a", PolicyName="p", PolicyDocument=document(allow(LIST)))
    wait_until(lambda: server.invoke("runs-a", "x" * 20)["invoke"] == denied)
    world.kill_control()
    wait_until(lambda: _described(server, "runs-a"))
    after = server.invoke("runs-a", "x" * 20)
    assert (after["now"], after["list"]) == (who(ACCOUNT, "runs-a"), "")
    # Nobody else has ever heard of it: not the log, not a history, not a description of the model.
    model = server.client("sagemaker").describe_model(ModelName="runs-a")
    assert "Environment" not in model["PrimaryContainer"]
    for path in (world.data / "logs").rglob("*.log"):
        text = path.read_text(errors="replace")
        assert said["token"] not in text
        assert said["key"] not in text
    for name in roles:
        server.client("sagemaker").delete_endpoint(EndpointName=name)


def _described(server: Server, name: str) -> bool:
    try:
        return bool(server.describe(name)["EndpointStatus"] == "InService")
    except ClientError:
        return False


def test_sessions_end_by_the_clock_on_both_planes_and_outlast_the_server(world: World) -> None:
    """Nobody waits a quarter of an hour here: one that ends soon is put beside the records of a
    server that is down."""
    lasting = world.ana.assume(world.role["Arn"])
    with_id = lasting["AccessKeyId"]
    world.server.stop()
    store = open_store(
        f"sqlite:///{world.data / 'inservice.db'}", key_file=world.data / "secrets.key"
    )
    ends = time.time() + 12.0

    def like(key: AccessKey, key_id: str, ends: float) -> AccessKey:
        assert key.session is not None
        session = replace(key.session, expires_at=ends)
        return replace(key, id=key_id, expires_at=ends, session=session)

    with store.transaction() as tx:
        kept = tx.sessions.find(with_id)
        assert kept is not None
        tx.sessions.add(like(kept, "ASIAENDED", time.time() - 1))
        tx.sessions.add(like(kept, "ASIASOON", ends))
    store.close()
    world.server = Server.start(world.data)
    wait_until(lambda: world.server.describe("e")["EndpointStatus"] == "InService")
    client = Client(world.server, lasting)
    wait_until(lambda: client.both_planes() == ("", ""))
    soon = Client(world.server, wrong(lasting, AccessKeyId="ASIASOON"))
    before = soon.both_planes()
    assert before == ("", "") or time.time() > ends - 1
    ended = Client(world.server, wrong(lasting, AccessKeyId="ASIAENDED"))
    assert ended.both_planes() == ("ExpiredTokenException",) * 2
    assert ended.may("sts", "get_caller_identity") == "ExpiredToken"
    with pytest.raises(ClientError, match="The security token included in the request is expired"):
        ended.of("iam").list_users()
    wait_until(lambda: time.time() > ends)
    assert soon.both_planes() == ("ExpiredTokenException",) * 2
    assert client.both_planes() == ("", "")
