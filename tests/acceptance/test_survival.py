"""What is killed comes back, what serves goes on serving, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from inservice.config import Settings, load
from inservice.supervision import grace
from inservice.supervision.children import HEARTBEAT_SECONDS
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, archive, is_running, run_cli, variant, wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]


SLEEPER = """
import json, pathlib, time
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    pathlib.Path(data.decode()).touch()
    time.sleep(6.0)
    return json.dumps("slept well"), "application/json"
"""
"""A model that shows that it has a request, and takes longer with it than a heartbeat may."""


def serving(server: Server, url: str, count: int = 2) -> str:
    server.create_model("m", url)
    server.create_config("c", variant("m", count=count))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    assert server.settled("ep")["EndpointStatus"] == "InService"
    return "ep"


def control_pid(server: Server) -> int:
    (pid,) = [p["pid"] for p in server.status()["processes"] if p["name"] == "control"]
    return int(pid)


def other_control(server: Server, than: int) -> bool:
    return control_pid(server) != than


def older_than_two_seconds(pid: int) -> bool:
    return time.time() - psutil.Process(pid).create_time() > 2


def two_others(server: Server, than: set[int]) -> bool:
    now = instance_pids(server)
    return now != than and len(now) == 2


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
            wait_until(partial(other_control, server, pid))
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
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    url = archive(tmp_path / "model.tar.gz", {"code/inference.py": DAEMONS})
    name = serving(server, url, count=1)
    answer = server.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"")
    pid = int(answer["Body"].read())
    assert Path(f"/proc/{pid}").exists()
    control = control_pid(server)
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: control_pid(server) != control)
    server.client("sagemaker").delete_endpoint(EndpointName=name)
    wait_until(lambda: not server.client("sagemaker").list_endpoints()["Endpoints"])
    assert not is_running(pid)


def messages(server: Server, name: str) -> list[str]:
    """What the endpoint's history says, oldest first."""
    told = run_cli("endpoint", "history", name, "--output=json", data_dir=server.data_dir)
    assert told.returncode == 0, told.stderr
    return [event["detail"]["InService"]["Message"] for event in json.loads(told.stdout)]


def test_instances_that_served_come_back_at_once_however_often_they_are_killed(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    name = serving(server, echo("again"))
    for _ in range(6):
        before = instance_pids(server)
        served = min(before)
        # A second of service is what tells a kill from a crash at the start.
        wait_until(partial(older_than_two_seconds, served))
        os.kill(served, signal.SIGKILL)
        wait_until(partial(two_others, server, before))
    document = server.describe(name)
    assert document["EndpointStatus"] == "InService"
    gone = [m for m in messages(server, name) if "is gone" in m]
    assert len(gone) == 6
    assert all(m.endswith("is gone: it was ended by SIGKILL; launching it again.") for m in gone)


HANGS = """
import pathlib, time
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    pathlib.Path(data.decode()).touch()
    while True:
        time.sleep(60)
"""


def test_down_gives_what_hangs_one_grace_and_says_so(start_server: Start, tmp_path: Path) -> None:
    server = start_server("--workers=1", INSERVICE_DRAIN_SECONDS="5")
    name = serving(server, archive(tmp_path / "hangs.tar.gz", {"code/inference.py": HANGS}), 1)
    place = Path(tempfile.mkdtemp(prefix="is-"))
    place.chmod(0o777)  # for the model, who is another user

    def hang() -> None:
        with contextlib.suppress(Exception):  # it is cut off, or answered with an error
            server.invoke(name, str(place / "here"))

    client = threading.Thread(target=hang)
    client.start()
    wait_until((place / "here").exists)
    down = run_cli("down", data_dir=server.data_dir)
    client.join()
    assert down.returncode == 0, down.stderr
    assert "What is under way has 5 s to end (INSERVICE_DRAIN_SECONDS)." in down.stdout
    assert "What had not ended after 5 s was cut off." in down.stdout
    assert "cut off 1 requests after 5 s of grace" in server.log()
    wait_until(lambda: not server.pids(), 15)


def test_the_stages_of_a_stop_share_one_grace(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "d", drain_seconds=1_000.0)
    settings.run_dir.mkdir(parents=True)
    assert grace.left(settings) == 1_000.0, "nobody has begun to stop"
    began = time.monotonic()
    by = grace.grant(settings)
    assert by >= began + 1_000.0
    assert grace.left(settings) <= by - began
    file = settings.run_dir / "stop-by.json"
    file.write_text(json.dumps({"by": time.monotonic() - 1.0}))
    assert grace.left(settings) == grace.LEAST_SECONDS, "the first stage has used all of it"
    for garbled in ("", "{}", '{"by": "soon"}', '{"by": null}'):
        file.write_text(garbled)
        assert grace.left(settings) == 1_000.0
    grace.over(settings)
    grace.over(settings)
    assert grace.left(settings) == 1_000.0


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


def running(server: Server) -> dict[str, int]:
    """The pids of the supervisor and its children, as the supervisor tells them."""
    document = json.loads((Settings(server.data_dir).run_dir / "processes.json").read_bytes())
    children = {child["name"]: child["pid"] for child in document["children"]}
    return {"supervisor": document["pid"], **children}


def kill_control(server: Server) -> None:
    """And wait until there is another."""
    before = running(server)["control"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running(server).get("control", before) != before)


def test_a_reload_that_takes_long_keeps_everybody_tended(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server("--workers=1")
    url = archive(tmp_path / "sleeper.tar.gz", {"code/inference.py": SLEEPER})
    name = serving(server, url, count=1)
    place = Path(tempfile.mkdtemp(prefix="is-"))
    place.chmod(0o777)  # for the model, who is another user
    asleep = place / "asleep"
    answers: list[object] = []
    client = threading.Thread(target=lambda: answers.append(server.invoke(name, str(asleep))))
    client.start()
    wait_until(asleep.exists)
    before = running(server)
    os.kill(before["supervisor"], signal.SIGHUP)
    wait_until(lambda: running(server)["gateway-0"] != before["gateway-0"])
    kill_control(server)
    assert client.is_alive(), "control is back while the old worker still has its request"
    client.join()
    assert answers == ["slept well"]


def test_a_supervisor_that_was_held_up_blames_nobody_for_silence(start_server: Start) -> None:
    server = start_server()
    before = running(server)
    os.kill(before["supervisor"], signal.SIGSTOP)
    time.sleep(HEARTBEAT_SECONDS + 1.0)  # that is what makes a worker look stuck
    os.kill(before["supervisor"], signal.SIGCONT)
    for _ in range(2):  # two rounds: one to blame somebody, one to start another in its place
        kill_control(server)
    after = running(server)
    assert {**after, "control": 0} == {**before, "control": 0}


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


def test_a_stuck_gateway_worker_is_replaced_and_the_other_serves(
    start_server: Start, echo: Echo
) -> None:
    """B3: its heart is silent, whatever the kernel says of its process."""
    server = start_server("--workers=2")
    name = serving(server, echo("stuck"), count=1)

    def workers() -> set[int]:
        return {p["pid"] for p in server.status()["processes"] if "gateway" in p["name"]}

    before = workers()
    os.kill(min(before), signal.SIGSTOP)
    after = wait_until(lambda: (w := workers()) != before and len(w) == 2 and w)
    assert before & after == {max(before)}
    assert "is stuck: silent for" in server.log()
    with Crowd(server, name) as crowd:
        wait_until(lambda: len(crowd.answers) > 20)
    assert crowd.failures == []


def test_a_lost_routing_table_and_a_killed_control_lose_no_endpoint(
    start_server: Start, echo: Echo
) -> None:
    """Control comes back knowing of no route; the workers must not be told that there is none."""
    server = start_server()
    name = serving(server, echo("known"))
    run_dir = Settings(server.data_dir).run_dir
    with Crowd(server, name) as crowd:
        for _ in range(2):
            for lost in run_dir.glob("routes.j*"):
                lost.unlink()
            kill_control(server)
            wait_until(lambda: server.describe(name)["EndpointStatus"] == "InService")
            wait_until((run_dir / "routes.json").exists)
    assert crowd.failures == []


SLOW_TO_LOAD = """
import json, time
def model_fn(model_dir):
    time.sleep(2.0)
def transform_fn(model, data, content_type, accept):
    return json.dumps({"model": "loaded"}), "application/json"
"""


def test_up_waits_until_the_endpoints_serve(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    url = archive(tmp_path / "slow.tar.gz", {"code/inference.py": SLOW_TO_LOAD})
    name = serving(server, url)
    server.stop()
    impatient = run_cli(
        *("up", "--detach", "--port=0", "--wait-ready", "--timeout=0.5"), data_dir=server.data_dir
    )
    assert impatient.returncode == 1, impatient.stdout
    assert "ep (0 of 2)" in impatient.stdout
    assert "Not within" in impatient.stdout
    server.stop()
    up = run_cli("up", "--detach", "--port=0", "--wait-ready", data_dir=server.data_dir)
    assert up.returncode == 0, up.stderr
    assert "ep (0 of 2)" in up.stdout
    assert "All 1 endpoints serve." in up.stdout
    again = Server(
        server.data_dir,
        json.loads((server.data_dir / "endpoint.json").read_text())["url"],
        server.credentials,
    )
    with Crowd(again, name) as crowd:
        wait_until(lambda: len(crowd.answers) > 20)
    assert crowd.failures == [], "from the first request on"
    assert len(instance_pids(again)) == 2
