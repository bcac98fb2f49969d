"""Deployments that control is killed under, or the whole server is stopped under, go on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server
from tests.acceptance.test_guardrails import STRATEGIES, Echo, Pair, blue_green
from tests.waiting import wait_until


def test_killing_control_in_the_middle_changes_nothing(
    start_server: Callable[..., Server], echo: Echo
) -> None:
    """Of three deployments at once, by all that has steps. Where in a step control is killed, the
    simulation goes through: it dies at every await there."""
    server = start_server()
    pairs = {strategy: Pair(server, echo) for strategy in ("canary", "linear", "rolling")}

    def are_moving() -> bool:
        return any(server.describe(p.name)["EndpointStatus"] == "Updating" for p in pairs.values())

    with contextlib.ExitStack() as stack:
        crowds = {
            name: stack.enter_context(Crowd(server, p.name, clients=1)) for name, p in pairs.items()
        }
        for strategy, pair in pairs.items():
            pair.update(STRATEGIES[strategy])
        kills = 0
        while are_moving() and kills < 3:
            server.kill_control()
            kills += 1
        described = {name: server.settled(pair.name) for name, pair in pairs.items()}
        settled_at = time.time()
        wait_until(lambda: all(crowd.models(since=settled_at) for crowd in crowds.values()))
    assert kills >= 1
    for name, pair in pairs.items():
        assert crowds[name].failures == [], name
        assert described[name]["EndpointConfigName"] == f"{pair.name}-2"
        assert set(crowds[name].models(since=settled_at)) == {f"{pair.name}-new"}


def test_a_server_that_was_stopped_goes_on_with_the_deployment(
    start_server: Callable[..., Server], echo: Echo
) -> None:
    server = start_server()
    pair = Pair(server, echo)
    pair.update(blue_green("CANARY", wait=3, CanarySize=1))
    own = server.client("inservice")
    wait_until(lambda: own.describe_deployment(EndpointName=pair.name)["Row"] == 2)
    server.stop()
    again = Server.start(server.data_dir)
    try:
        described = again.settled(pair.name)
        assert described["EndpointConfigName"] == f"{pair.name}-2", described.get("FailureReason")
        assert again.invoke(pair.name)["model"] == f"{pair.name}-new"
    finally:
        again.stop()
