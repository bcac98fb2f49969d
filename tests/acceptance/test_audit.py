"""The audit trail of a real server: every change has an author, and nothing in it is a secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.acceptance.server import IMAGE, Server, archive, is_running, run_here, variant
from tests.acceptance.test_policies import FULL_ACCESS, User, allow, arn, invoke, refused
from tests.volumes import mounted
from tests.waiting import wait_until

Start = Callable[..., Server]
Line = dict[str, Any]


@pytest.fixture
def user(server: Server) -> Iterator[User]:
    made = User(server)
    yield made
    made.forget()


def trail(server: Server, *options: str) -> list[Line]:
    ran = run_here("audit", "--output=json", *options, data_dir=server.data_dir)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def told(server: Server, *options: str) -> list[tuple[str, str]]:
    return [(line["action"], line["outcome"]) for line in trail(server, *options)]


def test_a_change_is_told_before_it_is_answered_with_all_that_is_documented(
    server: Server, user: User
) -> None:
    user.has(FULL_ACCESS)
    name = f"audited-{uuid.uuid4().hex[:8]}"
    sagemaker = user.server.client("sagemaker")
    answer = sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
    line = trail(server, "--who", user.name, "--action", "CreateModel")[-1]
    assert line.pop("time").endswith("Z")
    assert line.pop("userAgent").startswith(("Botocore/", "Boto3/"))
    assert line == {
        "principal": user.arn,
        "accessKeyId": user.key_id,
        "action": "sagemaker:CreateModel",
        "resources": [arn(server, "model", name)],
        "region": server.region,
        "outcome": "OK",
        "requestId": answer["ResponseMetadata"]["RequestId"],
        "sourceAddress": "127.0.0.1",
    }
    with pytest.raises(ClientError):
        sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
    sagemaker.describe_model(ModelName=name)
    sagemaker.list_models()
    sagemaker.delete_model(ModelName=name)
    mine = told(server, "--who", user.arn)
    assert mine == [
        ("sagemaker:CreateModel", "OK"),
        ("sagemaker:CreateModel", "ValidationException"),
        ("sagemaker:DeleteModel", "OK"),
    ]


def test_whoever_gives_rights_is_told_with_whom_and_what(server: Server, user: User) -> None:
    group = f"team-{uuid.uuid4().hex[:8]}"
    iam = server.client("iam")
    group_arn = iam.create_group(GroupName=group)["Group"]["Arn"]
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    iam.remove_user_from_group(GroupName=group, UserName=user.name)
    iam.attach_group_policy(GroupName=group, PolicyArn=FULL_ACCESS)
    iam.detach_group_policy(GroupName=group, PolicyArn=FULL_ACCESS)
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=FULL_ACCESS)
    iam.delete_user_permissions_boundary(UserName=user.name)
    iam.delete_group(GroupName=group)
    lines = trail(server, "--who=root", "--action=iam:*")[-7:]
    assert [(line["action"].removeprefix("iam:"), line["resources"]) for line in lines] == [
        ("AddUserToGroup", [group_arn, user.arn]),
        ("RemoveUserFromGroup", [group_arn, user.arn]),
        ("AttachGroupPolicy", [group_arn, FULL_ACCESS]),
        ("DetachGroupPolicy", [group_arn, FULL_ACCESS]),
        ("PutUserPermissionsBoundary", [user.arn, FULL_ACCESS]),
        ("DeleteUserPermissionsBoundary", [user.arn]),
        ("DeleteGroup", [group_arn]),
    ]


def test_who_is_refused_is_told_of_reads_and_invocations_too(server: Server, user: User) -> None:
    assert refused(user.server.client("sagemaker").list_models)[1] == "AccessDeniedException"
    assert refused(user.server.client("iam").list_users)[1] == "AccessDenied"
    assert refused(user.server.client("cloudwatch").list_metrics)
    for _ in range(40):
        assert invoke(user, "no-such-endpoint") == 403

    def invocations() -> list[Line]:
        return trail(server, "--denied", "--who", user.key_id, "--action=InvokeEndpoint")

    wait_until(invocations)
    assert [action for action, _ in told(server, "--denied", "--who", user.name)][:3] == [
        "sagemaker:ListModels",
        "iam:ListUsers",
        "cloudwatch:ListMetrics",
    ]
    assert invocations()[0]["resources"] == [arn(server, "endpoint", "no-such-endpoint")]
    assert invocations()[0]["sourceAddress"] == "127.0.0.1"
    assert not trail(server, "--who", user.name, "--since=2999-01-01")

    def counted() -> int:
        """A worker says with the next one how many it did not tell."""
        invoke(user, "no-such-endpoint")
        return sum(1 + line.get("unwrittenBefore", 0) for line in invocations())

    wait_until(lambda: counted() >= 40)


def test_a_stranger_leaves_nothing(server: Server, user: User) -> None:
    """Nobody is known to have asked: a flood of guesses must not fill the trail."""
    before = len(trail(server))
    user.server.credentials["secret_access_key"] = "wrong"
    assert refused(user.server.new_client("sagemaker").list_models)[1] == (
        "InvalidSignatureException"
    )
    assert len(trail(server)) == before


def test_no_secret_gets_there(server: Server, user: User, tmp_path: Path) -> None:
    """Not of a key, a model's environment, a policy, a tag or a log; of requests that fail as
    well."""
    planted = f"planted{uuid.uuid4().hex}"
    user.has(FULL_ACCESS)
    user.has("arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
    sagemaker, logs = user.server.client("sagemaker"), user.server.client("logs")
    name = f"secretive-{uuid.uuid4().hex[:8]}"
    url = archive(tmp_path / "m.tar.gz", {"code/inference.py": "def model_fn(d): return 1\n"})
    container = {"Image": IMAGE, "ModelDataUrl": url, "Environment": {"TOKEN": planted}}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    with pytest.raises(ClientError):
        sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    sagemaker.add_tags(
        ResourceArn=arn(server, "model", name), Tags=[{"Key": "note", "Value": planted}]
    )
    user.may(allow("s3:*", f"arn:aws:s3:::{planted}"))
    key = server.client("iam").create_access_key(UserName=user.name)["AccessKey"]
    logs.create_log_group(logGroupName=name, tags={"note": planted})
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    logs.delete_log_group(logGroupName=name)
    sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError):
        server.client("iam").put_user_policy(
            UserName=user.name, PolicyName="p", PolicyDocument=f'{{"{planted}"'
        )
    seen = told(server, "--who", user.name)
    assert len(seen) >= 7
    secrets = [planted, key["SecretAccessKey"], server.credentials["secret_access_key"]]
    secrets.append(user.server.credentials["secret_access_key"])
    for path in files_of(server.data_dir / "audit"):
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path


def test_the_files_are_nobody_elses(server: Server) -> None:
    directory = server.data_dir / "audit"
    for each in (directory, directory / "storage"):
        assert each.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files_of(directory)} == {0o600}


def files_of(directory: Path) -> list[Path]:
    """Control's, and those of the storage process below them."""
    return [path for path in directory.rglob("*") if path.is_file()]


def longer(there: list[str], than: int) -> bool:
    return len(there) > than


def gone(pid: int) -> bool:
    return not is_running(pid)


def test_a_control_that_is_killed_leaves_no_change_without_its_author(
    start_server: Start,
) -> None:
    """Models are made as fast as it goes while control is killed again and again: each one that is
    there is told of, and each that was acknowledged is told of as done."""
    server = start_server(INSERVICE_WORKERS="1")
    acknowledged: list[str] = []
    stop = threading.Event()

    def make(which: int) -> None:
        sagemaker = server.new_client("sagemaker")
        number = 0
        while not stop.is_set():
            number += 1
            name = f"m-{which}-{number}"
            try:
                sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
            except (ClientError, HTTPClientError, OSError):
                stop.wait(0.05)  # nobody answers until the next control is there
                continue
            acknowledged.append(name)

    makers = [threading.Thread(target=make, args=(which,)) for which in range(3)]
    for maker in makers:
        maker.start()
    try:
        for _ in range(3):
            enough = len(acknowledged) + 10
            wait_until(partial(longer, acknowledged, enough))
            (control,) = (p for p in server.status()["processes"] if p["name"] == "control")
            os.kill(control["pid"], signal.SIGKILL)
            wait_until(partial(gone, control["pid"]))
    finally:
        stop.set()
        for maker in makers:
            maker.join(60)
    pages = server.client("sagemaker").get_paginator("list_models")
    there = {one["ModelName"] for one in pages.paginate().build_full_result()["Models"]}
    outcomes: dict[str, list[str]] = {}
    for line in trail(server, "--action=CreateModel"):
        (resource,) = line["resources"]
        outcomes.setdefault(resource.rpartition("/")[2], []).append(line["outcome"])
    assert set(acknowledged) <= there <= set(outcomes)
    assert {tuple(outcomes[name]) for name in acknowledged} == {("OK",)}
    assert {outcome for told in outcomes.values() for outcome in told} <= {"OK", "Unknown"}
    assert all(len(told) == 1 for told in outcomes.values())


def test_on_a_full_disk_deletes_go_on_and_are_told_of() -> None:
    with mounted(64, inodes=600) as volume:
        data_dir = volume.path / "data"
        data_dir.mkdir(mode=0o700)
        server = Server.start(data_dir)
        try:
            sagemaker = server.client("sagemaker")
            names = [f"m{number}" for number in range(6)]
            for name in names:
                sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE})
            ana = User(server)
            wait_until((data_dir / "reserve").exists)
            volume.fill()
            assert refused(
                lambda: sagemaker.create_model(ModelName="x", PrimaryContainer={"Image": IMAGE})
            )[1] == ("InsufficientStorage")
            for name in names:
                sagemaker.delete_model(ModelName=name)
            assert refused(ana.server.client("sagemaker").list_models)[1] == (
                "AccessDeniedException"
            )
            deleted = [line for line in trail(server) if line["action"].endswith("DeleteModel")]
            assert [line["resources"][0].rpartition("/")[2] for line in deleted] == names
        finally:
            (volume.path / "filler").unlink(missing_ok=True)
            server.stop()
            wait_until(lambda: not server.pids())


def test_what_is_told_can_be_followed(server: Server, user: User) -> None:
    command = ["audit", "--follow", "--who", user.name, "--denied"]
    with subprocess.Popen(
        [sys.executable, "-m", "inservice.cli.main", *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "INSERVICE_DATA_DIR": str(server.data_dir)},
    ) as following:
        assert following.stdout is not None
        try:
            refused(user.server.client("sagemaker").list_models)
            line = following.stdout.readline()
        finally:
            following.send_signal(signal.SIGINT)
        assert following.wait(30) == 0
    assert (
        f" user/{user.name} sagemaker:ListModels AccessDeniedException * from 127.0.0.1\n" in line
    )


@pytest.mark.parametrize("since", ["yesterday", "1", "1y", ""])
def test_a_wrong_age_is_wrong_usage(since: str, server: Server) -> None:
    ran = run_here("audit", "--since", since, data_dir=server.data_dir)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "is no age and no time" in ran.stderr


def test_where_there_is_no_trail(tmp_path: Path) -> None:
    ran = run_here("audit", data_dir=tmp_path / "nothing")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "there is no audit trail in" in ran.stderr


def test_an_endpoint_s_life_is_told_by_its_changes(
    server: Server, echo: Callable[[str], str]
) -> None:
    name = f"lives-{uuid.uuid4().hex[:8]}"
    server.create_model(name, echo(name))
    server.create_config(name, variant(name))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    server.settled(name)
    server.invoke(name)
    server.client("sagemaker").delete_endpoint(EndpointName=name)
    lines = [line for line in trail(server) if any(name in each for each in line["resources"])]
    assert [line["action"].partition(":")[2] for line in lines] == [
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
        "DeleteEndpoint",
    ]
    assert lines[2]["resources"] == [
        arn(server, "endpoint", name),
        arn(server, "endpoint-config", name),
    ]
