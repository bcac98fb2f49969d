"""`inservice endpoint …` against canned answers: what it asks, shows and ends with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inservice.cli.endpoint import VERBS
from tests.cli.conftest import Ran, Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import ARN, DESCRIBED, FAILED, REPLIES
from tests.cli.test_deployments import BAKING

pytestmark = pytest.mark.usefixtures("keys")

CREATING = {
    **DESCRIBED,
    "EndpointStatus": "Creating",
    "PendingDeploymentSummary": {
        "EndpointConfigName": "c",
        "ProductionVariants": [
            {
                "VariantName": "blue",
                "CurrentInstanceCount": 1,
                "DesiredInstanceCount": 2,
                "VariantStatus": [{"Status": "Baking"}],
            }
        ],
    },
}
UNKNOWN = Reply({"__type": "UnknownOperationException", "message": "no"}, 400)
CREATE = ["create", "e", "--model", "m", "--no-lint"]
GONE = Reply(
    {"__type": "ValidationException", "message": "Could not find endpoint"},
    400,
    {"x-amzn-RequestId": "r-9"},
)


@pytest.fixture
def endpoint(inservice: Run, server: Recorder) -> Any:
    def run(*words: str, replies: list[Reply], stdin: str = "") -> Ran:
        server.play(replies)
        return inservice("endpoint", *words, "--endpoint-url", server.url, stdin=stdin)

    return run


def asked(server: Recorder) -> list[tuple[str, Any]]:
    return [
        (request["headers"].get("x-amz-target", request["path"]).split(".")[-1], request["body"])
        for request in server.requests
    ]


def test_list(endpoint: Any) -> None:
    ran = endpoint("list", replies=REPLIES["two pages"])
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["NAME", "STATUS", "CREATED", "CHANGED"]
    assert [line[:2] for line in lines[1:]] == [[name, "InService"] for name in "abc"]
    assert endpoint("list", "--output", "name", replies=REPLIES["two pages"]).out == "a\nb\nc\n"
    as_json = endpoint("list", "--output", "json", replies=REPLIES["two pages"])
    assert len(json.loads(as_json.out)["Endpoints"]) == 3
    assert "\x1b" not in ran.out


def test_a_long_name_is_listed_whole(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width; 80 columns were assumed, and names ended in an ellipsis."""
    monkeypatch.setenv("COLUMNS", "40")
    name = "n" * 63
    listed = {**REPLIES["one page"][0].body["Endpoints"][0], "EndpointName": name}
    ran = endpoint("list", replies=[Reply({"Endpoints": [listed]})])
    assert ran.out.splitlines()[1].split()[:2] == [name, "InService"]


def test_options_before_the_command(inservice: Run, server: Recorder) -> None:
    server.play(REPLIES["one page"])
    words = ["--region", "ap-south-1", "--endpoint-url", server.url, "endpoint", "list"]
    assert inservice(*words, "--output", "name").out == "a\nb\n"
    assert server.requests[0]["scope"] == "ap-south-1/sagemaker"


def test_a_value_that_is_a_command_word(inservice: Run) -> None:
    ran = inservice("--profile", "demo", "sagemaker", "list-endpoints")
    assert (ran.code, ran.err) == (255, "\nThe config profile (demo) could not be found\n")


def test_list_of_none(endpoint: Any, server: Recorder) -> None:
    ran = endpoint("list", "--status", "Failed", replies=REPLIES["no endpoints"])
    assert (ran.code, ran.out, ran.err) == (0, "", "No endpoints.\n")
    assert asked(server)[0][1] == {"StatusEquals": "Failed"}


def test_show(endpoint: Any) -> None:
    ran = endpoint("show", "e", replies=[Reply(CREATING), UNKNOWN])
    assert "e  Creating" in ran.out
    assert "now         blue 1/2 instances Baking" in ran.out, "of AWS's own, there is no more"
    failed = endpoint("show", "e", replies=[Reply(FAILED)])
    assert FAILED["FailureReason"] in failed.out
    as_json = endpoint("show", "e", "--output", "json", replies=[Reply(DESCRIBED)])
    assert json.loads(as_json.out)["EndpointName"] == "e"


def test_show_says_how_where_to_and_how_far(endpoint: Any) -> None:
    picture = {**BAKING, "Paused": True}
    shown = endpoint("show", "e", replies=[Reply(CREATING), Reply(picture)]).out
    for line in (
        "deployment  Updating from c1 to c2",
        "strategy    canary  (a1-2)",
        "step        1/3 Baking, 0s of 5m00s left",
        "paused      by hand; inservice endpoint resume goes on",
        "traffic     old v 4/4 75%",
        "traffic     new v 3/4 25%",
        "alarm       errors OK",
    ):
        assert f"  {line}\n" in shown
    assert "created     2023-11-14T22:13:20Z\n" in shown
    replies = [Reply(DESCRIBED), Reply(picture)]
    whole = json.loads(endpoint("show", "e", "--output", "json", replies=replies).out)
    assert (whole["EndpointName"], whole["Deployment"]["Strategy"]) == ("e", "canary")


def test_create_and_wait(endpoint: Any, server: Recorder) -> None:
    replies = [Reply({"EndpointArn": ARN}), Reply(CREATING), Reply(CREATING), Reply(DESCRIBED)]
    ran = endpoint("create", "e", "--config", "c", "--no-lint", "--wait", replies=replies)
    assert ran.code == 0
    assert ran.out.splitlines()[0] == ARN
    # One plain line per change, though it was asked three times.
    assert [line.split("s  ", 1)[1] for line in ran.out.splitlines()[1:]] == [
        "Creating  blue 1/2 instances Baking",
        "InService  blue · green",
    ]
    assert asked(server)[0] == (
        "CreateEndpoint",
        {"EndpointName": "e", "EndpointConfigName": "c"},
    )


def test_create_for_a_model_makes_a_config(endpoint: Any, server: Recorder) -> None:
    replies = [Reply({"EndpointConfigArn": ARN}), Reply({"EndpointArn": ARN})]
    assert endpoint(*CREATE, "--instances", "2", replies=replies).code == 0
    (made, config), (_, created) = asked(server)
    assert made == "CreateEndpointConfig"
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 2
    assert created["EndpointConfigName"] == config["EndpointConfigName"]
    assert config["EndpointConfigName"].startswith("e-")


def test_a_config_made_for_nothing_is_deleted_again(endpoint: Any, server: Recorder) -> None:
    replies = [Reply({"EndpointConfigArn": ARN}), GONE, Reply(None)]
    ran = endpoint("update", "e", "--model", "m", "--no-lint", replies=replies)
    assert (ran.code, ran.err) == (
        1,
        "ValidationException: Could not find endpoint\n  request r-9\n",
    )
    assert [name for name, _ in asked(server)] == [
        "CreateEndpointConfig",
        "UpdateEndpoint",
        "DeleteEndpointConfig",
    ]


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (DESCRIBED, 0, ""),
        ({**DESCRIBED, "EndpointConfigName": "old", "FailureReason": "alarm"}, 3, "alarm\n"),
        ({**CREATING}, 4, "e is still Creating after "),
        (FAILED, 5, str(FAILED["FailureReason"]) + "\n"),
        ({**DESCRIBED, "EndpointStatus": "UpdateRollbackFailed"}, 6, ""),
    ],
)
def test_how_an_update_ends(end: dict[str, Any], code: int, says: str, endpoint: Any) -> None:
    replies = [Reply({"EndpointArn": ARN}), Reply(end)]
    words = ["update", "e", "--config", "c", "--no-lint", "--wait", "--timeout", "0"]
    ran = endpoint(*words, replies=replies)
    assert ran.code == code
    assert re.sub(r"\d+\.\ds\n$", "", ran.err) == says


def test_update_with_a_deployment_config(endpoint: Any, server: Recorder) -> None:
    shorthand = "AutoRollbackConfiguration={Alarms=[{AlarmName=a}]}"
    words = ["update", "e", "--config", "c", "--no-lint", "--deployment-config"]
    assert endpoint(*words, shorthand, replies=[Reply({"EndpointArn": ARN})]).code == 0
    config = asked(server)[0][1]["DeploymentConfig"]
    assert config == {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}
    ran = endpoint(*words, "nope", replies=[Reply(None)])
    assert ran.code == 2
    assert ran.err.startswith("Error parsing parameter '--deployment-config'")


def test_details_of_a_config_that_exists_are_refused(endpoint: Any, server: Recorder) -> None:
    words = ["create", "e", "--config", "c", "--instance-type", "ml.m5.large"]
    ran = endpoint(*words, replies=[Reply(None)])
    assert (ran.code, server.requests) == (2, [])
    assert ran.err == "--instance-type goes with --model, not with --config.\n"


def test_delete_and_wait(endpoint: Any) -> None:
    deleting = Reply({**DESCRIBED, "EndpointStatus": "Deleting", "ProductionVariants": []})
    ran = endpoint("delete", "e", "--wait", replies=[Reply(None), deleting, GONE])
    assert ran.code == 0
    assert [line.split("s  ")[1] for line in ran.out.splitlines()] == ["Deleting", "Deleted"]


def test_invoke(endpoint: Any, server: Recorder, clean: Path) -> None:
    Path("rows.csv").write_text("1,2\n")
    replies = REPLIES["prediction"]
    ran = endpoint("invoke", "e", "--file", "rows.csv", "--verbose", replies=replies)
    assert (ran.code, ran.out) == (0, "0.5,0.25\n")
    assert "InvokedProductionVariant: blue" in ran.err
    words = ["invoke", "e", "--variant", "green"]
    endpoint(*words, "--body", '{"a": 1}', replies=replies)
    endpoint(*words, "--file", "-", stdin="[1]", replies=replies)
    assert server.requests[-1]["body"] == "[1]"
    assert server.requests[-1]["headers"]["x-amzn-sagemaker-target-variant"] == "green"


def test_invoke_of_a_file_that_is_not_there(endpoint: Any) -> None:
    ran = endpoint("invoke", "e", "--file", "nowhere", replies=REPLIES["prediction"])
    assert ran.code == 1
    assert "nowhere" in ran.err


def test_logs(endpoint: Any, server: Recorder) -> None:
    words = ["logs", "e", "--since", "2024-01-02T03:04:05Z", "--variant", "v", "--grep", "x"]
    ran = endpoint(*words, replies=REPLIES["filtered events"])
    assert ran.out.splitlines()[0] == "2023-11-14T22:13:20.123Z v/i-1 ready"
    assert asked(server)[0][1] == {
        "logGroupName": "/aws/sagemaker/Endpoints/e",
        "startTime": 1704164645000,
        "logStreamNamePrefix": "v/",
        "filterPattern": '"x"',
    }
    endpoint("logs", "e", "--grep", '"level": "ERROR"', replies=REPLIES["filtered events"])
    assert asked(server)[0][1]["filterPattern"] == r'"\"level\": \"ERROR\""'
    endpoint("logs", "e", "--since", "99999999d", replies=REPLIES["filtered events"])
    assert asked(server)[0][1]["startTime"] == 0


@pytest.mark.parametrize("age", ["lately", "", "10x", "90", "5min", "5 m"])
def test_logs_since_no_time_is_wrong_usage(age: str, endpoint: Any, server: Recorder) -> None:
    ran = endpoint("logs", "e", f"--since={age}", replies=[Reply(None)])
    assert (ran.code, server.requests) == (2, [])
    assert "write 30s, 10m" in ran.err


def test_following_ends_with_ctrl_c(server: Recorder) -> None:
    server.play(REPLIES["filtered events"])
    words = ["-m", "inservice.cli.main", "logs", "e", "--follow", "--endpoint-url", server.url]
    child = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().endswith("v/i-1 ready\n")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")


def test_a_reader_that_has_seen_enough_is_no_failure_to_tell(server: Recorder) -> None:
    """`inservice logs e | head -1` said "Broken pipe"."""
    server.play(REPLIES["filtered events"])
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = ["-m", "inservice.cli.main", "logs", "e", "--endpoint-url", server.url]
    done = subprocess.run(
        [sys.executable, *words], stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_logs_is_a_service_and_a_word_of_ours(inservice: Run, server: Recorder) -> None:
    where = ["--endpoint-url", server.url]
    ran = inservice("logs", "my-endpoint", "--since", "lately", *where)
    assert "usage: inservice endpoint logs" in ran.err or "lately" in ran.err
    assert "Invalid choice" not in ran.err
    server.play(REPLIES["filtered events"])
    for words in ("--since 1d e", "e -n 1", "-n 1 e", "--grep=x e"):
        assert inservice("logs", *words.split(), *where).code == 0
        assert server.requests[-1]["body"]["logGroupName"] == "/aws/sagemaker/Endpoints/e"
    assert inservice("logs", "get-log-event", *where).code == 252, "an operation, not spelled out"


def test_no_server(inservice: Run) -> None:
    ran = inservice("endpoint", "list", "--endpoint-url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (1, "")
    assert "Could not connect" in ran.err


def test_usage(inservice: Run) -> None:
    assert inservice("endpoint").code == 0, "a noun alone is a question"
    assert inservice("endpoint").out == inservice("endpoint", "--help").out
    assert inservice("endpoint", "nope").code == 2
    assert inservice("endpoint", "create", "e").code == 2
    shown = inservice("endpoint", "--help")
    assert shown.code == 0
    assert all(f"  {verb} " in shown.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, inservice: Run) -> None:
    shown = inservice("endpoint", verb, "--help")
    assert shown.code == 0
    assert "--endpoint-url" in shown.out
