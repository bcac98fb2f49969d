"""The Prometheus page of a real server, read with Prometheus' own parser; and its dashboard."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from prometheus_client.parser import text_string_to_metric_families

from inservice.telemetry.base import Scrape
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.prometheus import Totals, rendering
from tests.acceptance.server import ECHO, HELD, Server, archive, leave_to_answer, variant
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


Page = dict[str, list[tuple[dict[str, str], float]]]
"""Name of a metric → (labels, value) of each of its series."""


def scrape(server: Server, token: str | None = None) -> Page:
    secret = (server.data_dir / "metrics.token").read_text() if token is None else token
    request = urllib.request.Request(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {secret}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    found: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_a_scrape_needs_the_token(server: Server) -> None:
    for wrong in ("", "guess"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            scrape(server, wrong)
        caught.value.close()
        assert caught.value.code == 401
    assert (server.data_dir / "metrics.token").stat().st_mode & 0o777 == 0o600


@pytest.fixture(scope="module")
def watched(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """With two endpoints, `scraped` and `restarted`, of which one has lost an instance. Metrics are
    kept up every ten seconds: the tests wait for that at one time."""
    place = tmp_path_factory.mktemp("watched")
    for name, count in (("scraped", 2), ("restarted", 1)):
        url = archive(place / f"{name}.tar.gz", {"name.txt": name, "code/inference.py": ECHO})
        server.create_model(name, url)
        server.create_config(name, variant(name, count=count))
        server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
        assert server.settled(name)["EndpointStatus"] == "InService"
    assert not of_endpoint(server, "restarted", "inservice_container_restarts_total")
    [pid] = server.ready_pids("restarted")
    os.kill(pid, signal.SIGKILL)
    return server


def of_endpoint(server: Server, name: str, metric: str) -> list[tuple[dict[str, str], float]]:
    return [one for one in scrape(server).get(metric, []) if one[0].get("endpoint") == name]


def test_an_endpoint_is_on_the_page(watched: Server) -> None:
    server, name = watched, "scraped"
    server.client("cloudwatch").put_metric_alarm(
        AlarmName="watch",
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1e9,
        ComparisonOperator="GreaterThanThreshold",
    )
    for _ in range(7):
        server.invoke(name)

    def of_ours(page: Page, metric: str) -> dict[str, float]:
        label = {
            "inservice_requests_total": "code_class",
            "inservice_instances": "state",
            "inservice_variant_weight": "kind",
            "inservice_deployments_total": "outcome",
        }
        return {
            labels.get(label.get(metric, ""), ""): value
            for labels, value in page.get(metric, [])
            if labels.get("endpoint") == name
        }

    def counted() -> Page | None:
        page = scrape(server)
        alarms = {labels["alarm"] for labels, _ in page.get("inservice_alarm_state", [])}
        is_counted = of_ours(page, "inservice_requests_total").get("2xx") == 7
        return page if is_counted and "watch" in alarms else None

    page = wait_until(counted)
    assert of_ours(page, "inservice_instances") == {"Ready": 2}
    assert of_ours(page, "inservice_variant_weight") == {
        "current": 1.0,
        "desired": 1.0,
    }
    assert of_ours(page, "inservice_endpoint_info") == {"": 1.0}
    parts = ("model_latency", "overhead_latency", "request_duration")
    for part in parts:
        assert of_ours(page, f"inservice_{part}_seconds_count") == {"": 7.0}
    model, overhead, whole = (of_ours(page, f"inservice_{p}_seconds_sum")[""] for p in parts)
    assert whole == pytest.approx(model + overhead)
    assert of_ours(page, "inservice_dropped_requests_total") == {"": 0.0}
    assert set(of_ours(page, "inservice_inflight_requests")) == {""}
    assert of_ours(page, "inservice_deployments_total") == {"Done": 1.0}
    assert of_ours(page, "inservice_deployment_duration_seconds_count") == {"": 1.0}
    utilization = wait_until(
        lambda: server.client("cloudwatch").list_metrics(
            Namespace="/aws/sagemaker/Endpoints",
            MetricName="MemoryUtilization",
            Dimensions=[{"Name": "EndpointName", "Value": name}],
        )["Metrics"]
    )
    assert {len(metric["Dimensions"]) for metric in utilization} == {2, 3}


def test_a_restart_and_a_cold_start_are_counted(watched: Server) -> None:
    ours = partial(of_endpoint, watched, "restarted")
    [(labels, count)] = wait_until(lambda: ours("inservice_container_restarts_total"))
    assert (labels["variant"], labels["reason"], count) == ("AllTraffic", "signal", 1.0)
    [(_, started)] = wait_until(lambda: ours("inservice_cold_start_seconds_count"))
    assert started >= 1.0


def test_what_died_with_a_gateway_worker_is_dropped(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Exactly the requests whose clients got no answer, and no other."""
    server, name = start_server(), "killed"
    server.create_model(name, archive(tmp_path / "held.tar.gz", {"code/inference.py": HELD}))
    server.create_config(name, variant(name, count=2))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert server.settled(name)["EndpointStatus"] == "InService"

    def total(metric: str) -> float:
        return sum(value for _, value in scrape(server).get(metric, []))

    def invoke(runtime: Any) -> bool:
        try:
            body = str(leave).encode()
            return bool(
                runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain")
            )
        except BotoCoreError:
            return False

    runtimes = [server.new_client("sagemaker-runtime") for _ in range(6)]
    pid = server.processes()["gateway-0"]
    with leave_to_answer() as leave, ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(invoke, runtime) for runtime in runtimes]
        wait_until(lambda: total("inservice_inflight_requests") == 6)
        os.kill(pid, signal.SIGKILL)
        leave.touch()
        lost = sum(not answer.result() for answer in answers)
    wait_until(lambda: total("inservice_dropped_requests_total") == lost)
    wait_until(lambda: total("inservice_request_duration_seconds_count") == 6 - lost)
    wait_until(lambda: total("inservice_inflight_requests") == 0)
    assert total("inservice_dropped_requests_total") == lost


def test_the_dashboards_ask_for_metrics_that_exist() -> None:
    """Every metric that a panel names is one of the page's."""
    page = rendering(Totals(), Happenings())(Scrape(endpoints=(), fleets=(), alarms=())).decode()
    names = {family.name for family in text_string_to_metric_families(page)}
    for path in (ROOT / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        asked = [
            target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
        ]
        asked += [one["query"] for one in dashboard["templating"]["list"] if "query" in one]
        used = {
            re.sub(r"_(total|bucket|count|sum)$", "", name)
            for expression in asked
            for name in re.findall(r"inservice_[a-z_]+", str(expression))
        }
        assert used, path
        assert used <= names, path
