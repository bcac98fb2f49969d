"""Who is silent is stuck and is replaced; who has much to do, or was held up itself, is not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inservice.supervision.children import HEARTBEAT_SECONDS
from tests.acceptance.clients import Crowd
from tests.acceptance.server import HELD, Server, archive, begun, leave_to_answer
from tests.acceptance.test_survival import serving, workers
from tests.waiting import wait_until

Echo = Callable[[str], str]


@pytest.fixture(scope="module")
def server(own_server: Server) -> Server:
    """Held up in part by each test here, and so nobody else's."""
    return own_server


def test_a_stuck_gateway_worker_is_replaced_and_the_other_serves(
    server: Server, echo: Echo
) -> None:
    """B3: its heart is silent, whatever the kernel says of its process."""
    name = serving(server, echo("stuck"), count=1)
    before = workers(server)
    os.kill(min(before), signal.SIGSTOP)
    after = wait_until(lambda: (w := workers(server)) != before and len(w) == 2 and w)
    assert before & after == {max(before)}
    assert "is stuck: silent for" in server.log()
    with Crowd(server, name) as crowd:
        crowd.wait(20)
    assert crowd.failures == []


def test_a_reload_that_takes_long_keeps_everybody_tended(server: Server, tmp_path: Path) -> None:
    """The request takes longer than a heartbeat may, and the worker that has it is leaving."""
    url = archive(tmp_path / "held.tar.gz", {"code/inference.py": HELD})
    name = serving(server, url, count=1)
    before = server.processes()
    answers: list[bytes] = []

    def invoke(leave: Path) -> None:
        runtime, body = server.new_client("sagemaker-runtime"), str(leave).encode()
        answer = runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain")
        answers.append(answer["Body"].read())

    since: dict[int, float] = {}

    def longest_leaving() -> float:
        now, told = time.monotonic(), server.processes()
        leaving = {pid for name, pid in told.items() if "leaving" in name}
        return max((now - since.setdefault(pid, now) for pid in leaving), default=0.0)

    with leave_to_answer() as leave:
        client = threading.Thread(target=invoke, args=[leave])
        client.start()
        wait_until(lambda: begun(leave))
        os.kill(before["supervisor"], signal.SIGHUP)
        wait_until(lambda: longest_leaving() > HEARTBEAT_SECONDS + 1.0)
        server.kill_control()
        assert client.is_alive()
        leave.touch()
        client.join()
    assert answers == [b"answered"]
    old = {before["gateway-0"], before["gateway-1"], before["storage"]}
    wait_until(lambda: not {*server.processes().values()} & old)
    wait_until(lambda: server.processes().keys() == before.keys())


def test_a_supervisor_that_was_held_up_blames_nobody_for_silence(server: Server) -> None:
    before = server.processes()
    os.kill(before["supervisor"], signal.SIGSTOP)
    time.sleep(HEARTBEAT_SECONDS + 1.0)  # that is what makes a worker look stuck
    os.kill(before["supervisor"], signal.SIGCONT)
    for _ in range(2):  # two rounds: one to blame somebody, one to start another in its place
        server.kill("control")
    after = server.processes()
    assert {**after, "control": 0} == {**before, "control": 0}
    wait_until(server.answers)
