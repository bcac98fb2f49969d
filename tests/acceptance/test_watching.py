"""`inservice endpoint watch` and `report` beside a real deployment that goes wrong, under load."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients import Crowd
from tests.acceptance.server import ECHO, Server, archive
from tests.acceptance.test_deployment_commands import CANARY, Steered
from tests.acceptance.test_guardrails import Echo
from tests.cli.terminal import Terminal, terminal
from tests.waiting import wait_until

BROKEN = ECHO.replace("def transform_fn(", "def unused(").replace(
    "def model_fn(",
    "def transform_fn(model, data, content_type, accept):\n"
    "    raise RuntimeError('always')\n"
    "def model_fn(",
)


def watching(server: Server, pair: Steered, columns: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    words = ["endpoint", "watch", pair.name, f"--data-dir={server.data_dir}"]
    return terminal(*words, columns=columns, lines=40)


def row_of(seen: Terminal, role: str) -> list[str]:
    """The cells of a fleet's row after its name; empty while there is none."""
    rows = [row.split() for row in seen.rows() if row.startswith(f"{role} AllTraffic")]
    return rows[0][2:] if rows else []


def test_a_canary_that_answers_nothing_but_errors(
    start_server: Callable[..., Server],
    echo: Echo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a glance: which fleet, all red; then the rollback in the title, with what shows it."""
    server = start_server()
    files = {"name.txt": "broken", "code/inference.py": BROKEN}
    pair = Steered(server, echo, new_url=archive(tmp_path / "broken.tar.gz", files))
    own, cloudwatch = server.client("inservice"), server.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=f"{pair.name}-errors",
        Namespace="AWS/SageMaker",
        MetricName="InvocationModelErrors",
        Dimensions=[
            {"Name": "EndpointName", "Value": pair.name},
            {"Name": "VariantName", "Value": "AllTraffic"},
            {"Name": "EndpointConfigName", "Value": f"{pair.name}-2"},
        ],
        Statistic="Average",
        Period=10,
        EvaluationPeriods=1,
        Threshold=0.05,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    pair.begin(*CANARY, f"--alarm={pair.name}-errors")
    with (
        Crowd(server, pair.name) as crowd,
        watching(server, pair, 110, monkeypatch) as seen,
    ):
        seen.wait_until(lambda: "100%" in row_of(seen, "new"))
        assert seen.colour_of("100%") == "red"
        assert "0%" in row_of(seen, "old")
        instances = [row for row in seen.rows() if re.match(r"[├└]─ +\d  Ready", row)]
        assert len(instances) == 6, "three of each fleet"
        assert seen.ended(120) == 3
        shown = seen.text()
    assert f"✖ Rolled back from {pair.name}-2 to {pair.name}-1" in shown
    assert seen.colour_of("✖ Rolled back") == "red"
    assert "gone" in row_of(seen, "new")
    flat = " ".join(shown.split())
    assert "Threshold Crossed: 1 " in flat
    assert "answered" in flat
    assert re.search(r"with an error \((100\.0|99\.\d)%\)", flat), (
        "one may be answered by the old fleet"
    )
    assert crowd.failures

    def reported() -> dict[str, Any]:
        answer: dict[str, Any] = own.describe_deployment_report(EndpointName=pair.name)
        return answer

    wait_until(lambda: any(line["Direction"] == "Back" for line in reported()["Lines"]))
    doing = {(line["Direction"], line["Row"]): line.get("Doing") for line in reported()["Lines"]}
    assert doing["Forward", 2] == "Baking"
    forward = json.loads(
        pair.endpoint("plan", f"--config={pair.name}-2", *CANARY, "--output=json").stdout
    )["Steps"]
    for (direction, row), name in doing.items():
        if direction == "Forward":
            assert name == forward[row]["Doing"], "a row of the way forth has its own name"


def test_the_rates_are_true(server: Server, echo: Echo) -> None:
    """Both fleets together have what the clients send, and one at 0 % has nothing, at once."""
    pair = Steered(server, echo)
    own = server.client("inservice")

    def rates() -> dict[str, float]:
        picture = own.describe_deployment(EndpointName=pair.name)
        return {f["Role"]: f["RequestsPerSecond"] for f in picture["Fleets"]}

    with Crowd(server, pair.name) as crowd:
        pair.begin(*CANARY)
        pair.baking()

        def agrees() -> bool:
            now = time.time()
            sent = sum(now - 5 <= answer.at < now for answer in list(crowd.answers)) / 5
            return abs(sum(rates().values()) - sent) < 0.25 * sent

        wait_until(agrees)
        seen = rates()
        assert seen["new"] < seen["old"]
        assert pair.endpoint("promote").returncode == 0
        wait_until(lambda: own.describe_deployment(EndpointName=pair.name)["Row"] == 4)
        assert rates()["old"] == 0.0, "it had two thirds of the traffic a moment ago"
        wait_until(lambda: rates()["new"] > 0)
    assert crowd.failures == []
    assert pair.endpoint("abort", "--wait").returncode == 0


def test_an_instance_that_dies_is_seen_with_how_it_ended(
    server: Server, echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Steered(server, echo)
    own = server.client("inservice")

    def first() -> dict[str, Any]:
        (fleet,) = own.describe_deployment(EndpointName=pair.name)["Fleets"]
        instance: dict[str, Any] = fleet["Instances"][0]
        return instance

    os.kill(first()["Pid"], signal.SIGKILL)
    wait_until(lambda: first()["Restarts"] == 1 and first()["State"] == "Ready")
    assert first()["Ending"] == "SIGKILL"

    code = (
        "import os\ndef model_fn(d):\n    print('no weights here', flush=True)\n    os._exit(7)\n"
    )
    files = {"code/inference.py": code}
    pair = Steered(server, echo, new_url=archive(tmp_path / "dying.tar.gz", files))
    pair.begin("--no-lint", *CANARY)
    with watching(server, pair, 140, monkeypatch) as seen:
        assert seen.ended(60) == 3
        assert "✖ Rolled back" in seen.text()
        assert "no weights here" in " ".join(seen.text().split())


def test_a_server_that_starts_well_says_where_it_is_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal; in a file the same start is logged line by line."""
    monkeypatch.delenv("INSERVICE_DATA_DIR", raising=False)
    words = ["up", "--port=0", f"--data-dir={tmp_path / 'data'}"]
    with terminal(*words, columns=200) as seen:
        seen.wait_for(r"Ctrl-C stops it\.")
        rows = [row for row in seen.rows() if row]
        assert rows[0].startswith("InService answers at ")
        seen.child.send_signal(signal.SIGINT)
        assert seen.ended() == 0
    assert not [row for row in seen.rows() if "{" in row or "[info" in row]
