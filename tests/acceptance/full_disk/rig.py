"""A server on a small volume that can be filled to its last byte or its last inode."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import ECHO, IMAGE, Server, archive, is_running, variant
from tests.volumes import Volume, mounted
from tests.waiting import wait_until

VOLUME_MIB = 48
INODES = 400
"""A server of one endpoint has some eighty files and directories."""

SPARES = {f"spare-{number}" for number in range(6)}


@contextlib.contextmanager
def volume_with_a_server(place: Path) -> Iterator[tuple[Volume, Server]]:
    """Its log is on another volume, so that what it says on a full disk can be read."""
    logs = place / "logs"
    logs.mkdir()
    with mounted(VOLUME_MIB, inodes=INODES) as volume:
        (volume.path / "data").mkdir(mode=0o700)
        (volume.path / "data" / "logs").symlink_to(logs)
        server = Server.start(volume.path / "data")
        try:
            server.create_model("m", model(place, "full"))
            server.create_config("c", variant("m"))
            yield volume, server
        finally:
            volume.free()
            server.stop()


@contextlib.contextmanager
def crowded(volume: Volume, server: Server, place: Path) -> Iterator[Server]:
    """With an endpoint that serves and models that can be deleted, and all the room that it wants.
    The test before may have taken any of that."""
    if not server.client("sagemaker").list_endpoints()["Endpoints"]:
        server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    for name in models(server) - SPARES - {"m"}:
        server.client("sagemaker").delete_model(ModelName=name)
    for name in SPARES - models(server):
        server.create_model(name, model(place, "spare"))
    assert server.settled("ep")["EndpointStatus"] == "InService"
    wait_until(volume.is_reserved)
    yield server
    volume.free()
    wait_until(server.answers)


def model(place: Path, name: str) -> str:
    return archive(place / f"{name}.tar.gz", {"name.txt": name, "code/inference.py": ECHO})


def models(server: Server) -> set[str]:
    listed = server.client("sagemaker").list_models(MaxResults=100)["Models"]
    return {one["ModelName"] for one in listed}


def refused(call: Callable[..., Any], **members: Any) -> str:
    """The message of the refusal for want of room."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    assert error["Error"]["Code"] == "InsufficientStorage"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503
    return str(error["Error"]["Message"])


def child(server: Server, module: str) -> psutil.Process:
    """A child of the supervisor. Which there are, the kernel says: on a full disk the supervisor
    may not be able to."""
    supervisor = json.loads((server.data_dir / "endpoint.json").read_bytes())["pid"]
    children = psutil.Process(supervisor).children()
    return next(each for each in children if module in each.cmdline())


def kill_control(server: Server) -> None:
    control = child(server, "inservice.app.__main__")
    control.kill()
    wait_until(lambda: not is_running(control.pid))


def adds(server: Server) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """One call of each service that would add something."""
    sagemaker = server.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "file:///nowhere.tar.gz"}
    yield sagemaker.create_model, {"ModelName": "more", "PrimaryContainer": container}
    weights = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    yield (
        sagemaker.update_endpoint_weights_and_capacities,
        {"EndpointName": "ep", "DesiredWeightsAndCapacities": weights},
    )
    datum = {"MetricName": "m", "Value": 1.0}
    yield (
        server.client("cloudwatch").put_metric_data,
        {"Namespace": "mine", "MetricData": [datum]},
    )
    yield server.client("logs").create_log_group, {"logGroupName": "mine"}
    yield server.client("inservice").undo_deployment, {"EndpointName": "ep"}


def answers(server: Server) -> bool:
    """Whether control does: not while it is away or has not even room to begin."""
    try:
        models(server)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
            raise
        return False
    return True
