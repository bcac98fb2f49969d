"""docs/howto/sdk.md as its reader follows it: the programs of the page, run by the real SDKs.

They bring a gigabyte of packages, so they are installed into environments of their own, and only by
`make test-sdks`, which says where those are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import IMAGE, Server, archive, run_cli
from tests.docs_blocks import blocks

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "sdk.md"

HANDLERS = """
import json, os
def model_fn(model_dir):
    return os.getpid()
def input_fn(data, content_type):
    return content_type, str(data)
def predict_fn(data, model):
    return {"pid": model, "type": data[0], "data": data[1]}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


def python_of(version: int) -> str:
    variable = f"SAGEMAKER_SDK{version}_PYTHON"
    python = os.environ.get(variable, "")
    if not python:
        pytest.skip(f"{variable} does not say where SDK {version} is: `make test-sdks` does")
    return python


def program(version: int) -> str:
    """The page's program for a version of the SDK."""
    (text,) = (
        block.text for block in blocks(PAGE) if block.section.endswith(f"sdk-version-{version}")
    )
    return text


@pytest.fixture
def model_data(tmp_path: Path) -> str:
    return archive(tmp_path / "model.tar.gz", {"name.txt": "n", "code/inference.py": HANDLERS})


def run(server: Server, python: str, text: str, home: Path) -> str:
    """Run a program in a shell of `inservice env`; what it printed."""
    told = run_cli("env", "--output=json", data_dir=server.data_dir)
    given = {name: value for name, value in json.loads(told.stdout).items() if value}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    finished = subprocess.run(
        [python, "-c", text],
        env={**clean, **given, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def printed(said: str) -> list[dict[str, Any]]:
    """The answers of the model, among the dashes and banners that the SDKs print themselves."""
    return [json.loads(one.replace("'", '"')) for one in re.findall(r"\{.pid.: .*\}", said)]


def there(server: Server) -> list[str]:
    """The models and endpoints that there are."""
    sagemaker = server.client("sagemaker")
    models = [model["ModelName"] for model in sagemaker.list_models()["Models"]]
    serving = sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]
    return sorted(models + [endpoint["EndpointName"] for endpoint in serving])


def test_version_2_deploys_predicts_updates_and_deletes(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python, before = python_of(2), there(server)
    text = program(2)
    assert IMAGE in text
    text = text.replace("s3://models/digits.tar.gz", model_data)
    first, second = printed(run(server, python, text, tmp_path))
    assert (first["type"], first["data"]) == ("text/csv", "1,2\n3,4")
    assert second["data"] == first["data"]
    assert second["pid"] != first["pid"], "an update brings a fleet of its own"
    assert there(server) == before


REFUSALS = """
import json
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.async_inference import AsyncInferenceConfig
from sagemaker.model import Model
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.serverless import ServerlessInferenceConfig

session = sagemaker.Session(default_bucket="unused")
urls = []

def asked(**of):
    model = Model(IMAGE, model_data=MODEL_DATA, role=ROLE, sagemaker_session=session)
    return model.deploy(endpoint_name="refused", wait=False, **of)

def told(what, call):
    try:
        said = repr(call())
    except ClientError as error:
        said = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    except Exception as error:
        said = type(error).__name__
    print(json.dumps({"what": what, "said": said}))

def gone_round(request, **_):
    urls.append(request.url)
    raise RuntimeError("nothing leaves this machine")

instances = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}
paths = {"output_path": "s3://b/out", "failure_path": "s3://b/failed"}
told("serverless", lambda: asked(serverless_inference_config=ServerlessInferenceConfig()))
told("async", lambda: asked(async_inference_config=AsyncInferenceConfig(**paths), **instances))
capture = DataCaptureConfig(True, destination_s3_uri="s3://b/captured")
told("capture", lambda: asked(data_capture_config=capture, **instances))
told("upload", lambda: session.upload_data(__import__("os").__file__))
told("role", lambda: session.expand_role("by-name"))
told("monitors", lambda: sagemaker.Predictor("refused", session).list_monitors())
session.boto_session.events.register("before-send.sts", gone_round)
told("execution role", lambda: sagemaker.get_execution_role(session))
print(json.dumps({"what": "asked instead", "said": " ".join(urls)}))
"""


def test_version_2_hears_by_name_what_is_not_served(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python = python_of(2)
    role = "arn:aws:iam::000000000000:role/unused"
    names = f"IMAGE, MODEL_DATA, ROLE = {IMAGE!r}, {model_data!r}, {role!r}\n"
    lines = run(server, python, names + REFUSALS, tmp_path).splitlines()
    said = {
        line["what"]: line["said"]
        for line in map(json.loads, (line for line in lines if line.startswith('{"what"')))
    }
    for what, named in {
        "serverless": "'ProductionVariants[0].ServerlessConfig'",
        "async": "'AsyncInferenceConfig'",
        "capture": "'DataCaptureConfig'",
        "upload": "s3:",
        "monitors": "sagemaker:ListMonitoringSchedules",
    }.items():
        assert said[what].startswith("NotImplemented: "), said[what]
        assert named in said[what]
    assert said["role"].startswith("NoSuchEntity: "), "a role is found by its name, if it is made"
    assert said["asked instead"].startswith("https://sts."), "as the page warns"


def test_version_3_deploys_invokes_updates_and_deletes(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python, before = python_of(3), there(server)
    text = program(3).replace("s3://models/digits.tar.gz", model_data)
    first, second = printed(run(server, python, text, tmp_path))
    assert (first["type"], first["data"]) == ("text/csv", "1,2")
    assert second["pid"] != first["pid"], "an update brings a fleet of its own"
    assert there(server) == before
