"""Debian's AWS CLI v2, unmodified, from create-model to the endpoint's end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.server import IMAGE, Server


def cli_v2() -> str | None:
    """The AWS CLI v2 of this machine; a v1 may stand before it on the search path."""
    for path in ("/usr/bin/aws", shutil.which("aws")):
        if path and Path(path).exists():
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            if said.stdout.startswith("aws-cli/2"):
                return path
    return None


@pytest.fixture(scope="module")
def program() -> str:
    found = cli_v2()
    if found is None:
        pytest.skip("AWS CLI v2 is not installed (Debian's package awscli)")
    return found


@pytest.mark.long
def test_the_whole_life_of_an_endpoint(
    server: Server, echo: Callable[[str], str], program: str, tmp_path: Path
) -> None:
    def aws(*words: str) -> subprocess.CompletedProcess[str]:
        # 2.9.19 knows no AWS_ENDPOINT_URL.
        return subprocess.run(
            [program, *words, "--endpoint-url", server.url, "--output", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AWS_ACCESS_KEY_ID": server.credentials["access_key_id"],
                "AWS_SECRET_ACCESS_KEY": server.credentials["secret_access_key"],
                "AWS_DEFAULT_REGION": server.region,
            },
        )

    def done(*words: str) -> dict[str, object]:
        finished = aws("sagemaker", *words)
        assert finished.returncode == 0, finished.stderr
        document: dict[str, object] = json.loads(finished.stdout or "{}")
        return document

    container = json.dumps({"Image": IMAGE, "ModelDataUrl": echo("by-aws-cli")})
    role = "arn:aws:iam::000000000000:role/service"  # 2.9.19 requires one
    done(
        "create-model",
        "--model-name=by-cli",
        "--primary-container",
        container,
        "--execution-role-arn",
        role,
    )
    done(
        "create-endpoint-config",
        "--endpoint-config-name=by-cli",
        "--production-variants",
        "VariantName=AllTraffic,ModelName=by-cli,InitialInstanceCount=1,InstanceType=ml.m5.large",
    )
    created = done(
        "create-endpoint",
        "--endpoint-name=by-cli",
        "--endpoint-config-name=by-cli",
        "--tags",
        "Key=team,Value=a",
        "Key=stage,Value=",
    )
    assert str(created["EndpointArn"]).endswith(":endpoint/by-cli")
    server.settled("by-cli")
    done("wait", "endpoint-in-service", "--endpoint-name=by-cli")
    tags = done("list-tags", "--resource-arn", str(created["EndpointArn"]))
    assert {"Key": "team", "Value": "a"} in tags["Tags"]  # type: ignore[operator]

    invoked = aws(
        "sagemaker-runtime",
        "invoke-endpoint",
        "--endpoint-name=by-cli",
        "--content-type=text/plain",
        "--cli-binary-format=raw-in-base64-out",
        "--body=hello",
        str(tmp_path / "answer"),
    )
    assert invoked.returncode == 0, invoked.stderr
    assert json.loads((tmp_path / "answer").read_text())["model"] == "by-aws-cli"
    assert json.loads(invoked.stdout)["InvokedProductionVariant"] == "AllTraffic"

    refused = aws("sagemaker", "describe-endpoint", "--endpoint-name=nowhere")
    assert refused.returncode == 254
    assert "An error occurred (ValidationException) when calling the DescribeEndpoint" in (
        refused.stderr
    )
    done("delete-endpoint", "--endpoint-name=by-cli")
