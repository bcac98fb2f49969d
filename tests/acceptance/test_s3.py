"""Artifacts from an S3-compatible store, as code written for AWS names them."""

from __future__ import annotations

import json
import urllib.request
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


@pytest.fixture
def judged(s3_url: str, bucket: Any) -> Iterator[dict[str, str]]:
    """The store asks IAM's policies of everybody; the key of a user who may assume roles, and may
    read nothing. Beside it a role that may, and one that may not."""
    iam = boto3.client("iam", endpoint_url=s3_url, region_name="us-east-1", **KEY)  # type: ignore[call-overload]
    iam.create_user(UserName="server")
    iam.put_user_policy(UserName="server", PolicyName="p", PolicyDocument=_policy("sts:AssumeRole"))
    for name, action in (("reader", "s3:*"), ("writer", "sqs:*")):
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:user/server"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": trust})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=_policy(action))
    key = iam.create_access_key(UserName="server")["AccessKey"]
    _judge(s3_url, after=0)
    yield {
        "AWS_ENDPOINT_URL_S3": s3_url,
        "AWS_ENDPOINT_URL_STS": s3_url,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    _judge(s3_url, after=1_000_000_000)


def _policy(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def _judge(url: str, *, after: int) -> None:
    """Have moto look at policies after so many requests."""
    request = urllib.request.Request(
        f"{url}/moto-api/reset-auth",
        data=str(after).encode(),
        headers={"Content-Type": "text/plain"},
    )
    urllib.request.urlopen(request).close()


def test_a_role_is_really_assumed_where_an_sts_was_named(
    start_server: Callable[..., Server],
    bucket: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    archive(tmp_path / "m.tar.gz", {"name.txt": "as-role", "code/inference.py": ECHO})
    bucket.upload_file(str(tmp_path / "m.tar.gz"), "as-role.tar.gz")
    server = start_server(**request.getfixturevalue("judged"))
    sagemaker = server.client("sagemaker")
    for name in ("reader", "writer", "nobody"):
        role = (
            {}
            if name == "nobody"
            else {"ExecutionRoleArn": f"arn:aws:iam::123456789012:role/{name}"}
        )
        sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": PLAIN, "ModelDataUrl": "s3://models/as-role.tar.gz"},
            **role,
        )
        server.create_config(name, variant(name))
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = server.settled("reader")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    assert server.invoke("reader")["model"] == "as-role"
    for name in ("writer", "nobody"):
        described = server.settled(name)
        assert described["EndpointStatus"] == "Failed"
        assert "answered 403" in described["FailureReason"]


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
