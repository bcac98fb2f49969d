"""Receivers beside a whole server: told of deployments, and in nobody's way."""

from __future__ import annotations

import itertools
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.receivers import Receivers, receivers
from tests.acceptance.server import Server, archive, variant
from tests.acceptance.test_guardrails import Pair, blue_green
from tests.waiting import wait_until

Start = Callable[..., Server]
Echo = Callable[[str], str]

BAD = ("hang", "trickle", "garbage", "close", "endless", "headers", "503", "redirect")


@pytest.fixture(scope="module")
def there() -> Iterator[Receivers]:
    with receivers() as there:
        yield there


@pytest.fixture(scope="module")
def server(there: Receivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """That tells of its deployments, to one who answers as each test here says."""
    started = Server.start(
        tmp_path_factory.mktemp("telling") / "data",
        environment={"INSERVICE_DEPLOYMENT_WEBHOOK": there.url("as-told")},
    )
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def as_ever(there: Receivers) -> Iterator[None]:
    yield
    there.says = "200"
    there.opened.clear()


def hosts(count: int) -> list[str]:
    """Loopback in so many spellings: to whoever counts by name these are different receivers."""
    octets = [(str(n), hex(n), f"0{n:o}") for n in (127, 0, 0, 1)]
    return [".".join(one) for one in itertools.product(*octets)][:count]


def put_alarm(server: Server, name: str, *actions: str) -> None:
    """An alarm that nothing but SetAlarmState moves."""
    server.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="None",
        MetricName="None",
        Statistic="Sum",
        Period=86_400,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        AlarmActions=list(actions),
        OKActions=list(actions),
    )


def set_state(server: Server, name: str, value: str) -> None:
    server.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue=value, StateReason="rehearsal"
    )


def canary(alarm: str) -> dict[str, Any]:
    policy = blue_green("CANARY", wait=300, CanarySize=1)
    return {**policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]}}


def told(there: Receivers, path: str) -> list[dict[str, Any]]:
    return [one.document() for one in list(there.received) if one.path == path]


def outcomes(there: Receivers, pair: Pair) -> list[dict[str, Any]]:
    """What was told of the deployments of an endpoint."""
    return [one for one in told(there, "/as-told") if one["EndpointName"] == pair.name]


def webhooks(server: Server) -> Counter[str]:
    token = (server.data_dir / "metrics.token").read_text()
    request = urllib.request.Request(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as page:
        lines = page.read().decode().splitlines()
    counts = (line.rpartition(" ") for line in lines if line.startswith("inservice_webhooks_total"))
    return Counter({name.partition("{")[2]: int(float(value)) for name, _, value in counts})


def test_outcomes_are_told_with_a_text_for_people(
    server: Server, echo: Echo, there: Receivers, tmp_path: Path
) -> None:
    before = webhooks(server)
    pair = Pair(server, echo, count=1)
    pair.update(blue_green("ALL_AT_ONCE"))
    server.settled(pair.name)
    broken = archive(tmp_path / "broken.tar.gz", {"code/inference.py": "raise RuntimeError('no')"})
    server.create_model("broken", broken)
    server.create_config("broken", variant("broken"))
    server.client("sagemaker").update_endpoint(EndpointName=pair.name, EndpointConfigName="broken")
    server.settled(pair.name)
    wait_until(lambda: len(outcomes(there, pair)) == 3)
    created, updated, rolled_back = outcomes(there, pair)
    name = pair.name
    assert created["text"] == f"✔ {name} is deployed to {name}-1"
    assert "FromEndpointConfigName" not in created
    assert updated["text"] == f"✔ {name} is deployed from {name}-1 to {name}-2"
    assert (updated["Kind"], updated["Outcome"]) == ("Update", "Done")
    assert rolled_back["text"].startswith(f"✖ {name} was rolled back from broken to {name}-2: ")
    assert rolled_back["FromEndpointConfigName"] == f"{name}-2"
    assert rolled_back["ToEndpointConfigName"] == "broken"
    assert rolled_back["Reason"] in rolled_back["text"]
    assert rolled_back["EndpointArn"].endswith(f":endpoint/{name}")
    assert there.received[0].headers["content-type"] == "application/json"
    delivered = {'kind="deployment",outcome="delivered"}': 3}
    wait_until(lambda: webhooks(server) - before == delivered)


def test_an_outcome_that_nobody_took_is_in_the_history(
    server: Server, echo: Echo, there: Receivers
) -> None:
    there.says, before = "404", webhooks(server)
    pair = Pair(server, echo, count=1)

    def whats() -> list[str]:
        events = server.client("inservice").list_deployment_events(EndpointName=pair.name)
        return [event["What"] for event in events["Events"] if "webhook" in event["What"]]

    wait_until(whats)
    [what] = whats()
    why = "the receiver answered 404"
    assert what == f"The deployment webhook could not be told of the outcome: {why}."
    failed = {'kind="deployment",outcome="failed"}': 1}
    wait_until(lambda: webhooks(server) - before == failed)
    assert server.describe(pair.name)["EndpointStatus"] == "InService"


def test_an_outcome_survives_the_control_that_was_telling_it(
    server: Server, echo: Echo, there: Receivers
) -> None:
    there.says = "later"
    pair = Pair(server, echo, count=1)
    wait_until(lambda: outcomes(there, pair))  # which is not answered
    pair.update(blue_green("ALL_AT_ONCE"))
    server.settled(pair.name)
    server.kill_control()
    there.opened.set()
    ends = [f"{pair.name}-1", f"{pair.name}-2"]
    wait_until(lambda: [one["ToEndpointConfigName"] for one in outcomes(there, pair)][-2:] == ends)
    # Counted by this control alone: the one before is gone.
    wait_until(lambda: webhooks(server) == {'kind="deployment",outcome="delivered"}': 2})


def test_a_hundred_bad_receivers_hold_nobody_up(
    server: Server, echo: Echo, there: Receivers
) -> None:
    """Twenty that hung made CreateModel take two minutes; six that trickled kept a deployment from
    turning back at all."""
    pair = Pair(server, echo, count=2)
    put_alarm(server, "trip", there.url("trip/200"))
    for number, host in enumerate(itertools.islice(itertools.cycle(hosts(81)), 100)):
        put_alarm(server, f"bad-{number}", there.url(f"{number}/{BAD[number % len(BAD)]}", host))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: set_state(server, f"bad-{n}", "ALARM"), range(100)))
    bad = [f"/{number}/{BAD[number % len(BAD)]}" for number in range(100)]
    wait_until(lambda: set(bad) <= set(there.paths()))

    # All of them were reached, many hang. What goes on without them goes on with them:
    for number in range(10):
        server.create_model(f"more-{number}", echo("more"))
        assert server.describe(pair.name)["EndpointStatus"] == "InService"
    pair.update(canary("trip"))
    wait_until(lambda: server.invoke(pair.name)["model"].endswith("-new"))
    set_state(server, "trip", "ALARM")
    described = server.settled(pair.name)
    assert described["EndpointConfigName"] == f"{pair.name}-1"
    assert "trip" in described["FailureReason"]
    wait_until(lambda: len(told(there, "/trip/200")) == 1)
    set_state(server, "trip", "OK")
    wait_until(lambda: len(told(there, "/trip/200")) == 2)
    wait_until(lambda: len(outcomes(there, pair)) == 2)
    assert outcomes(there, pair)[-1]["Outcome"] == "RolledBack"


def test_old_outcomes_are_not_told_to_whoever_begins_to_listen(
    start_server: Start, echo: Echo, there: Receivers
) -> None:
    server = start_server()
    pair = Pair(server, echo, count=1)
    server.stop()
    again = Server.start(
        server.data_dir, environment={"INSERVICE_DEPLOYMENT_WEBHOOK": there.url("200")}
    )
    wait_until(lambda: again.describe(pair.name)["EndpointStatus"] == "InService")
    again.client("sagemaker").update_endpoint(
        EndpointName=pair.name, EndpointConfigName=f"{pair.name}-2"
    )
    again.settled(pair.name)
    wait_until(lambda: told(there, "/200"))
    assert [one["ToEndpointConfigName"] for one in told(there, "/200")] == [f"{pair.name}-2"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("WEBHOOK_ALLOW", "10.0.0.0/33"), ("DEPLOYMENT_WEBHOOK", "ftp://x/")],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, setting: str, value: str) -> None:
    with pytest.raises(AssertionError, match=setting.lower()):
        Server.start(tmp_path, environment={f"INSERVICE_{setting}": value})
