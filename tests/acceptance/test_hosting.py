"""Unmodified boto3 against a real server: from CreateModel to DeleteEndpoint."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import ECHO, IMAGE, Server, archive, variant

Echo = Callable[[str], str]


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


def deploy(server: Server, url: str, **options: Any) -> str:
    name = unique("ep")
    server.create_model(name, url)
    server.create_config(name, variant(name, **options))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    return name


def error_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    response: Any = raised.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_the_whole_life_of_an_endpoint(server: Server, echo: Echo) -> None:
    sagemaker = server.client("sagemaker")
    name = deploy(server, echo("one"), count=2)
    quickly = {"Delay": 1, "MaxAttempts": 30}
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=quickly)

    described = server.describe(name)
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointArn"].endswith(f":endpoint/{name}")
    (shown,) = described["ProductionVariants"]
    assert (shown["CurrentInstanceCount"], shown["DesiredInstanceCount"]) == (2, 2)
    assert (shown["CurrentWeight"], shown["DesiredWeight"]) == (1.0, 1.0)

    answers = [server.invoke(name) for _ in range(40)]
    assert {a["model"] for a in answers} == {"one"}
    assert len({a["pid"] for a in answers}) == 2, "both instances answer"

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=quickly)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    code, message, status = error_of(sagemaker.describe_endpoint, EndpointName=name)
    assert (code, status) == ("ValidationException", 400)
    assert message == f'Could not find endpoint "{described["EndpointArn"]}".'


def test_names_are_unique_without_regard_to_case_and_invoked_exactly(
    server: Server, echo: Echo
) -> None:
    name = deploy(server, echo("case"))
    server.settled(name)
    sagemaker = server.client("sagemaker")
    code, message, _ = error_of(
        sagemaker.create_endpoint, EndpointName=name.upper(), EndpointConfigName=name
    )
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing endpoint ")
    code, message, status = error_of(
        server.client("sagemaker-runtime").invoke_endpoint, EndpointName=name.upper(), Body=b""
    )
    assert (code, status) == ("ValidationError", 400)
    assert message == f"Endpoint {name.upper()} of account 000000000000 not found."


def test_weighted_variants_and_a_chosen_one(server: Server, echo: Echo) -> None:
    name = unique("ab")
    server.create_model(f"{name}-a", echo("a"))
    server.create_model(f"{name}-b", echo("b"))
    server.create_config(
        name,
        variant(f"{name}-a", "A", InitialVariantWeight=3),
        variant(f"{name}-b", "B", InitialVariantWeight=1),
    )
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert server.settled(name)["EndpointStatus"] == "InService"
    said = [server.invoke(name)["model"] for _ in range(400)]
    # Five standard deviations of a binomial with p = 3/4: one false alarm in a few million runs.
    assert abs(said.count("a") - 300) < 5 * (400 * 0.75 * 0.25) ** 0.5
    assert {server.invoke(name, TargetVariant="B")["model"] for _ in range(10)} == {"b"}


def test_a_model_that_raises_is_a_model_error(server: Server, echo: Echo) -> None:
    name = deploy(server, echo("raises"))
    server.settled(name)
    runtime = server.client("sagemaker-runtime")
    with pytest.raises(ClientError) as raised:
        runtime.invoke_endpoint(EndpointName=name, Body=b"raise", ContentType="text/plain")
    response: Any = raised.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 500
    assert "asked to" in response["OriginalMessage"]
    assert "Received server error (500) from primary with message" in response["Error"]["Message"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "raise RuntimeError('broken on import')",
            "RuntimeError: broken on import (code/inference.py, line 1). It exited",
        ),
        ("import no_such_package", "Name the package no_such_package in code/requirements.txt"),
        ("import os\ndef model_fn(d): os._exit(7)", "exited with code 7"),
        ("import os\ndef model_fn(d): os.kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_a_broken_model_fails_with_a_reason_to_act_on(
    server: Server, tmp_path: Path, source: str, expected: str
) -> None:
    name = deploy(server, archive(tmp_path / "model.tar.gz", {"code/inference.py": source}))
    described = server.settled(name)
    assert described["EndpointStatus"] == "Failed"
    reason = described["FailureReason"]
    assert reason.startswith(
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    assert expected in reason
    code, _, _ = error_of(
        server.client("sagemaker-runtime").invoke_endpoint, EndpointName=name, Body=b""
    )
    assert code == "ValidationError"
    server.client("sagemaker").delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"../escape.txt": "x"}, "escape.txt"),
        (None, "Could not access model data"),
    ],
)
def test_a_bad_artifact_fails_with_a_reason(
    server: Server, tmp_path: Path, files: dict[str, str | bytes] | None, expected: str
) -> None:
    path = tmp_path / "model.tar.gz"
    url = archive(path, files) if files is not None else f"file://{path}"
    name = deploy(server, url)
    described = server.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert expected in described["FailureReason"]
    assert not (tmp_path / "escape.txt").exists()


@pytest.mark.parametrize("kind", ["archive", "directory"])
def test_code_may_come_in_an_archive_of_its_own(
    server: Server, echo: Echo, tmp_path: Path, kind: str
) -> None:
    """What the SageMaker SDK sets for a framework model, with files in place of S3."""
    place = tmp_path / "a place" / "sourcedir.tar.gz"
    place.parent.mkdir()
    if kind == "archive":
        archive(place, {"src/serve.py": ECHO})
    else:
        (place / "src").mkdir(parents=True)
        (place / "src" / "serve.py").write_text(ECHO)
    name = unique("sourcedir")
    server.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": echo("own-code"),
            "Environment": {
                "SAGEMAKER_PROGRAM": "src/serve.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": place.as_uri(),
            },
        },
    )
    server.create_config(name, variant(name))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = server.settled(name)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert server.invoke(name)["model"] == "own-code"


CONTEXT = """
import json

def model_fn(model_dir):
    return None

def parts():
    raise ValueError("before the first part")
    yield b""

def transform_fn(model, body, content_type, accept, context=None):
    if body == b"exit":
        raise SystemExit("on its way out")
    if body == b"stream":
        return parts()
    return json.dumps(context.get_all_request_header(0)), "application/json"
"""


def test_handlers_see_headers_as_clients_write_them_and_may_raise_anything(
    server: Server, tmp_path: Path
) -> None:
    name = deploy(server, archive(tmp_path / "model.tar.gz", {"code/inference.py": CONTEXT}))
    described = server.settled(name)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    runtime = server.client("sagemaker-runtime")
    for body, said in (
        (b"exit", "SystemExit: on its way out"),
        (b"stream", "ValueError: before the first part"),
    ):
        with pytest.raises(ClientError) as failed:
            runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="a/b")
        assert failed.value.response["Error"]["Code"] == "ModelError"
        response: Any = failed.value.response
        assert response["OriginalStatusCode"] == 500
        assert response["OriginalMessage"] == said
    answer = runtime.invoke_endpoint(
        EndpointName=name,
        Body=b"x",
        ContentType="text/csv",
        Accept="a/b",
        CustomAttributes="c=d",
        InferenceId="i-1",
    )
    headers = json.loads(answer["Body"].read())
    expected = {
        "Content-Type": "text/csv",
        "Accept": "a/b",
        "X-Amzn-SageMaker-Custom-Attributes": "c=d",
        "X-Amzn-SageMaker-Inference-Id": "i-1",
    }
    assert expected.items() <= headers.items()


def test_deleting_config_and_model_never_breaks_a_live_endpoint(server: Server, echo: Echo) -> None:
    name = deploy(server, echo("kept"))
    server.settled(name)
    sagemaker = server.client("sagemaker")
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
    assert server.invoke(name)["model"] == "kept"
    assert server.describe(name)["EndpointConfigName"] == name


def test_an_image_that_nothing_here_can_run_says_what_can(server: Server, echo: Echo) -> None:
    name = unique("image")
    server.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={"Image": "not//an/image:1", "ModelDataUrl": echo("image")},
    )
    server.create_config(name, variant(name))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = server.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert "The image 'not//an/image:1' cannot run here" in described["FailureReason"]
    assert "scikit-learn" in described["FailureReason"]


def test_what_aws_refuses_while_an_endpoint_is_in_transition(
    server: Server, tmp_path: Path
) -> None:
    source = "import time\ndef model_fn(d):\n    time.sleep(2)\n"
    name = deploy(server, archive(tmp_path / "slow.tar.gz", {"code/inference.py": source}))
    sagemaker = server.client("sagemaker")
    arn = server.describe(name)["EndpointArn"]
    for call in (sagemaker.delete_endpoint,):
        code, message, _ = error_of(call, EndpointName=name)
        assert code == "ValidationException"
        assert message == f'Cannot update in-progress endpoint "{arn}".'
    server.settled(name)


def test_an_operation_that_is_not_built_names_itself(server: Server) -> None:
    code, message, _ = error_of(
        server.client("sagemaker").describe_training_job, TrainingJobName="x"
    )
    assert code == "NotImplemented"
    assert "DescribeTrainingJob" in message


def test_a_service_that_is_not_here_is_named_through_the_gateway_too(server: Server) -> None:
    """It read as a bad key."""
    for call, arguments in (
        (server.client("kms").list_keys, {}),
        (server.client("ssm").get_parameter, {"Name": "a"}),
        (server.client("ec2").describe_vpcs, {}),
        (server.client("lambda").invoke, {"FunctionName": "f", "Payload": b"x" * 9_000}),
    ):
        code, message, _ = error_of(call, **arguments)
        assert code == "NotImplemented"
        assert message.startswith("InService does not support ")
    assert server.client("sagemaker").list_models()["Models"] is not None  # nothing is upset


def test_a_config_made_again_under_its_name_is_another(server: Server, echo: Echo) -> None:
    sagemaker = server.client("sagemaker")
    server.create_model("again-1", echo("again-1"))
    server.create_model("again-2", echo("again-2"))
    server.create_config("again", variant("again-1"))
    sagemaker.create_endpoint(EndpointName="again", EndpointConfigName="again")
    server.settled("again")
    same = {"EndpointName": "again", "EndpointConfigName": "again"}
    code, message, _ = error_of(sagemaker.update_endpoint, **same)
    assert (code, "uses it already" in message) == ("ValidationException", True)
    sagemaker.delete_endpoint_config(EndpointConfigName="again")
    server.create_config("again", variant("again-2"))
    sagemaker.update_endpoint(**same)
    assert server.settled("again")["EndpointStatus"] == "InService"
    assert server.invoke("again")["model"] == "again-2"
    # A model made again is another too: what serves keeps the one that it was made from.
    sagemaker.delete_model(ModelName="again-2")
    server.create_model("again-2", echo("again-3"))
    assert server.invoke("again")["model"] == "again-2"
    sagemaker.delete_endpoint_config(EndpointConfigName="again")
    server.create_config("again", variant("again-2"))
    sagemaker.update_endpoint(**same)
    assert server.settled("again")["EndpointStatus"] == "InService"
    assert server.invoke("again")["model"] == "again-3"
    sagemaker.delete_endpoint(EndpointName="again")


def test_who_am_i(server: Server) -> None:
    identity = server.client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000"
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_an_artifact_that_could_never_be_read_is_refused_at_the_call(server: Server) -> None:
    code, message, _ = error_of(
        server.client("sagemaker").create_model,
        ModelName=unique("https"),
        PrimaryContainer={"Image": "python", "ModelDataUrl": "https://example.com/model.tar.gz"},
    )
    assert code == "NotImplemented"  # AWS takes it; a ValidationException would be tried again
    assert "ModelDataUrl" in message
    assert "s3://bucket/key" in message
