"""Users and what they may do: on a real server, by boto3, on both planes."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import Server, archive, is_running, variant
from tests.waiting import wait_until

FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonSageMakerReadOnly"


class User:
    """Somebody with a key of their own; what is made for a test is gone after it."""

    def __init__(self, server: Server) -> None:
        self._iam = server.client("iam")
        self.name = f"ana-{uuid.uuid4().hex[:8]}"
        self.arn = self._iam.create_user(UserName=self.name)["User"]["Arn"]
        key = self._iam.create_access_key(UserName=self.name)["AccessKey"]
        self.key_id = key["AccessKeyId"]
        credentials = {
            "access_key_id": self.key_id,
            "secret_access_key": key["SecretAccessKey"],
        }
        self.server = replace(server, credentials=credentials, _clients={})
        """The same server, as the user sees it."""

    def may(self, *statements: Mapping[str, Any]) -> None:
        """This and nothing else, from now on."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self._iam.put_user_policy(
            UserName=self.name, PolicyName="own", PolicyDocument=json.dumps(document)
        )

    def has(self, policy_arn: str) -> None:
        self._iam.attach_user_policy(UserName=self.name, PolicyArn=policy_arn)

    def has_no_longer(self, policy_arn: str) -> None:
        self._iam.detach_user_policy(UserName=self.name, PolicyArn=policy_arn)

    def forget(self) -> None:
        attached = self._iam.list_attached_user_policies(UserName=self.name)["AttachedPolicies"]
        for policy in attached:
            self.has_no_longer(policy["PolicyArn"])
        for name in self._iam.list_user_policies(UserName=self.name)["PolicyNames"]:
            self._iam.delete_user_policy(UserName=self.name, PolicyName=name)
        for key in self._iam.list_access_keys(UserName=self.name)["AccessKeyMetadata"]:
            self._iam.delete_access_key(UserName=self.name, AccessKeyId=key["AccessKeyId"])
        self._iam.delete_user(UserName=self.name)


@pytest.fixture
def user(server: Server) -> Iterator[User]:
    made = User(server)
    yield made
    made.forget()


@pytest.fixture(scope="module")
def endpoint(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An endpoint that everybody's policies are about."""
    directory = tmp_path_factory.mktemp("policies")
    handler = "def model_fn(d): return 1\ndef predict_fn(x, m): return x\n"
    url = archive(directory / "m.tar.gz", {"code/inference.py": handler})
    name = f"guarded-{uuid.uuid4().hex[:8]}"
    server.create_model(name, url)
    server.create_config(name, variant(name))
    server.client("sagemaker").create_endpoint(
        EndpointName=name, EndpointConfigName=name, Tags=[{"Key": "team", "Value": "search"}]
    )
    assert server.settled(name)["EndpointStatus"] == "InService"
    yield name
    server.client("sagemaker").delete_endpoint(EndpointName=name)


def refused(call: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def invoke(user: User, endpoint: str) -> int:
    """The status of an invocation."""
    runtime = user.server.client("sagemaker-runtime")
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, Body=b"[1]", ContentType="application/json"
        )
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def invokes(user: User, endpoint: str) -> bool:
    return invoke(user, endpoint) == 200


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def arn(server: Server, kind: str, name: str) -> str:
    account = server.client("sts").get_caller_identity()["Account"]
    return f"arn:aws:sagemaker:{server.region}:{account}:{kind}/{name}"


def test_who_has_no_policy_may_do_nothing(server: Server, user: User, endpoint: str) -> None:
    sagemaker = user.server.client("sagemaker")
    status, code, message = refused(lambda: sagemaker.describe_endpoint(EndpointName=endpoint))
    assert (status, code) == (400, "AccessDeniedException")
    assert message == (
        f"User: {user.arn} is not authorized to perform: sagemaker:DescribeEndpoint on resource: "
        f"{arn(server, 'endpoint', endpoint)} because no identity-based policy allows the "
        "sagemaker:DescribeEndpoint action"
    )
    assert refused(sagemaker.list_endpoints)[:2] == (400, "AccessDeniedException")
    assert refused(user.server.client("iam").list_users)[:2] == (403, "AccessDenied")
    assert refused(user.server.client("logs").describe_log_groups)[1] == "AccessDeniedException"
    assert refused(user.server.client("cloudwatch").list_metrics)[1] in (
        "AccessDenied",
        "AccessDeniedException",
    )
    runtime = user.server.client("sagemaker-runtime")
    status, code, message = refused(
        lambda: runtime.invoke_endpoint(EndpointName=endpoint, Body=b"[1]")
    )
    assert (status, code) == (403, "AccessDeniedException")
    assert "no identity-based policy allows the sagemaker:InvokeEndpoint action" in message
    assert user.server.client("sts").get_caller_identity()["Arn"] == user.arn


def test_who_may_not_see_a_thing_cannot_learn_whether_it_is_there(
    user: User, endpoint: str
) -> None:
    sagemaker = user.server.client("sagemaker")
    there = refused(lambda: sagemaker.describe_endpoint(EndpointName=endpoint))
    not_there = refused(lambda: sagemaker.describe_endpoint(EndpointName="no-such-thing"))
    assert not_there[2].replace("no-such-thing", endpoint) == there[2]


@pytest.mark.parametrize("way", ["managed", "own"])
def test_the_two_policies_of_the_create_endpoint_page(
    server: Server, user: User, endpoint: str, way: str
) -> None:
    name = f"mine-{uuid.uuid4().hex[:8]}"
    sagemaker = user.server.client("sagemaker")
    variants = [variant(endpoint)]

    def create_config() -> None:
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)

    def create() -> None:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    assert refused(create_config)[1] == refused(create)[1] == "AccessDeniedException"
    if way == "managed":
        user.has(FULL_ACCESS)
    else:
        user.may(
            allow(
                ["sagemaker:CreateEndpoint", "sagemaker:CreateEndpointConfig"],
                [arn(server, "endpoint", name), arn(server, "endpoint-config", name)],
            )
        )
    create_config()
    create()
    assert server.settled(name)["EndpointStatus"] == "InService"
    if way == "own":  # and nothing else
        other = {"EndpointName": f"{name}-2", "EndpointConfigName": name}
        assert refused(lambda: sagemaker.create_endpoint(**other))[1] == "AccessDeniedException"
        assert refused(lambda: sagemaker.delete_endpoint(EndpointName=name))[1] == (
            "AccessDeniedException"
        )
    server.client("sagemaker").delete_endpoint(EndpointName=name)


def test_both_resources_of_create_endpoint_must_be_allowed(server: Server, user: User) -> None:
    user.may(allow("sagemaker:CreateEndpoint", arn(server, "endpoint", "e")))
    sagemaker = user.server.client("sagemaker")
    _, code, message = refused(
        lambda: sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    )
    assert code == "AccessDeniedException"
    assert f"on resource: {arn(server, 'endpoint-config', 'c')} because" in message


def test_a_role_is_passed_only_by_who_may_pass_it(user: User) -> None:
    role = "arn:aws:iam::000000000000:role/runs-models"
    sagemaker = user.server.client("sagemaker")
    user.may(allow("sagemaker:CreateModel"))
    members = {
        "ModelName": f"m-{uuid.uuid4().hex[:8]}",
        "PrimaryContainer": {"Image": "x", "ModelDataUrl": "s3://a/b.tar.gz"},
        "ExecutionRoleArn": role,
    }
    _, code, message = refused(lambda: sagemaker.create_model(**members))
    assert code == "AccessDeniedException"
    assert message.startswith(
        f"User: {user.arn} is not authorized to perform: iam:PassRole on resource: {role} because"
    )
    to = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    user.may(allow("sagemaker:CreateModel"), allow("iam:PassRole", role, Condition=to))
    assert sagemaker.create_model(**members)["ModelArn"].endswith(members["ModelName"])


def test_invocations_are_decided_by_the_workers(server: Server, user: User, endpoint: str) -> None:
    assert invoke(user, endpoint) == 403
    user.may(allow("sagemaker:InvokeEndpoint", arn(server, "endpoint", endpoint)))
    wait_until(lambda: invoke(user, endpoint) == 200)
    user.may(allow("sagemaker:InvokeEndpoint", arn(server, "endpoint", "another")))
    wait_until(lambda: invoke(user, endpoint) == 403)
    tagged = {"StringEquals": {"aws:ResourceTag/team": "search"}}
    user.may(allow("sagemaker:InvokeEndpoint", "*", Condition=tagged))
    wait_until(lambda: invoke(user, endpoint) == 200)
    user.may(
        allow("sagemaker:*"),
        {**allow("sagemaker:Invoke*"), "Effect": "Deny", "Condition": tagged},
    )
    wait_until(lambda: invoke(user, endpoint) == 403)
    near = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    user.may(allow("sagemaker:InvokeEndpoint", "*", Condition=near))
    wait_until(lambda: invoke(user, endpoint) == 200)
    far = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    user.may(allow("sagemaker:InvokeEndpoint", "*", Condition=far))
    wait_until(lambda: invoke(user, endpoint) == 403)


def test_a_policy_asks_for_the_address_that_the_gateway_saw(user: User) -> None:
    sagemaker = user.server.client("sagemaker")
    far = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    user.may(allow("sagemaker:ListModels", "*", Condition=far))

    def claim(request: Any, **_: Any) -> None:
        request.headers["x-inservice-source"] = "192.0.2.7"

    sagemaker.meta.events.register("before-send.sagemaker.ListModels", claim)
    assert refused(sagemaker.list_models)[1] == "AccessDeniedException"
    near = {"IpAddress": {"aws:SourceIp": "127.0.0.1"}}
    user.may(allow("sagemaker:ListModels", "*", Condition=near))
    assert sagemaker.list_models()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_what_is_taken_away_stays_away_while_control_is_gone(
    start_server: Callable[..., Server], echo: Callable[[str], str]
) -> None:
    server = start_server(INSERVICE_GATEWAY_WORKERS="2")
    server.create_model("m", echo("m"))
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert server.settled("e")["EndpointStatus"] == "InService"
    keeps, loses = User(server), User(server)
    for each in (keeps, loses):
        each.may(allow("sagemaker:InvokeEndpoint"))
        wait_until(partial(invokes, each, "e"))
    loses.may(allow("sagemaker:ListModels"))
    control = next(one for one in server.status()["processes"] if one["name"] == "control")
    os.kill(control["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(control["pid"]))
    assert {invoke(loses, "e") for _ in range(20)} == {403}
    assert {invoke(keeps, "e") for _ in range(20)} == {200}
    wait_until(lambda: not refusing(server))
    assert {invoke(loses, "e") for _ in range(20)} == {403}
    assert {invoke(keeps, "e") for _ in range(20)} == {200}


def refusing(server: Server) -> bool:
    """Whether control is not back yet."""
    try:
        server.client("sagemaker").list_models()
    except ClientError:
        return True
    return False


def test_a_group_a_boundary_and_a_new_version_count_at_once(server: Server, user: User) -> None:
    iam, sagemaker = server.client("iam"), user.server.client("sagemaker")
    name = f"team-{uuid.uuid4().hex[:8]}"
    document = {"Version": "2012-10-17", "Statement": [allow("sagemaker:ListModels")]}
    policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]
    iam.create_group(GroupName=name)
    iam.attach_group_policy(GroupName=name, PolicyArn=policy["Arn"])
    assert refused(sagemaker.list_models)[1] == "AccessDeniedException"
    iam.add_user_to_group(GroupName=name, UserName=user.name)
    sagemaker.list_models()
    document["Statement"] = [allow("sagemaker:ListEndpoints")]
    iam.create_policy_version(
        PolicyArn=policy["Arn"], PolicyDocument=json.dumps(document), SetAsDefault=True
    )
    assert refused(sagemaker.list_models)[1] == "AccessDeniedException"
    sagemaker.list_endpoints()
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=READ_ONLY)
    sagemaker.list_endpoints()
    logs_only = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=logs_only)
    _, _, message = refused(sagemaker.list_endpoints)
    assert "because no permissions boundary allows the sagemaker:ListEndpoints action" in message
    iam.delete_user_permissions_boundary(UserName=user.name)
    iam.remove_user_from_group(GroupName=name, UserName=user.name)
    assert refused(sagemaker.list_endpoints)[1] == "AccessDeniedException"
    iam.detach_group_policy(GroupName=name, PolicyArn=policy["Arn"])
    iam.delete_group(GroupName=name)
    iam.delete_policy_version(PolicyArn=policy["Arn"], VersionId="v1")
    iam.delete_policy(PolicyArn=policy["Arn"])


def test_a_key_that_is_switched_off_or_deleted_signs_nothing(
    server: Server, user: User, endpoint: str
) -> None:
    iam = server.client("iam")
    user.has(FULL_ACCESS)
    user.may(allow("sagemaker:InvokeEndpoint"))
    wait_until(lambda: invoke(user, endpoint) == 200)
    iam.update_access_key(UserName=user.name, AccessKeyId=user.key_id, Status="Inactive")
    wait_until(lambda: invoke(user, endpoint) == 403)
    assert refused(user.server.client("sagemaker").list_models)[1] == (
        "UnrecognizedClientException"
    )
    iam.update_access_key(UserName=user.name, AccessKeyId=user.key_id, Status="Active")
    wait_until(lambda: invoke(user, endpoint) == 200)
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.key_id)
    wait_until(lambda: invoke(user, endpoint) == 403)


def test_nobody_but_root_replaces_roots_key(server: Server, user: User) -> None:
    user.has("arn:aws:iam::aws:policy/AdministratorAccess")
    mine = user.server.client("inservice")
    key_id = server.credentials["access_key_id"]
    _, code, _ = refused(lambda: mine.rotate_root_access_key(AccessKeyId=key_id))
    assert code == "AccessDeniedException"
    mine.describe_server()
