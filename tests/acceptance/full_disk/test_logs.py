"""What is written down beside the records, and cannot be: logs, and who runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.full_disk.rig import INODES, VOLUME_MIB
from tests.acceptance.server import Server, archive, variant
from tests.volumes import Volume, mounted
from tests.waiting import PATIENCE_SECONDS, wait_until

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
        yield Server.found(data_dir)
        popen.send_signal(signal.SIGINT)
        assert popen.wait(PATIENCE_SECONDS) == 0
    finally:
        popen.kill()


def test_a_log_that_cannot_be_written_to_stops_nothing(mute_server: Server, echo: Echo) -> None:
    server = mute_server
    server.create_model("m", echo("mute"))
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    assert server.settled("ep")["EndpointStatus"] == "InService"
    (instance,) = server.ready_pids()
    os.kill(instance, signal.SIGKILL)
    wait_until(lambda: server.ready_pids() not in (set(), {instance}))
    server.kill("gateway-0")
    server.kill_control()
    wait_until(lambda: server.describe("ep")["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    assert server.invoke("ep")["model"] == "mute"


def test_a_worker_is_replaced_though_nobody_can_be_told(
    start_server: Callable[..., Server],
) -> None:
    """The supervisor lives through what ends its children. Who runs is told when that is possible
    again, and control waits with what depends on it."""
    server = start_server()
    told = server.run_dir / "processes.json"
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


@pytest.fixture
def volume() -> Iterator[Volume]:
    with mounted(VOLUME_MIB, inodes=INODES) as made:
        yield made


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
        (pid,) = server.ready_pids()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.ready_pids() not in (set(), {pid}))
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
