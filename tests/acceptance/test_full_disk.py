"""A disk that is full fails what has to be written down, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from inservice.config import load
from tests.acceptance.server import (
    ECHO,
    IMAGE,
    Server,
    archive,
    is_running,
    run_cli,
    variant,
    wait_until,
)
from tests.volumes import Volume, mounted

Start = Callable[..., Server]
Echo = Callable[[str], str]


@pytest.fixture
def mute_server(tmp_path: Path) -> Iterator[Server]:
    """A server in whose log there is no room for a single line."""
    data_dir = tmp_path / "mute"
    command = [sys.executable, "-m", "inservice.cli.main", "up", "--port=0"]
    with Path("/dev/full").open("w") as full:
        popen = subprocess.Popen(
            [*command, f"--data-dir={data_dir}"], stdout=subprocess.DEVNULL, stderr=full
        )
    try:
        wait_until((data_dir / "endpoint.json").exists)
        endpoint = json.loads((data_dir / "endpoint.json").read_text())
        credentials = json.loads((data_dir / "credentials.json").read_text())
        yield Server(data_dir, endpoint["url"], credentials)
        popen.send_signal(signal.SIGINT)
        assert popen.wait(30) == 0
    finally:
        popen.kill()


def kill_and_await_another(server: Server, kind: str, name: str) -> None:
    def pids() -> set[int]:
        seen = server.status()[kind]
        return {p["pid"] for p in seen if p.get("name", name) == name and p.get("state") != "Gone"}

    (pid,) = pids()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(now := pids()) == 1 and now != {pid})


def test_a_log_that_cannot_be_written_to_stops_nothing(mute_server: Server, echo: Echo) -> None:
    server = mute_server
    server.create_model("m", echo("mute"))
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    assert server.settled("ep")["EndpointStatus"] == "InService"
    for kind, name in (("instances", "ep"), ("processes", "gateway-0"), ("processes", "control")):
        kill_and_await_another(server, kind, name)
    wait_until(lambda: server.describe("ep")["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    assert server.invoke("ep")["model"] == "mute"


def test_a_worker_is_replaced_though_nobody_can_be_told(start_server: Start) -> None:
    """The supervisor lives through what ends its children. Who runs is told when that is possible
    again, and control waits with what depends on it."""
    server = start_server()
    told = load(data_dir=server.data_dir).run_dir / "processes.json"
    before = json.loads(told.read_text())["children"]
    in_the_way = told.with_name("processes.old")
    told.rename(in_the_way)
    (told / "in the way").mkdir(parents=True)  # a directory that no rename replaces
    os.kill(next(c["pid"] for c in before if c["name"] == "gateway-0"), signal.SIGKILL)
    wait_until(lambda: "cannot be written" in server.log())
    (told / "in the way").rmdir()
    told.rmdir()
    after = wait_until(lambda: told.exists() and json.loads(told.read_text())["children"])
    assert {c["name"] for c in after} == {c["name"] for c in before}
    assert {c["pid"] for c in after} != {c["pid"] for c in before}


# ── a volume that is full to its last byte ──────────────────────────────────────────────────────
VOLUME_MIB = 48
INODES = 400
"""A server of one endpoint has some eighty files and directories."""


@pytest.fixture
def volume() -> Iterator[Volume]:
    with mounted(VOLUME_MIB, inodes=INODES) as made:
        yield made


@pytest.fixture
def crowded(
    volume: Volume, echo: Echo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on the volume, with an endpoint that serves and models that can be deleted. Its log
    is on another volume, so that what it says on a full disk can be read."""
    (volume.path / "data").mkdir(mode=0o700)
    logs = tmp_path_factory.mktemp("logs")
    (volume.path / "data" / "logs").symlink_to(logs)
    server = Server.start(volume.path / "data")
    try:
        server.create_model("m", echo("full"))
        server.create_config("c", variant("m"))
        server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
        for number in range(6):
            server.create_model(f"spare-{number}", echo("spare"))
        assert server.settled("ep")["EndpointStatus"] == "InService"
        wait_until(volume.is_reserved)
        yield server
    finally:
        server.stop()
        wait_until(lambda: not server.pids(), 15)


def models(server: Server) -> set[str]:
    listed = prompt(server, "sagemaker").list_models(MaxResults=100)["Models"]
    return {model["ModelName"] for model in listed}


def prompt(server: Server, service: str) -> Any:
    """A client that does not wait for a minute, as one of a control that is away would have to."""
    return server.new_client(service, read_timeout=20)


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
    control = child(server, "inservice.app")
    control.kill()
    wait_until(lambda: not is_running(control.pid))


def instance_pids(server: Server) -> set[int]:
    return {i["pid"] for i in server.status()["instances"] if i["state"] == "Ready"}


def adds(server: Server) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """One call of each service that would add something."""
    sagemaker = prompt(server, "sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "file:///nowhere.tar.gz"}
    yield sagemaker.create_model, {"ModelName": "more", "PrimaryContainer": container}
    weights = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    yield (
        sagemaker.update_endpoint_weights_and_capacities,
        {"EndpointName": "ep", "DesiredWeightsAndCapacities": weights},
    )
    datum = {"MetricName": "m", "Value": 1.0}
    yield (
        prompt(server, "cloudwatch").put_metric_data,
        {"Namespace": "mine", "MetricData": [datum]},
    )
    yield prompt(server, "logs").create_log_group, {"logGroupName": "mine"}
    yield prompt(server, "inservice").undo_deployment, {"EndpointName": "ep"}


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest, volume: Volume) -> Callable[[], None]:
    """What fills the volume, of either kind."""
    return volume.fill if request.param == "bytes" else volume.fill_inodes


def test_a_full_disk_refuses_what_adds_and_nothing_else_through_kills_of_control(
    volume: Volume, fill: Callable[[], None], crowded: Server, echo: Echo
) -> None:
    server = crowded
    serving = instance_pids(server)
    expected = models(server)
    fill()
    for kills in range(3):
        for call, members in adds(server):
            assert str(server.data_dir) in refused(call, **members)
        prompt(server, "sagemaker").delete_model(ModelName=f"spare-{kills}")
        expected -= {f"spare-{kills}"}
        assert server.describe("ep")["EndpointStatus"] == "InService"
        assert server.invoke("ep")["model"] == "full"
        kill_control(server)
        fill()  # the files of a process that is gone
        assert server.invoke("ep")["model"] == "full"
        wait_until(lambda: _answers(server))
        assert models(server) == expected, "what was acknowledged is so"
    assert instance_pids(server) == serving
    volume.free()
    wait_until(volume.is_reserved)
    server.create_model("more", echo("more"))
    kill_control(server)
    wait_until(lambda: _answers(server))
    assert models(server) == expected | {"more"}
    assert instance_pids(server) == serving
    assert "the store cannot be used" not in server.log()


def test_an_endpoint_is_deleted_on_a_full_disk_instances_and_all(
    fill: Callable[[], None], crowded: Server
) -> None:
    server = crowded
    (pid,) = instance_pids(server)
    fill()
    prompt(server, "sagemaker").delete_endpoint(EndpointName="ep")
    wait_until(lambda: not prompt(server, "sagemaker").list_endpoints()["Endpoints"])
    wait_until(lambda: not is_running(pid))


@pytest.mark.long
def test_deleting_an_endpoint_makes_room_by_itself(
    volume: Volume, crowded: Server, tmp_path: Path
) -> None:
    """Its artifact is not kept for the next endpoint, as it would be where there is room."""
    server = crowded
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
    refused(prompt(server, "sagemaker").create_model, ModelName="more")
    prompt(server, "sagemaker").delete_endpoint(EndpointName="large")
    wait_until(lambda: _accepts(server), 120)
    assert server.invoke("ep")["model"] == "full"


def _accepts(server: Server) -> bool:
    try:
        server.create_model("more", "file:///nowhere.tar.gz")
    except ClientError as error:
        if error.response["Error"]["Code"] != "InsufficientStorage":
            raise
        return False
    return True


def test_with_the_reserve_gone_too_who_asks_is_told_so_at_once(
    volume: Volume, crowded: Server
) -> None:
    server = crowded
    expected, serving = models(server), instance_pids(server)
    volume.fill_for_good()

    def is_told() -> bool:
        kill_control(server)
        volume.fill()  # the files of a process that is gone, unless the next was quicker
        try:
            prompt(server, "sagemaker").list_models()
        except ClientError as error:
            assert "Models go on serving" in error.response["Error"]["Message"]  # noqa: PT017
            return True
        return False

    wait_until(is_told)
    refused(prompt(server, "cloudwatch").describe_alarms)
    refused(prompt(server, "logs").describe_log_groups)
    assert server.invoke("ep")["model"] == "full"
    volume.free()
    wait_until(lambda: _answers(server))
    assert models(server) == expected
    assert instance_pids(server) == serving
    wait_until(volume.is_reserved)
    server.client("sagemaker").delete_model(ModelName="spare-0")


def _answers(server: Server) -> bool:
    try:
        models(server)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
            raise
        return False
    return True


@pytest.mark.long
def test_a_server_that_is_full_for_good_goes_down_and_comes_back_with_everything(
    volume: Volume, crowded: Server
) -> None:
    server = crowded
    expected = models(server)
    volume.fill_for_good()
    kill_control(server)
    refused(prompt(server, "sagemaker").list_models)
    server.stop()
    wait_until(lambda: not server.pids(), 15)
    volume.fill()
    told = run_cli("up", "--detach", "--port=0", data_dir=server.data_dir)
    assert told.returncode == 1
    assert "No space left on device" in told.stderr
    volume.free()
    again = Server.start(server.data_dir)
    server.url = again.url  # the fixture stops it
    assert models(again) == expected
    wait_until(lambda: len(instance_pids(again)) == 1)
    wait_until(volume.is_reserved)


def test_what_a_deployment_could_not_save_it_saves_when_there_is_room(
    volume: Volume, crowded: Server
) -> None:
    server = crowded
    (pid,) = instance_pids(server)
    volume.fill_for_good()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    for _ in range(3):
        assert server.describe("ep")["EndpointStatus"] == "InService"
        refused(prompt(server, "sagemaker").create_model, ModelName="more")
    volume.free()
    wait_until(lambda: server.describe("ep")["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    wait_until(lambda: len(instance_pids(server) - {pid}) == 1)
    assert server.invoke("ep")["model"] == "full"


def test_a_log_that_goes_on_growing_takes_next_to_nothing_of_the_reserve(
    volume: Volume, crowded: Server, echo: Echo
) -> None:
    """What fills a disk seldom stops when it is full. Every delete is done all the same."""
    server = crowded
    for number in range(6, 18):
        server.create_model(f"spare-{number}", echo("spare"))
    serving = instance_pids(server)
    with volume.kept_full(a_second=1 << 20):
        for number in range(18):
            if number % 6 == 5:
                kill_control(server)
            prompt(server, "sagemaker").delete_model(ModelName=f"spare-{number}")
        assert models(server) == {"m"}
        prompt(server, "sagemaker").delete_endpoint(EndpointName="ep")
        wait_until(lambda: not prompt(server, "sagemaker").list_endpoints()["Endpoints"])
        wait_until(lambda: not any(map(is_running, serving)))


def test_workers_and_control_are_replaced_on_a_full_disk(
    volume: Volume, fill: Callable[[], None], crowded: Server
) -> None:
    server = crowded
    expected, serving = models(server), instance_pids(server)
    fill()
    for word in ("reload", "restart"):
        done = run_cli(word, data_dir=server.data_dir)
        assert done.returncode == 0, done.stderr
        fill()  # what closing has made free
        assert server.invoke("ep")["model"] == "full"
        assert models(server) == expected
        refused(prompt(server, "sagemaker").create_model, ModelName="more")
    assert instance_pids(server) == serving


def test_without_a_reserve_control_is_not_replaced_and_stays(
    volume: Volume, crowded: Server
) -> None:
    server = crowded
    expected = models(server)
    control = child(server, "inservice.app").pid
    volume.fill_for_good()
    done = run_cli("restart", data_dir=server.data_dir)
    assert done.returncode == 1
    assert "control stays" in done.stderr
    assert str(server.data_dir) in done.stderr
    assert child(server, "inservice.app").pid == control
    assert models(server) == expected
    assert server.invoke("ep")["model"] == "full"
    assert run_cli("reload", data_dir=server.data_dir).returncode == 0


def test_a_gateway_worker_that_dies_on_a_full_disk_holds_no_deletion_up(
    volume: Volume, fill: Callable[[], None], crowded: Server
) -> None:
    """Control waits for the word of every worker that lives, and who lives is said in a file."""
    server = crowded
    (pid,) = instance_pids(server)
    fill()
    child(server, "inservice.gateway.worker").kill()
    assert server.invoke("ep")["model"] == "full"
    prompt(server, "sagemaker").delete_endpoint(EndpointName="ep")
    wait_until(lambda: not prompt(server, "sagemaker").list_endpoints()["Endpoints"])
    wait_until(lambda: not is_running(pid))


def test_a_root_key_that_got_out_is_replaced_on_a_full_disk(
    volume: Volume, crowded: Server
) -> None:
    server = crowded
    volume.fill()
    before = prompt(server, "sagemaker-runtime")
    prompt(server, "inservice").rotate_root_access_key(
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


def test_an_instance_that_shouts_on_a_full_disk_serves_and_is_launched_again(
    volume: Volume, tmp_path: Path
) -> None:
    """Here what instances print is on the full volume, and so is everything about a launch."""
    shouting = (
        "def model_fn(d):\n    return None\n"
        "def transform_fn(m, data, c, a):\n"
        "    print('a line of forty characters, all of it', flush=True)\n"
        "    return '{}', 'application/json'\n"
    )
    server = Server.start(volume.path / "data")
    try:
        server.create_model("m", archive(tmp_path / "m.tar.gz", {"code/inference.py": shouting}))
        server.create_config("c", variant("m"))
        server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
        assert server.settled("ep")["EndpointStatus"] == "InService"
        wait_until(volume.is_reserved)
        volume.fill()
        for _ in range(50):
            assert server.invoke("ep") == {}
        (pid,) = instance_pids(server)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: instance_pids(server) not in (set(), {pid}))
        assert server.invoke("ep") == {}
        volume.free()
        server.invoke("ep")
        (log,) = (server.data_dir / "logs" / "endpoints").rglob("*.log")
        wait_until(lambda: log.read_bytes().rstrip().endswith(b"all of it"))
        for line in log.read_bytes().splitlines():
            text = line.partition(b" ")[2]
            assert text.endswith(b"all of it") or text.startswith(b"[inservice] dropped"), line
    finally:
        volume.free()
        server.stop()
        wait_until(lambda: not server.pids(), 15)


@pytest.mark.long
def test_whoever_takes_what_is_given_up_takes_nothing_that_was_acknowledged(
    volume: Volume, crowded: Server, echo: Echo
) -> None:
    """Each delete is done or refused, however the reserve is fought over, and control is killed
    between."""
    server = crowded
    for number in range(6, 24):
        server.create_model(f"spare-{number}", echo("spare"))
    expected, serving = models(server), instance_pids(server)
    with volume.kept_full():
        for number in range(24):
            if number % 4 == 3:
                kill_control(server)
            name = f"spare-{number}"
            try:
                prompt(server, "sagemaker").delete_model(ModelName=name)
            except ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503  # noqa: PT017
            else:
                expected -= {name}
        assert server.invoke("ep")["model"] == "full"
    wait_until(lambda: _answers(server))
    assert models(server) == expected
    assert instance_pids(server) == serving
    wait_until(volume.is_reserved)
    kill_control(server)
    assert models(server) == expected
    for never in ("damaged", "set_aside", "Traceback"):
        assert never not in server.log()


def test_a_server_starts_on_a_full_disk(fill: Callable[[], None], crowded: Server) -> None:
    server = crowded
    expected = models(server)
    fill()
    server.stop()
    wait_until(lambda: not server.pids(), 15)
    fill()
    again = Server.start(server.data_dir)
    server.url = again.url  # the fixture stops it
    assert models(again) == expected
    refused(prompt(again, "sagemaker").create_model, ModelName="more")
    prompt(again, "sagemaker").delete_model(ModelName="spare-0")
    assert models(again) == expected - {"spare-0"}
