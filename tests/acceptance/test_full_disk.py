"""A disk that is full fails what has to be written down, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inservice.config import load
from tests.acceptance.server import Server, variant, wait_until

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
