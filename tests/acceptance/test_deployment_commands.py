"""The commands that steer a deployment, against a real server; and its report under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from tests.acceptance.clients import Crowd
from tests.acceptance.server import (
    HELD,
    Server,
    archive,
    leave_to_answer,
    run_cli,
    run_here,
)
from tests.acceptance.test_guardrails import Echo, Pair
from tests.docs_blocks import as_script
from tests.waiting import PATIENCE_SECONDS, wait_until


class Steered(Pair):
    """The same endpoint, by command."""

    def endpoint(self, verb: str, *words: str) -> CompletedProcess[str]:
        return run_here("endpoint", verb, self.name, *words, data_dir=self.server.data_dir)

    def begin(self, *words: str) -> None:
        begun = self.endpoint("update", f"--config={self.name}-2", *words)
        assert begun.returncode == 0, begun.stderr

    def baking(self) -> None:
        """Wait until the canary has its traffic."""
        own = self.server.client("inservice")
        wait_until(lambda: own.describe_deployment(EndpointName=self.name)["Row"] == 2)

    def report(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.endpoint("report", "--output=json").stdout)
        return answer


CANARY = ("--strategy=canary", "--size=1", "--bake=1h", "--termination-wait=1h")


def test_a_deployment_steered_by_command(server: Server, echo: Echo) -> None:
    pair = Steered(server, echo)
    planned = pair.endpoint("plan", f"--config={pair.name}-2", *CANARY)
    assert planned.returncode == 0, planned.stderr
    assert "at most 6 instances at once · holds 2h in all" in planned.stdout
    refused = pair.endpoint("pause")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has nothing to control" in refused.stderr

    pair.begin(*CANARY)
    pair.baking()
    assert pair.endpoint("wait", "--timeout=0s").returncode == 4
    assert pair.endpoint("pause").returncode == 0
    assert "paused" in pair.endpoint("wait", "--timeout=0s").stdout
    assert pair.endpoint("resume").returncode == 0
    assert pair.endpoint("abort", "--wait").returncode == 0
    waited = pair.endpoint("wait")
    assert (waited.returncode, waited.stderr) == (3, "Rolled back: it was aborted by hand\n")
    assert waited.stdout.endswith(f"✖ Rolled back from {pair.name}-2 to {pair.name}-1\n")

    pair.begin("--strategy=canary", "--size=1", "--bake=1h")
    pair.baking()
    assert pair.endpoint("promote", "--wait").returncode == 0
    watched = pair.endpoint("watch")
    assert watched.returncode == 0
    assert watched.stdout.endswith(f"✔ Updated from {pair.name}-1 to {pair.name}-2\n")
    undone = pair.endpoint("undo", "--wait")
    assert undone.returncode == 0, undone.stderr
    assert undone.stdout.endswith(f"✔ Updated from {pair.name}-2 to {pair.name}-1\n")

    history = pair.endpoint("history").stdout
    said = [line.split("  ")[-1].strip() for line in history.splitlines()]
    told = ["Paused by hand.", "Resumed by hand.", "Aborted by hand."]
    assert [line for line in said if line in told] == told
    assert "Rolled back: it was aborted by hand." in said
    events = json.loads(pair.endpoint("history", "--output=json").stdout)
    assert {event["source"] for event in events} == {"aws.sagemaker"}
    assert pair.endpoint("report", "--deployment=nope").returncode == 1


def test_a_report_counts_what_its_clients_count(
    start_server: Callable[..., Server], echo: Echo
) -> None:
    """Through a canary under load, on both steps, with control killed on the way."""
    server = start_server()
    pair = Steered(server, echo)
    own = server.client("inservice")
    pair.begin(*CANARY)
    pair.baking()
    with Crowd(server, pair.name) as crowd:
        wait_until(lambda: len(crowd.models()) == 2 and len(crowd.answers) > 100)
        server.kill_control()
        killed_at = len(crowd.answers)
        wait_until(lambda: len(crowd.answers) > killed_at + 100)
        assert pair.endpoint("promote").returncode == 0
        wait_until(lambda: own.describe_deployment(EndpointName=pair.name)["Row"] == 4)
        promoted_at = len(crowd.answers)
        wait_until(lambda: len(crowd.answers) > promoted_at + 100)
    assert crowd.failures == []
    assert pair.endpoint("promote", "--wait").returncode == 0

    total = len(crowd.answers)
    asked = own.describe_deployment_report
    wait_until(
        lambda: (
            (told := asked(EndpointName=pair.name))["Invocations"] >= total and not told["UnderWay"]
        )
    )
    report = pair.report()
    assert (report["Outcome"], report["Dropped"], report["UnderWay"]) == ("Done", 0, 0)
    assert (report["Invocations"], report["Served"]) == (total, total)
    by_role = {"old": 0, "new": 0}
    for line in report["Lines"]:
        by_role[line["Role"]] += line["Served"]
    models = crowd.models()
    assert by_role == {role: models[f"{pair.name}-{role}"] for role in by_role}
    rows = {line["Row"] for line in report["Lines"]}
    assert {2, 4} <= rows <= {2, 3, 4}
    # What comes afterwards is CloudWatch's, and no longer the deployment's.
    for _ in range(5):
        server.invoke(pair.name)
    wait_until(lambda: published(server, pair.name) == total + 5)
    assert pair.report()["Invocations"] == total
    assert "\n0 dropped\n" in pair.endpoint("report").stdout


def test_what_a_killed_gateway_had_in_hand_is_reported_dropped(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Exactly the requests whose clients got no answer, and no other."""
    server = start_server()
    files = {"code/inference.py": HELD}
    pair = Steered(server, lambda name: archive(tmp_path / f"{name}.tar.gz", files), count=2)
    own = server.client("inservice")
    pair.begin(*CANARY)
    pair.baking()

    runtimes = [server.new_client("sagemaker-runtime") for _ in range(8)]

    def invoke(runtime: Any) -> bool:
        try:
            return bool(
                runtime.invoke_endpoint(
                    EndpointName=pair.name, Body=str(leave).encode(), ContentType="text/plain"
                )
            )
        except BotoCoreError:
            return False

    def reported() -> dict[str, Any]:
        answer: dict[str, Any] = own.describe_deployment_report(EndpointName=pair.name)
        return answer

    pid = server.processes()["gateway-0"]
    with leave_to_answer() as leave, ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(invoke, runtime) for runtime in runtimes]
        wait_until(lambda: reported()["UnderWay"] == 8)
        assert reported()["Dropped"] == 0
        os.kill(pid, signal.SIGKILL)
        leave.touch()
        lost = sum(not answer.result() for answer in answers)
    wait_until(lambda: reported()["UnderWay"] == 0)
    report = reported()
    assert (report["Dropped"], report["Served"], report["Invocations"]) == (lost, 8 - lost, 8)


def published(server: Server, endpoint: str) -> float:
    """All invocations of the endpoint, as CloudWatch has them."""
    names = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    answer = server.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
        StartTime=time.time() - 300,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


@pytest.mark.long
def test_the_howto_runs_as_written(tmp_path: Path) -> None:
    """Its commands are those of the tests above."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "deploy-safely.md"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    try:
        ran = subprocess.run(
            ["bash", "-c", as_script(page)],
            cwd=tmp_path,
            env={
                **clean,
                "AWS_EC2_METADATA_DISABLED": "true",
                "INSERVICE_DATA_DIR": str(tmp_path / "data"),
                "INSERVICE_PORT": "0",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    finally:
        run_cli("down", data_dir=tmp_path / "data")  # nothing is left if the page stops half-way
    assert ran.returncode == 0, ran.stderr
    shown = page.read_text().split("```text\n")[1].split("```")[0]
    assert shown in ran.stdout, "the plan is the one on the page"
    assert "\n0 dropped\n" in ran.stdout
