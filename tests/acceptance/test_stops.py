"""What a server that was stopped, or whose supervisor was killed, leaves behind and brings back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from inservice.config import Settings, load
from inservice.supervision import grace
from tests.acceptance.clients import Crowd
from tests.acceptance.server import HELD, Server, archive, begun, leave_to_answer, run_cli
from tests.acceptance.test_survival import serving
from tests.waiting import wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]


def test_down_gives_what_hangs_one_grace_and_says_so(start_server: Start, tmp_path: Path) -> None:
    server = start_server("--workers=1", INSERVICE_DRAIN_SECONDS="3")
    name = serving(server, archive(tmp_path / "held.tar.gz", {"code/inference.py": HELD}), 1)

    def hang() -> None:
        with contextlib.suppress(Exception):  # it is cut off, or answered with an error
            server.invoke(name, str(leave))

    with leave_to_answer() as leave:
        client = threading.Thread(target=hang)
        client.start()
        wait_until(lambda: begun(leave))
        down = run_cli("down", data_dir=server.data_dir)
        client.join()
    assert down.returncode == 0, down.stderr
    assert "What is under way has 3 s to end (INSERVICE_DRAIN_SECONDS)." in down.stdout
    assert "What had not ended after 3 s was cut off." in down.stdout
    assert "cut off 1 requests after 3 s of grace" in server.log()
    wait_until(lambda: not server.pids())


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


def test_killing_the_supervisor_leaves_records_that_the_next_one_takes_over(
    start_server: Start, echo: Echo
) -> None:
    server = start_server()
    name = serving(server, echo("orphan"))
    before = server.ready_pids()
    os.kill(server.processes()["supervisor"], signal.SIGKILL)
    again = Server.start(server.data_dir)
    try:
        assert again.invoke(name)["model"] == "orphan"
        assert again.ready_pids() == before, "the instances went on and were adopted"
    finally:
        again.stop()


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


SLOW_TO_LOAD = """
import json, time
def model_fn(model_dir):
    time.sleep(2.0)
def transform_fn(model, data, content_type, accept):
    return json.dumps({"model": "loaded"}), "application/json"
"""


def test_down_leaves_nothing_and_up_brings_everything_back_and_waits_until_it_serves(
    start_server: Start, tmp_path: Path
) -> None:
    server = start_server()
    url = archive(tmp_path / "slow.tar.gz", {"code/inference.py": SLOW_TO_LOAD})
    name = serving(server, url)
    server.stop()
    assert not server.pids()
    impatient = run_cli(
        *("up", "--detach", "--port=0", "--wait-ready", "--timeout=0.5"), data_dir=server.data_dir
    )
    assert impatient.returncode == 1, impatient.stdout
    assert f"{name} (0 of 2)" in impatient.stdout
    assert "Not within" in impatient.stdout
    server.stop()
    up = run_cli("up", "--detach", "--port=0", "--wait-ready", data_dir=server.data_dir)
    assert up.returncode == 0, up.stderr
    assert f"{name} (0 of 2)" in up.stdout
    assert "All 1 endpoints serve." in up.stdout
    again = Server.found(server.data_dir)
    assert again.credentials == server.credentials
    with Crowd(again, name) as crowd:
        crowd.wait(20)
    assert crowd.failures == [], "from the first request on"
    assert set(crowd.models()) == {"loaded"}
    assert len(again.ready_pids()) == 2
