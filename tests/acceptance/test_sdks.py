"""The real SDKs, unmodified, under `inservice exec`: the programs of examples/ and of
docs/howto/sdk.md.

They bring a gigabyte of packages, so they are installed into environments of their own, and only by
`make test-sdks`, which says where those are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import IMAGE, Server, archive
from tests.docs_blocks import blocks

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "sdk.md"

ROLE = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"
BUCKET = "sagemaker-us-east-1-000000000000"

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
    return python_at(f"SAGEMAKER_SDK{version}_PYTHON")


def python_at(variable: str) -> str:
    python = os.environ.get(variable, "")
    if not python:
        pytest.skip(f"{variable} does not say where that is: `make test-sdks` does")
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


def run(server: Server, home: Path, *command: str) -> str:
    """Run a program by `inservice exec`, with an account of AWS's beside it; what it printed."""
    (home / ".aws").mkdir(exist_ok=True)
    theirs = "[default]\naws_access_key_id = THEIRS\naws_secret_access_key = theirs\n"
    (home / ".aws" / "credentials").write_text(theirs)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    inservice = [sys.executable, "-m", "inservice.cli.main", "exec"]
    finished = subprocess.run(
        [*inservice, f"--data-dir={server.data_dir}", "--", *command],
        env={**clean, "HOME": str(home)},
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


@pytest.mark.parametrize("version", [2, 3])
def test_an_example_needs_nothing_of_aws(server: Server, version: int, tmp_path: Path) -> None:
    """It uploads, deploys, predicts, updates and deletes with a role and a bucket that it found."""
    python, before = python_of(version), there(server)
    said = run(server, tmp_path, python, str(ROOT / "examples" / f"sdk_v{version}.py"))
    assert f"role {ROLE}" in said
    assert f"model s3://{BUCKET}/" in said
    answers = [json.loads(one) for one in re.findall(r"(?:predicted|updated) (\[.*\])", said)]
    assert [[round(x, 6) for x in one] for one in answers] == [[1, 4, 7], [1, 4, 7]]
    assert said.rstrip().endswith("deleted")
    assert there(server) == before


def test_mlflow_deploys_predicts_and_deletes(server: Server, tmp_path: Path) -> None:
    """`mlflow deployments -t sagemaker`, with a bucket of its own making."""
    python, before = python_at("MLFLOW_PYTHON"), there(server)
    said = run(server, tmp_path, python, str(ROOT / "examples" / "mlflow_sagemaker.py"))
    assert "deployed InService" in said
    assert "predicted {'predictions': [1.0, 4.0, 7.0]}" in said
    assert said.rstrip().endswith("deleted []")
    assert there(server) == before


def test_version_2_deploys_predicts_updates_and_deletes(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python, before = python_of(2), there(server)
    text = program(2)
    assert IMAGE in text
    text = text.replace("s3://models/digits.tar.gz", model_data)
    first, second = printed(run(server, tmp_path, python, "-c", text))
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

session = sagemaker.Session()

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

instances = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}
paths = {"output_path": "s3://b/out", "failure_path": "s3://b/failed"}
told("serverless", lambda: asked(serverless_inference_config=ServerlessInferenceConfig()))
told("async", lambda: asked(async_inference_config=AsyncInferenceConfig(**paths), **instances))
capture = DataCaptureConfig(True, destination_s3_uri="s3://b/captured")
told("capture", lambda: asked(data_capture_config=capture, **instances))
told("role", lambda: session.expand_role("by-name"))
told("default role", lambda: session.expand_role("AmazonSageMaker-ExecutionRole"))
told("monitors", lambda: sagemaker.Predictor("refused", session).list_monitors())
told("training", lambda: session.describe_training_job("none"))
"""


def test_version_2_hears_by_name_what_is_not_served(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python = python_of(2)
    names = f"IMAGE, MODEL_DATA, ROLE = {IMAGE!r}, {model_data!r}, {ROLE!r}\n"
    lines = run(server, tmp_path, python, "-c", names + REFUSALS).splitlines()
    said = {
        line["what"]: line["said"]
        for line in map(json.loads, (line for line in lines if line.startswith('{"what"')))
    }
    for what, named in {
        "serverless": "'ProductionVariants[0].ServerlessConfig'",
        "async": "'AsyncInferenceConfig'",
        "capture": "'DataCaptureConfig",
        "training": "sagemaker:DescribeTrainingJob",
    }.items():
        assert said[what].startswith("NotImplemented: "), said[what]
        assert named in said[what]
    assert said["role"].startswith("AccessDenied"), "it may look at itself alone"
    assert said["default role"] == repr(ROLE)
    assert said["monitors"] == "[]"


def test_version_3_deploys_invokes_updates_and_deletes(
    server: Server, model_data: str, tmp_path: Path
) -> None:
    python, before = python_of(3), there(server)
    text = program(3).replace("s3://models/digits.tar.gz", model_data)
    first, second = printed(run(server, tmp_path, python, "-c", text))
    assert (first["type"], first["data"]) == ("text/csv", "1,2")
    assert second["pid"] != first["pid"], "an update brings a fleet of its own"
    assert there(server) == before
