"""From an upload to an invocation with nothing but this server: model data in its own storage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import ECHO, PLAIN, Server, archive, run_cli, variant
from tests.waiting import wait_until

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)


def s3_of(server: Server) -> Any:
    """boto3's, as people have it."""
    client: Any = boto3.client  # the stubs of S3 are not installed
    return client(
        "s3",
        endpoint_url=server.url,
        region_name=server.region,
        aws_access_key_id=server.credentials["access_key_id"],
        aws_secret_access_key=server.credentials["secret_access_key"],
    )


def role(server: Server, name: str, *actions: str, on: str) -> str:
    iam = server.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": on}
    iam.put_role_policy(
        RoleName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )
    arn: str = made["Role"]["Arn"]
    return arn


def model_of(server: Server, name: str, url: str, role_arn: str | None = None, **more: Any) -> None:
    given = {} if role_arn is None else {"ExecutionRoleArn": role_arn}
    server.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={"Image": PLAIN, "ModelDataUrl": url, **more},
        **given,
    )


def serve(server: Server, model: str) -> dict[str, Any]:
    server.create_config(model, variant(model))
    server.client("sagemaker").create_endpoint(EndpointName=model, EndpointConfigName=model)
    return server.settled(model)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(tmp_path_factory.mktemp("own") / "data")
    s3_of(started).create_bucket(Bucket="models")
    yield started
    started.stop()


def test_a_model_is_uploaded_deployed_and_invoked(server: Server, tmp_path: Path) -> None:
    s3, arn = s3_of(server), role(server, "reads", "s3:GetObject", on="arn:aws:s3:::models/*")
    archive(tmp_path / "m.tar.gz", {"name.txt": "uploaded"})
    archive(tmp_path / "code.tar.gz", {"serve.py": ECHO})
    s3.put_object(Bucket="models", Key="m.tar.gz", Body=(tmp_path / "m.tar.gz").read_bytes())
    s3.upload_file(str(tmp_path / "code.tar.gz"), "models", "code.tar.gz")
    environment = {
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/code.tar.gz",
    }
    model_of(server, "uploaded", "s3://models/m.tar.gz", arn, Environment=environment)
    described = serve(server, "uploaded")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert server.invoke("uploaded")["model"] == "uploaded"

    # The code is fetched as the role as well.
    server.client("iam").delete_role_policy(RoleName="reads", PolicyName="p")
    server.client("sagemaker").create_endpoint(
        EndpointName="uploaded-later", EndpointConfigName="uploaded"
    )
    described = server.settled("uploaded-later")
    assert described["EndpointStatus"] == "Failed"
    assert "Could not access model data at s3://models/" in described["FailureReason"]
    assert "reads" in described["FailureReason"]


def test_files_under_a_prefix_are_one_with_the_objects(server: Server, tmp_path: Path) -> None:
    s3 = s3_of(server)
    weights = os.urandom(9 * 1024 * 1024)
    s3.put_object(Bucket="models", Key="raw/name.txt", Body=b"raw")
    s3.put_object(Bucket="models", Key="raw/code/inference.py", Body=ECHO.encode())
    s3.put_object(Bucket="models", Key="raw/weights.bin", Body=weights)
    source = {"S3Uri": "s3://models/raw/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    server.client("sagemaker").create_model(
        ModelName="raw",
        PrimaryContainer={"Image": PLAIN, "ModelDataSource": {"S3DataSource": source}},
    )
    described = serve(server, "raw")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert server.invoke("raw")["model"] == "raw"
    (tree,) = (server.data_dir / "artifacts/trees").glob("*/model/weights.bin")
    assert tree.read_bytes() == weights
    s3.delete_object(Bucket="models", Key="raw/weights.bin")
    s3.put_object(Bucket="models", Key="raw/name.txt", Body=b"another")
    server.kill_control()
    server.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="raw",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    assert server.settled("raw")["EndpointStatus"] == "InService"
    wait_until(lambda: len(server.ready_pids("raw")) == 2)
    assert {server.invoke("raw")["model"] for _ in range(8)} == {"raw"}
    assert "is not what was unpacked" not in server.log()


def test_what_no_endpoint_could_load_is_refused_at_once(server: Server) -> None:
    s3 = s3_of(server)
    s3.put_object(Bucket="models", Key="there.tar.gz", Body=b"")
    refused: list[tuple[str, str | None, str]] = [
        (
            "s3://models/missing.tar.gz",
            None,
            "Could not find model data at s3://models/missing.tar.gz.",
        ),
    ]
    reads = role(server, "elsewhere", "s3:GetObject", on="arn:aws:s3:::others/*")
    words = (
        "Could not access model data at s3://models/there.tar.gz. Please ensure that the role "
        f'"{reads}" exists and that its trust relationship policy allows the action '
        '"sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also ensure that '
        'the role has "s3:GetObject" permissions and that the object is located in us-east-1. If '
        "your Model uses multiple models or uncompressed models, please ensure that the role has "
        '"s3:ListBucket" permission.'
    )
    refused.append(("s3://models/there.tar.gz", reads, words))
    for url, arn, message in refused:
        with pytest.raises(ClientError) as error:
            model_of(server, "refused", url, arn)
        assert error.value.response["Error"]["Code"] == "ValidationException"
        assert error.value.response["Error"]["Message"] == message
        with pytest.raises(ClientError):
            server.client("sagemaker").describe_model(ModelName="refused")


@pytest.mark.skipif(shutil.which("aws") is None, reason="Debian's awscli is not installed")
def test_env_leads_s3_here(server: Server, tmp_path: Path) -> None:
    """What `inservice env` prints is all that a shell needs, for S3 as for the rest."""
    archive(tmp_path / "m.tar.gz", {"name.txt": "shell", "code/inference.py": ECHO})
    script = (
        "set -e\n"
        f'eval "$(inservice env --data-dir={server.data_dir})"\n'
        f"aws s3 cp --no-progress {tmp_path}/m.tar.gz s3://models/shell.tar.gz\n"
        "aws sagemaker create-model --model-name shell --primary-container "
        f"Image={PLAIN},ModelDataUrl=s3://models/shell.tar.gz\n"
    )
    place = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": place, "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert serve(server, "shell")["EndpointStatus"] == "InService"
    assert server.invoke("shell")["model"] == "shell"


def test_without_storage_nothing_is_looked_for_here(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--storage=off")
    model_of(server, "m", "s3://models/m.tar.gz")
    described = serve(server, "m")
    assert described["EndpointStatus"] == "Failed"
    assert "on this server" not in described["FailureReason"]
    with_it = start_server()
    model_of(with_it, "m", "s3://nowhere/m.tar.gz")
    described = serve(with_it, "m")
    assert 'has no bucket "nowhere" on this server' in described["FailureReason"]
    listed = run_cli("sagemaker", "list-models", data_dir=with_it.data_dir)
    assert "nowhere" not in listed.stdout
