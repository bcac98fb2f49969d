"""Damage to records while nobody reads them: what serves goes on, and the rest is as it was.

One server is damaged again and again: whatever a test has set aside it deletes, and says so.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

import botocore.exceptions
import psutil
import pytest

from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, is_running, run_cli, run_here, variant
from tests.waiting import wait_until

Echo = Callable[[str], str]

BODY = "body = replace(body, 'AllTraffic', 'AllTraffix')"
GENERATION = "generation = generation || 'x'"
KEY = "name_key = name_key || 'x'"


@pytest.fixture(scope="module")
def server(own_server: Server) -> Server:
    """Whose records are damaged, and so nobody else's."""
    return own_server


def serving(server: Server, echo: Echo, *names: str) -> dict[str, set[int]]:
    """Endpoints of these names, on a model of the first; the processes of their two instances."""
    model = names[0]
    server.create_model(model, echo(model))
    server.create_config(model, variant(model, count=2))
    for name in names:
        server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=model)
    for name in names:
        assert server.settled(name)["EndpointStatus"] == "InService"
    found = {name: server.ready_pids(name) for name in names}
    assert all(len(pids) == 2 for pids in found.values())
    return found


def damage(server: Server, name: str, how: str) -> None:
    database = sqlite3.connect(server.data_dir / "inservice.db")
    with database:
        changed = database.execute(f"UPDATE endpoints SET {how} WHERE name = ?", [name]).rowcount
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


def killed(server: Server, damages: dict[str, str]) -> None:
    """As when somebody kills the supervisor: everything ends but the instances, and while nothing
    runs records are damaged."""
    ended = server.processes()
    os.kill(ended["supervisor"], signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, ended.values())))
    for name, how in damages.items():
        damage(server, name, how)
    server.start_again()


def restarted(server: Server, damages: dict[str, str]) -> None:
    """Damaged while everything runs, which nobody sees, and met by the next control."""
    for name, how in damages.items():
        damage(server, name, how)
    done = run_cli("restart", data_dir=server.data_dir)
    assert done.returncode == 0, done.stderr


def test_endpoints_whose_records_are_damaged_serve_on_are_failed_and_can_be_deleted(
    server: Server, echo: Echo
) -> None:
    before = serving(server, echo, "sound", "record", "whose-instances", "name")
    described = {name: kept(server.describe(name)) for name in before}
    told = {name: server.history(name) for name in before}
    killed(server, {"record": BODY, "whose-instances": GENERATION, "name": KEY})
    goes_on(server, before)
    for name in ("sound", "name"):  # under a damaged name an endpoint is found again
        assert kept(server.describe(name)) == described[name], "nothing has changed"
        assert server.history(name) == told[name]
    hurt = ("record", "whose-instances")
    is_told_of(server, *hurt)
    the_commands_tell_of(server, "record")
    for name in hurt:
        deletable(server, name, before[name])
    goes_on(server, {name: before[name] for name in ("sound", "name")})


def test_a_record_that_was_damaged_while_all_ran_is_met_by_the_next_control(
    server: Server, echo: Echo
) -> None:
    before = serving(server, echo, "other", "hurt")
    described, told = kept(server.describe("other")), server.history("other")
    restarted(server, {"hurt": BODY})
    goes_on(server, before)
    assert kept(server.describe("other")) == described
    assert server.history("other") == told
    is_told_of(server, "hurt")
    deletable(server, "hurt", before["hurt"])


def goes_on(server: Server, before: dict[str, set[int]]) -> None:
    """What serves is what served, and it answers."""
    for name, pids in before.items():
        wait_until(partial(_serve, server, name, pids))
        with Crowd(server, name) as crowd:
            crowd.wait(40)
        assert crowd.failures == []
        assert {server.invoke(name)["pid"] for _ in range(9)} <= pids


def _serve(server: Server, name: str, pids: set[int]) -> bool:
    return server.ready_pids(name) == pids


def is_told_of(server: Server, *names: str) -> None:
    """By every API that one would ask."""
    for name in names:
        hurt = server.describe(name)
        assert hurt["EndpointStatus"] == "Failed"
        assert "cannot be read and was set aside: what it holds is not" in hurt["FailureReason"]
        assert server.history(name)[-1] == "The record of the endpoint was set aside."
    aside = server.client("inservice").describe_server()["SetAside"]
    assert {each["Record"].rpartition("/")[2] for each in aside} == set(names)
    assert all(each["Record"].startswith("endpoints ") for each in aside)
    wait_until(lambda: f"inservice_records_set_aside {len(names)}" in metrics_page(server))
    listed = server.client("sagemaker").list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert {endpoint["EndpointName"] for endpoint in listed} == set(names)


def the_commands_tell_of(server: Server, name: str) -> None:
    """They show what those APIs answer."""
    status = server.status()["set_aside"]
    assert name in {each["record"].rpartition("/")[2] for each in status}
    shown = run_here("status", data_dir=server.data_dir)
    assert "SET ASIDE" in shown.stdout
    assert f"/{name}: " in shown.stdout
    show = run_here("endpoint", "show", name, data_dir=server.data_dir)
    assert "was set aside" in show.stdout, show.stderr
    for words in (["watch", name, "--timeout=5"], ["report", name], ["wait", name]):
        asked = run_here("endpoint", *words, data_dir=server.data_dir)
        assert "Traceback" not in asked.stderr, words
        assert "InternalFailure" not in asked.stderr, words


def deletable(server: Server, name: str, instances: set[int]) -> None:
    """And then there may be another of its name."""
    sagemaker, own = server.client("sagemaker"), server.client("inservice")
    before = len(own.describe_server()["SetAside"])
    config = sagemaker.list_endpoint_configs()["EndpointConfigs"][0]["EndpointConfigName"]
    with pytest.raises(botocore.exceptions.ClientError, match="in status Failed"):
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: not sagemaker.list_endpoints(NameContains=name)["Endpoints"])
    wait_until(lambda: not any(map(psutil.pid_exists, instances)))
    assert len(own.describe_server()["SetAside"]) == before - 1
    wait_until(lambda: f"inservice_records_set_aside {before - 1}" in metrics_page(server))
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert server.settled(name)["EndpointStatus"] == "InService"
    assert server.invoke(name)["said"] == "hello"


def test_changed_files_of_a_model_are_told_in_the_history_of_whoever_began_with_them(
    server: Server, echo: Echo
) -> None:
    before = serving(server, echo, "shares", "files")
    trees = (server.data_dir / "artifacts" / "trees").glob("*/model/name.txt")
    (name,) = (tree for tree in trees if tree.read_text() == "shares")
    name.chmod(0o600)
    name.write_text("tampered with")
    os.kill(min(before["files"]), signal.SIGKILL)
    for endpoint in before:  # which share the files, whosever instance was replaced

        def told(endpoint: str = endpoint) -> list[str]:
            return [one for one in server.history(endpoint) if "not what was unpacked" in one]

        (said,) = wait_until(told)
        assert "set-aside" in said
    wait_until(lambda: len(server.ready_pids("files")) == 2)
    (replaced,) = server.ready_pids("files") - before["files"]
    answers = (server.invoke("files") for _ in range(99))
    assert next(a["model"] for a in answers if a["pid"] == replaced) == "shares"
