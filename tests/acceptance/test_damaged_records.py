"""Damage to records while nobody reads them: what serves goes on, and the rest is as it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import urllib.request
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import psutil
import pytest

from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, run_cli, variant, wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]

BODY = "body = replace(body, 'AllTraffic', 'AllTraffix')"
GENERATION = "generation = generation || 'x'"
KEY = "name_key = name_key || 'x'"


@pytest.fixture
def server(start_server: Start, echo: Echo) -> Server:
    """With two endpoints that serve, `hurt` and `sound`."""
    server = start_server("--workers=1")
    server.create_model("m", echo("kept"))
    server.create_config("c", variant("m", count=2))
    for name in ("hurt", "sound"):
        server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName="c")
    for name in ("hurt", "sound"):
        assert server.settled(name)["EndpointStatus"] == "InService"
    return server


def instances_of(server: Server, name: str) -> set[int]:
    found = server.status()["instances"]
    return {i["pid"] for i in found if i["endpoint"] == name and i["state"] == "Ready"}


def wait_for_instances(server: Server, name: str, pids: set[int]) -> None:
    wait_until(lambda: instances_of(server, name) == pids)


def told_of(server: Server, name: str, words: str) -> list[str]:
    """What the history tells with these words, as soon as it does."""
    told: list[str] = wait_until(lambda: [one for one in history(server, name) if words in one])
    return told


def damage(server: Server, how: str) -> None:
    database = sqlite3.connect(server.data_dir / "inservice.db")
    with database:
        changed = database.execute(f"UPDATE endpoints SET {how} WHERE name = 'hurt'").rowcount
    database.close()
    assert changed == 1


def metrics_page(server: Server) -> str:
    token = (server.data_dir / "metrics.token").read_text().strip()
    request = urllib.request.Request(f"{server.url}/metrics")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        page: str = answer.read().decode()
    return page


def kept(described: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name != "ResponseMetadata"}


def history(server: Server, name: str) -> list[str]:
    told = run_cli("endpoint", "history", name, "--output=json", data_dir=server.data_dir)
    assert told.returncode == 0, told.stderr
    return [event["detail"]["InService"]["Message"] for event in json.loads(told.stdout)]


def killed(server: Server, how: str) -> None:
    """As when somebody kills the supervisor: everything ends but the instances, and while nothing
    runs a record is damaged."""
    picture = server.status()
    os.kill(picture["supervisor"]["pid"], signal.SIGKILL)
    ended = [process["pid"] for process in picture["processes"]]
    wait_until(lambda: not any(map(psutil.pid_exists, ended)))
    damage(server, how)
    again = Server.start(server.data_dir, "--workers=1")
    server.url = again.url
    server._clients.clear()


def restarted(server: Server, how: str) -> None:
    """Damaged while everything runs, which nobody sees, and met by the next control."""
    damage(server, how)
    done = run_cli("restart", data_dir=server.data_dir)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("stop", "how"),
    [(killed, BODY), (killed, GENERATION), (restarted, BODY)],
    ids=["record", "whose-instances", "restart"],
)
def test_an_endpoint_whose_record_is_damaged_serves_on_is_failed_and_can_be_deleted(
    server: Server, stop: Callable[[Server, str], None], how: str
) -> None:
    before = {name: instances_of(server, name) for name in ("hurt", "sound")}
    assert all(len(pids) == 2 for pids in before.values())
    sound, told = kept(server.describe("sound")), history(server, "sound")
    stop(server, how)

    hurt = server.describe("hurt")
    assert hurt["EndpointStatus"] == "Failed"
    assert "cannot be read and was set aside: what it holds is not" in hurt["FailureReason"]
    for name in ("hurt", "sound"):
        wait_for_instances(server, name, before[name])
        with Crowd(server, name) as crowd:
            crowd.wait(40)
        assert crowd.failures == []
        assert {server.invoke(name)["pid"] for _ in range(9)} <= before[name]
    assert kept(server.describe("sound")) == sound, "nothing else has changed"
    assert history(server, "sound") == told
    is_told_of(server)
    deletable(server, before)


def is_told_of(server: Server) -> None:
    """Wherever one would look."""
    (aside,) = server.status()["set_aside"]
    assert aside["record"].startswith("endpoints ")
    assert aside["record"].endswith("/hurt")
    assert "inservice_records_set_aside 1" in metrics_page(server)
    assert history(server, "hurt")[-1] == "The record of the endpoint was set aside."
    listed = server.client("sagemaker").list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert [endpoint["EndpointName"] for endpoint in listed] == ["hurt"]
    shown = run_cli("status", data_dir=server.data_dir)
    assert "SET ASIDE" in shown.stdout
    assert "/hurt: " in shown.stdout
    show = run_cli("endpoint", "show", "hurt", data_dir=server.data_dir)
    assert "was set aside" in show.stdout, show.stderr
    for words in (["watch", "hurt", "--timeout=5"], ["report", "hurt"], ["wait", "hurt"]):
        asked = run_cli("endpoint", *words, data_dir=server.data_dir)
        assert "Traceback" not in asked.stderr, words
        assert "InternalFailure" not in asked.stderr, words


def deletable(server: Server, before: dict[str, set[int]]) -> None:
    sagemaker = server.client("sagemaker")
    with pytest.raises(botocore.exceptions.ClientError, match="in status Failed"):
        sagemaker.update_endpoint(EndpointName="hurt", EndpointConfigName="c")
    sagemaker.delete_endpoint(EndpointName="hurt")
    wait_until(lambda: len(sagemaker.list_endpoints()["Endpoints"]) == 1)
    wait_until(lambda: not any(map(psutil.pid_exists, before["hurt"])))
    assert server.status()["set_aside"] == []
    assert "inservice_records_set_aside 0" in metrics_page(server)
    assert instances_of(server, "sound") == before["sound"]
    sagemaker.create_endpoint(EndpointName="hurt", EndpointConfigName="c")
    assert server.settled("hurt")["EndpointStatus"] == "InService"
    assert server.invoke("hurt")["model"] == "kept"


def test_an_endpoint_under_a_damaged_name_is_found_again_and_nothing_has_changed(
    server: Server,
) -> None:
    before = {name: instances_of(server, name) for name in ("hurt", "sound")}
    described = {name: kept(server.describe(name)) for name in before}
    killed(server, KEY)
    for name in before:
        wait_for_instances(server, name, before[name])
        assert kept(server.describe(name)) == described[name]
        assert server.invoke(name)["model"] == "kept"
    assert server.status()["set_aside"] == []


def test_changed_files_of_a_model_are_told_in_the_history_of_whoever_began_with_them(
    server: Server,
) -> None:
    (name,) = (server.data_dir / "artifacts" / "trees").glob("*/model/name.txt")
    name.chmod(0o600)
    name.write_text("tampered with")
    os.kill(min(instances_of(server, "hurt")), signal.SIGKILL)
    for endpoint in ("hurt", "sound"):  # which share the files, whosever instance was replaced
        told = told_of(server, endpoint, "not what was unpacked")
        assert len(told) == 1
        assert "set-aside" in told[0]
    wait_until(lambda: len(instances_of(server, "hurt")) == 2)
    replaced = max(server.status()["instances"], key=lambda one: one["started_at"])["pid"]
    answers = (server.invoke("hurt") for _ in range(99))
    assert next(a["model"] for a in answers if a["pid"] == replaced) == "kept"
