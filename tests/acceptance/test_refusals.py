"""What `up` and `down` say and do when they cannot do what is asked, and what they leave alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.server import Server, is_running, run_cli, variant
from tests.waiting import wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]


def refused(*options: str, data_dir: Path) -> str:
    """What `up` says when it refuses: in words, and because it knows, not having waited in vain."""
    finished = run_cli("up", "--port=0", *options, data_dir=data_dir)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "did not answer within" not in finished.stderr
    assert "inservice up: " in finished.stderr
    return finished.stderr


@pytest.mark.parametrize("options", [[], ["--detach"]], ids=["attached", "detached"])
def test_damaged_records_are_refused_at_once_and_left_as_they_are(
    tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "inservice.db").write_bytes(b"these are not records" * 1000)
    said = refused(*options, data_dir=tmp_path)
    assert "is damaged: file is not a database" in said
    assert said.count("is damaged") == 1, "starting control again cannot help"
    assert (tmp_path / "inservice.db").read_bytes() == b"these are not records" * 1000
    assert not Server(tmp_path, "", {}).pids()


@pytest.mark.parametrize("options", [[], ["--detach"]], ids=["attached", "detached"])
def test_a_data_directory_that_cannot_be_is_refused_in_words(
    tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}" in refused(*options, data_dir=tmp_path / "file")
    assert "/proc/nowhere" in refused(*options, data_dir=Path("/proc/nowhere"))


def test_a_taken_port_is_named(tmp_path: Path, start_server: Start) -> None:
    port = start_server().url.rpartition(":")[2]
    for options in ([], ["--detach"]):
        said = refused(*options, f"--port={port}", data_dir=tmp_path / "other")
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said


def test_down_stops_the_instances_that_a_killed_server_left(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    server.create_model("m", echo("left"))
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    server.settled("ep")
    (instance,) = server.ready_pids()
    supervisor = server.processes()["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not is_running(supervisor))
    assert psutil.pid_exists(instance)
    finished = run_cli("down", data_dir=server.data_dir)
    assert finished.returncode == 0, finished.stderr
    assert "left" in finished.stdout
    assert not psutil.pid_exists(instance)
    assert not server.pids()
    assert "No server runs" in run_cli("down", data_dir=server.data_dir).stdout
