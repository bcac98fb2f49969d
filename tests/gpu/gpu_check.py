"""One script for a host with an NVIDIA GPU: `python -m tests.gpu.gpu_check`.

It starts a server of its own and asks it by boto3 alone. A PyTorch model on a GPU instance type has
one GPU and computes on it; one instance more than there are GPUs is refused; GPUUtilization is
seen. Without a GPU it says so and is done. The environment of the image is built the first time,
which takes minutes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-gpu-py312"
INSTANCE_TYPE = "ml.g5.xlarge"  # one GPU
BUILD_SECONDS = 1800.0

PROGRAM = """
import json
import torch

def model_fn(model_dir):
    return torch.nn.Linear(512, 512)

def predict_fn(data, model):
    device = torch.device("cuda")
    model.to(device)
    with torch.no_grad():
        for _ in range(200):
            data = model(data.to(device))
    return {"gpus": torch.cuda.device_count(), "device": str(data.device)}
"""


def gpus() -> list[str]:
    """The UUIDs of this host's GPUs; none where its driver is not there."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return listed.stdout.split() if listed.returncode == 0 else []


def check() -> None:
    """All of it. Raises AssertionError."""
    count = len(gpus())
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as directory:
        command = [sys.executable, "-m", "inservice.cli.main"]
        env = {**os.environ, "INSERVICE_DATA_DIR": directory}
        subprocess.run([*command, "up", "--detach", "--port", "0"], env=env, check=True)
        try:
            said = subprocess.run(
                [*command, "env", "--output", "json"], env=env, capture_output=True, check=True
            )
            _ask(json.loads(said.stdout), Path(directory), count)
        finally:
            subprocess.run([*command, "down"], env=env, check=False)


def _ask(variables: dict[str, str], directory: Path, count: int) -> None:
    os.environ.update(variables)
    sagemaker, runtime = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
    artifact = directory / "model.tar.gz"
    with tarfile.open(artifact, "w:gz") as archive:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(PROGRAM)
        archive.addfile(info, io.BytesIO(PROGRAM.encode()))
    sagemaker.create_model(
        ModelName="gpu",
        ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact.as_uri()},
    )

    def deploy(name: str, instances: int) -> dict[str, Any]:
        variant: Any = {"VariantName": "a", "ModelName": "gpu", "InstanceType": INSTANCE_TYPE}
        variant["InitialInstanceCount"] = instances
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return dict(_until(lambda: _settled(sagemaker.describe_endpoint(EndpointName=name))))

    first = deploy("first", 1)
    assert first["EndpointStatus"] == "InService", first.get("FailureReason")
    body = json.dumps([[1.0] * 512] * 64)

    def invoke() -> dict[str, Any]:
        answer = runtime.invoke_endpoint(
            EndpointName="first", ContentType="application/json", Body=body
        )
        return dict(json.loads(answer["Body"].read()))

    answer = invoke()
    assert answer["gpus"] == 1, answer
    assert answer["device"].startswith("cuda"), answer
    print("computed on", answer["device"])

    second = deploy("second", count)
    assert second["EndpointStatus"] == "Failed", second
    assert "apacity" in second["FailureReason"], second["FailureReason"]
    print("refused:", second["FailureReason"].partition("\n")[0])
    assert invoke()["gpus"] == 1  # the first is as it was

    def utilization() -> list[Any]:
        invoke()
        now = datetime.now(UTC)
        return list(
            boto3.client("cloudwatch").get_metric_statistics(
                Namespace="/aws/sagemaker/Endpoints",
                MetricName="GPUUtilization",
                Dimensions=[
                    {"Name": "EndpointName", "Value": "first"},
                    {"Name": "VariantName", "Value": "a"},
                ],
                StartTime=now - timedelta(minutes=10),
                EndTime=now + timedelta(minutes=1),
                Period=60,
                Statistics=["Maximum"],
            )["Datapoints"]
        )

    print("GPUUtilization:", _until(utilization, 300.0))


def _settled(endpoint: Any) -> Any:
    return endpoint if endpoint["EndpointStatus"] not in ("Creating", "Updating") else None


def _until(question: Callable[[], Any], seconds: float = BUILD_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(1)
    return answer


if __name__ == "__main__":
    if not gpus():
        sys.exit("skipped: there is no NVIDIA GPU here, or no driver (nvidia-smi lists none)")
    check()
    print("all as it should be")
