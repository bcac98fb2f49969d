"""A disk that is full fails what has to be written down, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.full_disk.rig import (
    adds,
    answers,
    child,
    kill_control,
    model,
    models,
    refused,
)
from tests.acceptance.server import ECHO, Server, archive, is_running, variant
from tests.volumes import Volume
from tests.waiting import wait_until


def test_a_full_disk_refuses_what_adds_and_nothing_else_through_kills_of_control(
    volume: Volume, fill: Callable[[], None], server: Server, place: Path
) -> None:
    said, serving = len(server.log()), server.ready_pids()
    expected = models(server)
    fill()
    for spare, control in (("spare-0", "runs when the disk is full"), ("spare-1", "begins then")):
        for call, members in adds(server):
            assert str(server.data_dir) in refused(call, **members), control
        server.client("sagemaker").delete_model(ModelName=spare)
        expected -= {spare}
        assert server.describe("ep")["EndpointStatus"] == "InService", control
        assert server.invoke("ep")["model"] == "full", control
        if spare == "spare-0":
            kill_control(server)
            fill()  # the files of a process that is gone
            assert server.invoke("ep")["model"] == "full"
            wait_until(lambda: answers(server))
        assert models(server) == expected, "what was acknowledged is so"
    assert server.ready_pids() == serving
    volume.free()
    wait_until(volume.is_reserved)
    server.create_model("more", model(place, "more"))
    kill_control(server)
    wait_until(lambda: answers(server))
    assert models(server) == expected | {"more"}
    assert server.ready_pids() == serving
    assert "the store cannot be used" not in server.log()[said:]


def test_an_endpoint_is_deleted_on_a_full_disk_instances_and_all(
    fill: Callable[[], None], server: Server
) -> None:
    (pid,) = server.ready_pids()
    fill()
    server.client("sagemaker").delete_endpoint(EndpointName="ep")
    wait_until(lambda: not server.client("sagemaker").list_endpoints()["Endpoints"])
    wait_until(lambda: not is_running(pid))


@pytest.mark.long
def test_deleting_an_endpoint_makes_room_by_itself(
    volume: Volume, server: Server, tmp_path: Path
) -> None:
    """Its artifact is not kept for the next endpoint, as it would be where there is room."""
    large: dict[str, str | bytes] = {
        "code/inference.py": ECHO,
        "name.txt": "large",
        "weights": os.urandom(12 << 20),
    }
    server.create_model("large", archive(tmp_path / "large.tar.gz", large))
    server.create_config("large", variant("large"))
    server.client("sagemaker").create_endpoint(EndpointName="large", EndpointConfigName="large")
    assert server.settled("large")["EndpointStatus"] == "InService"
    volume.fill()
    refused(server.client("sagemaker").create_model, ModelName="more")
    server.client("sagemaker").delete_endpoint(EndpointName="large")
    wait_until(lambda: _accepts(server))
    assert server.invoke("ep")["model"] == "full"


def _accepts(server: Server) -> bool:
    try:
        server.create_model("more", "file:///nowhere.tar.gz")
    except ClientError as error:
        if error.response["Error"]["Code"] != "InsufficientStorage":
            raise
        return False
    return True


def test_what_a_deployment_could_not_save_it_saves_when_there_is_room(
    volume: Volume, server: Server
) -> None:
    (pid,) = server.ready_pids()
    volume.fill_for_good()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    for _ in range(3):
        assert server.describe("ep")["EndpointStatus"] == "InService"
        refused(server.client("sagemaker").create_model, ModelName="more")
    volume.free()
    wait_until(lambda: server.describe("ep")["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    wait_until(lambda: len(server.ready_pids() - {pid}) == 1)
    assert server.invoke("ep")["model"] == "full"


def test_a_gateway_worker_that_dies_on_a_full_disk_holds_no_deletion_up(
    volume: Volume, fill: Callable[[], None], server: Server
) -> None:
    """Control waits for the word of every worker that lives, and who lives is said in a file."""
    (pid,) = server.ready_pids()
    fill()
    worker = child(server, "inservice.gateway.worker")
    worker.kill()
    wait_until(lambda: not is_running(worker.pid))
    assert server.invoke("ep")["model"] == "full"
    server.client("sagemaker").delete_endpoint(EndpointName="ep")
    wait_until(lambda: not server.client("sagemaker").list_endpoints()["Endpoints"])
    wait_until(lambda: not is_running(pid))


def test_a_root_key_that_got_out_is_replaced_on_a_full_disk(volume: Volume, server: Server) -> None:
    volume.fill()
    before = server.client("sagemaker-runtime")
    server.client("inservice").rotate_root_access_key(
        AccessKeyId=server.credentials["access_key_id"]
    )
    told = server.data_dir / "credentials.json"
    key = wait_until(lambda: (new := json.loads(told.read_bytes())) != server.credentials and new)

    def is_refused() -> bool:
        try:
            before.invoke_endpoint(EndpointName="ep", Body=b"x", ContentType="text/plain")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403  # noqa: PT017
            return True
        return False

    wait_until(is_refused)
    server.credentials = key
    server._clients.clear()
    assert server.invoke("ep")["model"] == "full"


@pytest.mark.long
def test_whoever_takes_what_is_given_up_takes_nothing_that_was_acknowledged(
    volume: Volume, server: Server, place: Path
) -> None:
    """Each delete is done or refused, however the reserve is fought over, and control is killed
    between."""
    for number in range(6, 24):
        server.create_model(f"spare-{number}", model(place, "spare"))
    expected, serving = models(server), server.ready_pids()
    with volume.kept_full():
        for number in range(24):
            if number % 4 == 3:
                kill_control(server)
            name = f"spare-{number}"
            try:
                server.client("sagemaker").delete_model(ModelName=name)
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503  # noqa: PT017
            else:
                expected -= {name}
        assert server.invoke("ep")["model"] == "full"
    wait_until(lambda: answers(server))
    assert models(server) == expected
    assert server.ready_pids() == serving
    wait_until(volume.is_reserved)
    kill_control(server)
    assert models(server) == expected
    for never in ("damaged", "set_aside", "Traceback"):
        assert never not in server.log()
