"""`inservice model|config <verb>`, what artifacts are told on the way, and words that are wrong."""

from __future__ import annotations

import json
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inservice.cli.endpoint import VERBS as ENDPOINT_VERBS
from inservice.cli.endpoint import invoke
from inservice.cli.main import COMMANDS, SERVICES
from inservice.cli.model.linting import reads_the_same_files
from inservice.gateway.runtime.invoke import INVOKE_SECONDS
from tests.cli.conftest import Ran, Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.reference import NOUNS, verbs_of
from tests.cli.replies import ARN, REPLIES
from tests.cli.terminal import terminal
from tests.cli.test_drawing import CANARY
from tests.cli.test_endpoint import GONE, asked
from tests.cli.test_target import leave_files

pytestmark = pytest.mark.usefixtures("keys")

GOOD = "def model_fn(directory):\n    return 1\n"
BAD = "def model_fn(:\n"
MADE = Reply({"ModelArn": ARN})


@pytest.fixture
def ours(inservice: Run, server: Recorder) -> Any:
    def run(*words: str, replies: list[Reply]) -> Ran:
        server.play(replies)
        return inservice(*words, "--endpoint-url", server.url)

    return run


def artifact(directory: Path, source: str) -> Path:
    (directory / "code").mkdir(parents=True, exist_ok=True)
    (directory / "code" / "inference.py").write_text(source)
    packed = directory / "model.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(directory / "code", "code")
    return packed


def model_of(path: Path) -> Reply:
    container = {"Image": "sklearn", "ModelDataUrl": path.as_uri()}
    return Reply({"ModelName": "m", "PrimaryContainer": container, "ModelArn": ARN})


# ── model, config ──────────────────────────────────────────────────────────────────────────────


def test_the_program_that_the_environment_names_is_linted(
    ours: Any, inservice: Run, clean: Path
) -> None:
    packed = artifact(clean, GOOD)
    named = ["--env", "SAGEMAKER_PROGRAM=serve.py"]
    linted = inservice("model", "lint", str(packed), *named)
    assert linted.code == 1
    assert "SAGEMAKER_PROGRAM is 'serve.py', and there is no code/serve.py" in linted.out
    made = ours("model", "create", "m", "--artifact", str(packed), *named, replies=[MADE])
    assert made.code == 1
    assert "would fail; nothing was begun" in made.err
    (clean / "code" / "serve.py").write_text(GOOD)
    packed = artifact(clean, "def broken(:")
    assert inservice("model", "lint", str(packed), *named).code == 0
    assert inservice("model", "lint", str(packed)).code == 1


def test_a_model_from_an_archive(ours: Any, server: Recorder, clean: Path) -> None:
    packed = artifact(clean, GOOD)
    words = ["model", "create", "m", "--artifact", "model.tar.gz", "--env", "A=b=c", "--env", "D="]
    ran = ours(*words, replies=[MADE])
    assert (ran.code, ran.out) == (0, f"{ARN}\n")
    assert ran.err == f"{packed} would work: model_fn of code/inference.py (model_fn)\n"
    container = {
        "Image": "sklearn",
        "ModelDataUrl": packed.as_uri(),
        "Environment": {"A": "b=c", "D": ""},
    }
    wanted = {"ModelName": "m", "PrimaryContainer": container}
    assert asked(server) == [("CreateModel", wanted)]


def test_a_model_from_a_directory_is_a_prefix(ours: Any, server: Recorder, clean: Path) -> None:
    artifact(clean / "with a blank", GOOD)
    ran = ours("model", "create", "m", "--artifact", "with a blank", replies=[MADE])
    assert ran.code == 0
    source = asked(server)[0][1]["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {
        "S3Uri": f"{clean.as_uri()}/with%20a%20blank/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }


@pytest.mark.parametrize("uri", ["s3://bucket/model.tar.gz", "file:///nowhere/model.tar.gz"])
def test_what_is_not_on_this_machine_is_the_servers_to_judge(
    uri: str, ours: Any, server: Recorder
) -> None:
    ran = ours("model", "create", "m", "--artifact", uri, replies=[MADE])
    assert (ran.code, ran.err) == (0, "")
    assert asked(server)[0][1]["PrimaryContainer"]["ModelDataUrl"] == uri


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://127.0.0.1:7420", True),
        ("http://localhost:7420", True),
        ("http://[::1]:7420", True),
        ("http://10.0.0.7:7420", False),
        ("https://models.example.com", False),
        ("https://127.example.com", False),
    ],
)
def test_a_file_uri_is_only_looked_into_where_the_server_reads_the_same_files(
    url: str, same: bool
) -> None:
    client = SimpleNamespace(meta=SimpleNamespace(endpoint_url=url))
    assert reads_the_same_files(client) is same


def test_a_path_that_is_not_there(ours: Any, server: Recorder) -> None:
    ran = ours("model", "create", "m", "--artifact", "nowhere.tar.gz", replies=[MADE])
    assert (ran.code, server.requests) == (1, [])
    assert "nowhere.tar.gz" in ran.err


def test_an_artifact_that_would_fail_makes_no_model(
    ours: Any, server: Recorder, clean: Path
) -> None:
    artifact(clean, BAD)
    words = ["model", "create", "m", "--artifact", "model.tar.gz"]
    ran = ours(*words, replies=[MADE])
    assert (ran.code, ran.out, server.requests) == (1, "", [])
    assert "error: code/inference.py" in ran.err
    assert "--no-lint goes on anyway" in ran.err
    assert ours(*words, "--no-lint", replies=[MADE]).code == 0
    assert [name for name, _ in asked(server)] == ["CreateModel"]


CONFIG = Reply({"EndpointConfigName": "c", "ProductionVariants": [{"ModelName": "m"}]})


@pytest.mark.parametrize("verb", ["create", "update"])
@pytest.mark.parametrize("source", [["--config", "c"], ["--model", "m"]])
def test_an_endpoint_is_not_begun_with_an_artifact_that_would_fail(
    verb: str, source: list[str], ours: Any, server: Recorder, clean: Path
) -> None:
    packed = artifact(clean, BAD)
    described = [CONFIG, model_of(packed)] if source[0] == "--config" else [model_of(packed)]
    ran = ours("endpoint", verb, "e", *source, replies=described)
    assert (ran.code, ran.out) == (1, "")
    assert "error: code/inference.py" in ran.err
    assert {name for name, _ in asked(server)} <= {"DescribeEndpointConfig", "DescribeModel"}
    replies = [Reply({"EndpointConfigArn": ARN, "EndpointArn": ARN})]
    assert ours("endpoint", verb, "e", *source, "--no-lint", replies=replies).code == 0


def test_a_model_that_cannot_be_described_is_the_servers_to_refuse(
    ours: Any, server: Recorder
) -> None:
    ran = ours("endpoint", "create", "e", "--config", "c", replies=[GONE])
    assert ran.code == 1
    assert ran.err.startswith("ValidationException: Could not find endpoint")
    assert asked(server)[-1][0] == "CreateEndpoint"


def test_a_config_for_a_model(ours: Any, server: Recorder) -> None:
    words = ["config", "create", "c", "--model", "m", "--instances", "2", "--variant", "blue"]
    ran = ours(*words, replies=[Reply({"EndpointConfigArn": ARN})])
    assert (ran.code, ran.out) == (0, f"{ARN}\n")
    assert asked(server)[0] == (
        "CreateEndpointConfig",
        {
            "EndpointConfigName": "c",
            "ProductionVariants": [
                {
                    "VariantName": "blue",
                    "ModelName": "m",
                    "InitialInstanceCount": 2,
                    "InstanceType": "ml.m5.large",
                    "InitialVariantWeight": 1.0,
                }
            ],
        },
    )


@pytest.mark.parametrize(
    ("noun", "key", "name"),
    [("model", "Models", "ModelName"), ("config", "EndpointConfigs", "EndpointConfigName")],
)
def test_lists(noun: str, key: str, name: str, ours: Any) -> None:
    reply = Reply({key: [{name: "a", "CreationTime": 1_700_000_000.0}]})
    lines = ours(noun, "list", replies=[reply]).out.splitlines()
    assert [line.split() for line in lines] == [
        ["NAME", "CREATED"],
        ["a", "2023-11-14T22:13:20Z"],
    ]
    assert ours(noun, "list", "--output", "name", replies=[reply]).out == "a\n"
    assert json.loads(ours(noun, "list", "--output", "json", replies=[reply]).out)[key]
    none = ours(noun, "list", replies=[Reply({key: []})])
    assert (none.code, none.out) == (0, "")
    assert none.err.startswith("No ")


def test_show(ours: Any, clean: Path) -> None:
    created = {"CreationTime": 1_700_000_000.0, "ModelArn": ARN}
    path = clean / "model.tar.gz"
    reply = Reply({**model_of(path).body, **created})
    shown = ours("model", "show", "m", replies=[reply]).out
    assert f"  artifact  {path.as_uri()}\n" in shown
    assert "  created   2023-11-14T22:13:20Z\n" in shown
    assert json.loads(ours("model", "show", "m", "--output", "json", replies=[reply]).out)
    variants = [{"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2}]
    config = Reply(
        {
            "EndpointConfigName": "c",
            "EndpointConfigArn": ARN,
            "CreationTime": 1_700_000_000.0,
            "ProductionVariants": variants,
        }
    )
    assert "  v        m      2" in ours("config", "show", "c", replies=[config]).out


@pytest.mark.parametrize(
    ("noun", "operation"), [("model", "DeleteModel"), ("config", "DeleteEndpointConfig")]
)
def test_delete(noun: str, operation: str, ours: Any, server: Recorder) -> None:
    assert ours(noun, "delete", "x", replies=[Reply(None)]).code == 0
    assert asked(server)[0][0] == operation
    assert ours(noun, "delete", "x", replies=[GONE]).code == 1


# ── wrong words ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("line", ["upgrade", "update", "upgrade --yes"])
def test_upgrading_is_said_to_be_two_commands(line: str, inservice: Run) -> None:
    ran = inservice(*line.split())
    assert (ran.code, ran.out) == (252, "")
    assert "pip install --upgrade inservice" in ran.err
    assert "inservice restart" in ran.err


@pytest.mark.parametrize(
    ("line", "code", "meant"),
    [
        ("endpint list", 252, '"endpoint"'),
        ("stauts", 252, '"status"'),
        ("sagemakr list-models", 252, '"sagemaker"'),
        ("--region r endpiont list", 252, '"endpoint"'),
        ("endpoint waths e", 2, '"watch"'),
        ("endpoint craete e", 2, '"create"'),
        ("model lnit x", 2, '"lint"'),
        ("config lst", 2, '"list"'),
        ("endpoint watch e --timeot 3", 2, "--timeout"),
        ("endpoint update e --config c --stratgy=canary", 2, "--strategy"),
        ("status --outptu json", 2, "--output"),
        ("version --data-dr x", 2, "--data-dir"),
        ("up --detatch", 2, "--detach"),
        ("down --data-dr x", 2, "--data-dir"),
        ("demo --data-dr x", 2, "--data-dir"),
        ("endpoint list --output jsn", 2, '"json"'),
        ("endpoint update e --config c --strategy canry", 2, '"canary"'),
    ],
)
def test_the_nearest_word_is_named(line: str, code: int, meant: str, inservice: Run) -> None:
    ran = inservice(*line.split())
    assert (ran.code, ran.out) == (code, "")
    assert meant in ran.err
    assert "did you mean" in ran.err.lower()
    assert len(ran.err.splitlines()) <= 4, "a slip is not answered with a page"


def test_a_word_that_is_near_nothing(inservice: Run) -> None:
    ran = inservice("xyzzy")
    assert (ran.code, ran.out) == (252, "")
    assert ran.err == '\ninservice: there is no command "xyzzy"\nSee:  inservice --help\n'
    assert "mean" not in inservice("endpoint", "xyzzy").err


def test_the_name_alone_is_a_question(inservice: Run) -> None:
    ran = inservice()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == inservice("--help").out
    assert all(f"\n  {name} " in ran.out for name in [*COMMANDS, *SERVICES])


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_alone_is_a_question(noun: str, inservice: Run) -> None:
    ran = inservice(noun)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == inservice(noun, "help").out
    assert all(f"\n  {verb} " in ran.out for verb in verbs_of(noun))


@pytest.mark.parametrize("verb", ENDPOINT_VERBS)
def test_wait_means_one_thing(verb: str, inservice: Run) -> None:
    """A flag, with the same words: `plan --wait 5m` meant a bake once."""
    told = " ".join(inservice("endpoint", verb, "--help").out.split())
    if "--wait" in told and verb != "plan":
        assert "--wait stay until it is over; the exit code says how" in told
    assert "--wait TIME" not in told


def test_a_plan_takes_what_an_update_takes(inservice: Run) -> None:
    def options(verb: str) -> set[str]:
        words = inservice("endpoint", verb, "--help").out.split()
        return {word.strip("[],") for word in words if word.strip("[],").startswith("--")}

    assert options("update") <= options("plan")


def test_a_plan_for_a_model_makes_no_config(ours: Any, server: Recorder) -> None:
    plan = {"Strategy": "canary", "Steps": CANARY, "PeakInstances": 2, "HoldSeconds": 0}
    words = ["--model", "m2", "--instances", "3", "--strategy", "canary", "--size", "1", "--wait"]
    ran = ours("endpoint", "plan", "e", *words, replies=[Reply({**plan, "TimeoutSeconds": 600})])
    assert ran.code == 0
    assert ran.out.startswith("e → model m2, canary\n")
    ((name, request),) = asked(server)
    assert (name, "EndpointConfigName" in request) == ("PlanDeployment", False)
    assert request["ProductionVariants"][0]["ModelName"] == "m2"
    assert request["ProductionVariants"][0]["InitialInstanceCount"] == 3


# ── next steps ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "reply", "step"),
    [
        ("endpoint create e --config c --no-lint", {"EndpointArn": ARN}, "endpoint watch e"),
        ("endpoint update e --config c --no-lint", {"EndpointArn": ARN}, "endpoint watch e"),
        ("endpoint pause e", {"DeploymentId": "a-1"}, "endpoint resume e"),
        ("model create m", {"ModelArn": ARN}, "endpoint create m --model m"),
        ("config create c --model m", {"EndpointConfigArn": ARN}, "endpoint create c --config c"),
        ("endpoint list", {"Endpoints": []}, "endpoint create NAME --model MODEL"),
    ],
)
def test_the_next_step_is_for_a_person_at_a_terminal(
    words: str, reply: dict[str, Any], step: str, server: Recorder, ours: Any
) -> None:
    shown = f"→ inservice {step} --endpoint-url {server.url}"
    with terminal(*words.split(), "--endpoint-url", server.url, columns=120) as seen:
        server.play([Reply(reply)])
        assert seen.ended() == 0
        assert shown in seen.rows()
    ran = ours(*words.split(), replies=[Reply(reply)])
    assert "→" not in ran.out + ran.err


def test_the_step_after_a_plan_is_the_same_line_as_an_update(server: Recorder) -> None:
    plan = {"Strategy": "canary", "Steps": CANARY, "PeakInstances": 2, "HoldSeconds": 0}
    server.play([Reply({**plan, "TimeoutSeconds": 600})])
    words = ["endpoint", "plan", "e", "--config", "c2", "--strategy", "canary", "--size=25%"]
    url = ["--endpoint-url", server.url]
    with terminal(*words, *url, columns=140) as seen:
        assert seen.ended() == 0
        update = "endpoint update e --config c2 --strategy canary --size=25%"
        assert f"→ inservice {update} --endpoint-url {server.url}" in seen.rows()
    with terminal(*words, *url, "--output", "json", columns=140) as seen:
        assert seen.ended() == 0
        assert "→" not in seen.text()


# ── a server that does not answer, a model that hangs ──────────────────────────────────────────

NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "line",
    ["endpoint list", "endpoint watch e", "model list", "config show c", "logs e", "logs e -f"],
)
def test_nobody_answers(line: str, inservice: Run) -> None:
    ran = inservice(*line.split(), "--endpoint-url", NOWHERE)
    assert (ran.code, ran.out) == (1, "")
    assert "Could not connect" in ran.err
    assert "`inservice up --detach` starts it" in ran.err


def test_nobody_answers_where_an_inservice_was(inservice: Run, clean: Path) -> None:
    """AWS's half says it too, where the place was InService's own and not the user's choice."""
    data_dir = str(leave_files(clean / "share", NOWHERE))
    ran = inservice("sagemaker", "list-endpoints", "--data-dir", data_dir)
    assert ran.code == 255
    assert "`inservice up --detach` starts it" in ran.err
    elsewhere = inservice("sagemaker", "list-endpoints", "--endpoint-url", NOWHERE)
    assert elsewhere.code == 255
    assert "inservice up" not in elsewhere.err


def test_an_invocation_is_tried_once(
    ours: Any, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    broken = REPLIES["broken"]
    ran = ours("endpoint", "invoke", "e", "--body", "1", replies=broken)
    assert (ran.code, len(server.requests)) == (1, 1)


def test_the_server_ends_the_waiting_for_a_model_and_not_the_command(
    ours: Any, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hang in predict ends in the ModelError that was promised."""
    assert invoke.ANSWER_SECONDS > INVOKE_SECONDS + 10
    monkeypatch.setattr(invoke, "ANSWER_SECONDS", 3)
    answer = server.next_reply

    def later() -> Reply:
        threading.Event().wait(1.5)
        return answer()

    monkeypatch.setattr(type(server), "next_reply", lambda _: later())
    ran = ours("endpoint", "invoke", "e", "--body", "1", replies=REPLIES["model error"])
    assert (ran.code, len(server.requests)) == (1, 1)
    assert ran.err.startswith("ModelError: Received server error (500)")
    assert ran.err.endswith("  its log: inservice endpoint logs e\n")
