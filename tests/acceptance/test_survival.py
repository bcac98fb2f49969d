"""What is killed comes back, what serves goes on serving, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from inservice.config import load
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, run_cli, variant, wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]


def serving(server: Server, url: str, count: int = 2) -> str:
    server.create_model("m", url)
    server.create_config("c", variant("m", count=count))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    assert server.settled("ep")["EndpointStatus"] == "InService"
    return "ep"


def control_pid(server: Server) -> int:
    (pid,) = [p["pid"] for p in server.status()["processes"] if p["name"] == "control"]
    return int(pid)


def instance_pids(server: Server) -> set[int]:
    return {i["pid"] for i in server.status()["instances"] if i["state"] == "Ready"}


def test_killing_control_fails_no_invocation_and_loses_no_instance(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    name = serving(server, echo("kept"))
    before = instance_pids(server)
    with Crowd(server, name) as crowd:
        for _ in range(2):
            pid = control_pid(server)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: control_pid(server) != pid)
            assert server.describe(name)["EndpointStatus"] == "InService"
    assert crowd.failures == []
    assert len(crowd.answers) > 10
    assert instance_pids(server) == before


def test_a_dead_instance_is_replaced(start_server: Start, echo: Echo) -> None:
    server = start_server()
    name = serving(server, echo("again"))
    before = instance_pids(server)
    os.kill(min(before), signal.SIGKILL)
    after = wait_until(lambda: (p := instance_pids(server)) != before and len(p) == 2 and p)
    assert after & before == before - {min(before)}
    assert server.invoke(name)["model"] == "again"
    assert server.describe(name)["EndpointStatus"] == "InService"


def test_a_killed_gateway_worker_is_started_again(start_server: Start, echo: Echo) -> None:
    server = start_server("--workers=1")
    name = serving(server, echo("gateway"), count=1)
    (worker,) = [p for p in server.status()["processes"] if p["name"] == "gateway-0"]
    os.kill(worker["pid"], signal.SIGKILL)
    assert server.invoke(name)["model"] == "gateway"  # queued at the socket until it is back


def test_a_second_server_on_the_same_records_is_refused(start_server: Start) -> None:
    server = start_server()
    second = run_cli("up", "--port=0", data_dir=server.data_dir)
    assert second.returncode == 1
    assert "already runs on" in second.stderr
    assert "Traceback" not in second.stderr


def test_down_leaves_nothing_and_up_brings_everything_back(
    start_server: Start, echo: Echo, tmp_path: Path
) -> None:
    server = start_server()
    name = serving(server, echo("back"))
    server.stop()
    wait_until(lambda: not server.pids(), 15)
    again = Server.start(server.data_dir)
    try:
        assert again.credentials == server.credentials
        wait_until(lambda: len(instance_pids(again)) == 2)
        assert again.invoke(name)["model"] == "back"
    finally:
        again.stop()
        wait_until(lambda: not again.pids(), 15)


def test_killing_the_supervisor_leaves_records_that_the_next_one_takes_over(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    name = serving(server, echo("orphan"))
    before = instance_pids(server)
    supervisor = server.status()["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: run_cli("status", data_dir=server.data_dir).returncode != 0)
    deadline = time.monotonic() + 20
    again = Server.start(server.data_dir)
    try:
        assert time.monotonic() < deadline
        assert again.invoke(name)["model"] == "orphan"
        assert instance_pids(again) == before, "the instances went on and were adopted"
    finally:
        again.stop()
        wait_until(lambda: not again.pids(), 15)


def test_reload_replaces_the_workers_without_a_failed_request(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    name = serving(server, echo("reload"), count=1)

    def workers() -> set[int]:
        return {p["pid"] for p in server.status()["processes"] if "gateway" in p["name"]}

    before = workers()
    with Crowd(server, name) as crowd:
        reloaded = run_cli("reload", data_dir=server.data_dir)
    assert reloaded.returncode == 0, reloaded.stderr
    assert crowd.failures == []
    assert not workers() & before


def test_a_data_directory_too_deep_for_sockets_has_them_elsewhere_while_it_runs(
    tmp_path: Path, echo: Echo
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = Server.start(deep)
    run_dir = load(data_dir=deep).run_dir
    try:
        assert not run_dir.is_relative_to(deep)
        assert server.invoke(serving(server, echo("deep"), count=1))["model"] == "deep"
    finally:
        server.stop()
    assert not run_dir.exists()
