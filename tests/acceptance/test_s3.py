"""Artifacts from an S3-compatible store, as code written for AWS names them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.acceptance.server import ECHO, PLAIN, Server, archive, run_cli, variant
from tests.contracts.scripted_s3 import ScriptedS3

KEY = {"aws_access_key_id": "s3-key", "aws_secret_access_key": "s3-secret"}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_url: str) -> Any:
    resource: Any = boto3.resource  # the stubs of S3 are not installed
    s3 = resource("s3", endpoint_url=s3_url, region_name="us-east-1", **KEY)
    bucket = s3.Bucket("models")
    bucket.create()
    return bucket


def test_model_and_code_come_from_s3_and_outlive_the_object(
    start_server: Callable[..., Server], s3_url: str, bucket: Any, tmp_path: Path
) -> None:
    archive(tmp_path / "model.tar.gz", {"name.txt": "from-s3"})
    archive(tmp_path / "sourcedir.tar.gz", {"serve.py": ECHO})
    bucket.upload_file(str(tmp_path / "model.tar.gz"), "echo/model.tar.gz")
    bucket.upload_file(str(tmp_path / "sourcedir.tar.gz"), "echo/sourcedir.tar.gz")
    server = start_server(
        AWS_ENDPOINT_URL_S3=s3_url,
        AWS_ACCESS_KEY_ID=KEY["aws_access_key_id"],
        AWS_SECRET_ACCESS_KEY=KEY["aws_secret_access_key"],
        AWS_DEFAULT_REGION="us-east-1",
    )
    sagemaker = server.client("sagemaker")
    sagemaker.create_model(
        ModelName="m",
        PrimaryContainer={
            "Image": PLAIN,
            "ModelDataUrl": "s3://models/echo/model.tar.gz",
            # What the SageMaker SDK sets for a framework model.
            "Environment": {
                "SAGEMAKER_PROGRAM": "serve.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/echo/sourcedir.tar.gz",
            },
        },
    )
    server.create_config("c", variant("m"))
    sagemaker.create_endpoint(EndpointName="ep", EndpointConfigName="c")
    described = server.settled("ep")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert server.invoke("ep")["model"] == "from-s3"

    bucket.objects.all().delete()
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="ep",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    described = server.settled("ep")
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    # A new endpoint looks at the store itself, and says what it could not have.
    sagemaker.create_endpoint(EndpointName="late", EndpointConfigName="c")
    described = server.settled("late")
    assert described["EndpointStatus"] == "Failed"
    assert "Could not access model data at s3://models/echo/" in described["FailureReason"]


def test_a_server_started_from_its_own_shell_keeps_its_key(
    start_server: Callable[..., Server],
) -> None:
    """`eval "$(inservice env)"; inservice down; inservice up`, with a store that is somebody's."""
    first = start_server()  # and the fixture ends whichever runs on its records
    exports = run_cli("env", data_dir=first.data_dir).stdout
    shell = {
        name: value.strip("'")
        for name, _, value in (
            line.removeprefix("export ").partition("=") for line in exports.splitlines()
        )
        if value
    }
    assert shell["AWS_ACCESS_KEY_ID"] == first.credentials["access_key_id"]
    run_cli("down", data_dir=first.data_dir)
    with ScriptedS3({"m.tar.gz": b""}) as store:
        environment = shell | {"AWS_ENDPOINT_URL_S3": store.url}
        server = Server.start(first.data_dir, environment=environment)
        container = {"Image": PLAIN, "ModelDataUrl": "s3://models/m.tar.gz"}
        server.client("sagemaker").create_model(ModelName="m", PrimaryContainer=container)
        server.create_config("c", variant("m"))
        server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
        described = server.settled("ep")
        assert described["EndpointStatus"] == "Failed"
        assert shell["AWS_ACCESS_KEY_ID"] in described["FailureReason"]
        assert shell["AWS_SECRET_ACCESS_KEY"] not in described["FailureReason"]
        assert "inservice env" in described["FailureReason"]
        assert store.counts == {}
