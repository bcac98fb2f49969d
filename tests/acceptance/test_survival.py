"""What is killed comes back, what serves goes on serving, and nobody is left behind.

One server is shared by these tests: each finds it whole and leaves it whole. Those that kill
control stand apart from one another, since what falls again and again is started with pauses.
Whose heart is silent is told in `test_heartbeats`.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from inservice.deployment.trouble import SERVED_SECONDS
from tests.acceptance.clients import Crowd
from tests.acceptance.server import (
    Server,
    archive,
    is_running,
    run_cli,
    variant,
)
from tests.waiting import wait_until

Echo = Callable[[str], str]


@pytest.fixture(scope="module")
def server(own_server: Server) -> Server:
    """Killed in part by each test here, and so nobody else's."""
    return own_server


def serving(server: Server, url: str, count: int = 2) -> str:
    name = f"ep-{uuid.uuid4().hex[:8]}"
    server.create_model(name, url)
    server.create_config(name, variant(name, count=count))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert server.settled(name)["EndpointStatus"] == "InService"
    return name


def workers(server: Server) -> set[int]:
    return {pid for name, pid in server.processes().items() if name.startswith("gateway")}


def test_killing_control_fails_no_invocation_and_loses_no_instance(
    server: Server, echo: Echo
) -> None:
    name = serving(server, echo("kept"))
    before = server.ready_pids(name)
    with Crowd(server, name) as crowd:
        for _ in range(2):
            server.kill_control()
            assert server.describe(name)["EndpointStatus"] == "InService"
    assert crowd.failures == []
    assert len(crowd.answers) > 10
    assert server.ready_pids(name) == before


def test_instances_that_served_come_back_at_once_however_often_they_are_killed(
    server: Server, echo: Echo
) -> None:
    """The same one three times: in a crash loop the third start would have to wait."""
    name = serving(server, echo("again"))
    kept = server.instances(name)[1]["Pid"]

    def is_replaced(pid: int) -> bool:
        now = server.ready_pids(name)
        return len(now) == 2 and pid not in now

    for _ in range(3):
        (served,) = server.ready_pids(name) - {kept}
        time.sleep(SERVED_SECONDS + 0.2)  # which is what tells a kill from a crash at the start
        os.kill(served, signal.SIGKILL)
        wait_until(partial(is_replaced, served))
    assert kept in server.ready_pids(name)
    assert server.invoke(name)["model"] == "again"
    assert server.describe(name)["EndpointStatus"] == "InService"
    gone = [m for m in server.history(name) if "is gone" in m]
    assert len(gone) == 3
    assert all(m.endswith("is gone: it was ended by SIGKILL; launching it again.") for m in gone)


DAEMONS = """
import os
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        os.write(tell, str(os.getpid()).encode())
        os.closerange(0, 64)
        os.execve("/bin/sleep", ["[kworker]", "60"], {})
    os.wait()
    return os.read(told, 20), "text/plain"
"""


def test_deleting_an_endpoint_ends_what_its_models_forked_away(
    server: Server, tmp_path: Path
) -> None:
    url = archive(tmp_path / "model.tar.gz", {"code/inference.py": DAEMONS})
    name = serving(server, url, count=1)
    answer = server.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"")
    pid = int(answer["Body"].read())
    assert Path(f"/proc/{pid}").exists()
    server.kill_control()
    server.client("sagemaker").delete_endpoint(EndpointName=name)
    listed = server.client("sagemaker").list_endpoints
    wait_until(lambda: not listed(NameContains=name)["Endpoints"])
    assert not is_running(pid)


def test_a_killed_gateway_worker_is_started_again(server: Server, echo: Echo) -> None:
    """All of them at once: what is asked meanwhile waits at the socket until one is back."""
    name = serving(server, echo("gateway"), count=1)
    before = workers(server)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, before)))
    assert server.invoke(name)["model"] == "gateway"
    wait_until(lambda: len(now := workers(server)) == len(before) and not now & before)


def test_a_second_server_on_the_same_records_is_refused(server: Server) -> None:
    second = run_cli("up", "--port=0", data_dir=server.data_dir)
    assert second.returncode == 1
    assert "already runs on" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_lost_routing_table_and_a_killed_control_lose_no_endpoint(
    server: Server, echo: Echo
) -> None:
    """Control comes back knowing of no route; the workers must not be told that there is none."""
    name = serving(server, echo("known"))
    with Crowd(server, name) as crowd:
        for _ in range(2):
            for lost in server.run_dir.glob("routes.j*"):
                lost.unlink()
            server.kill_control()
            wait_until(lambda: server.describe(name)["EndpointStatus"] == "InService")
            wait_until((server.run_dir / "routes.json").exists)
    assert crowd.failures == []


def test_reload_replaces_the_workers_without_a_failed_request(server: Server, echo: Echo) -> None:
    name = serving(server, echo("reload"), count=1)
    before = workers(server)
    with Crowd(server, name) as crowd:
        reloaded = run_cli("reload", data_dir=server.data_dir)
    assert reloaded.returncode == 0, reloaded.stderr
    assert crowd.failures == []
    assert not workers(server) & before
