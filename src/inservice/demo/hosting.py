"""Deployment code as it is written for AWS: boto3, AWS's image URI, no option of InService's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
"""AWS's own image for scikit-learn. No Docker is used: InService runs its own model server."""

NAME = "digits"
DEPLOY_SECONDS = 120.0
POLL_SECONDS = 0.02


class DeploymentFailed(Exception):
    """The endpoint did not get where it should; the message is its FailureReason."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a few seconds of invocations came to."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


class Hosting:
    """One model, config and endpoint, all named NAME."""

    def __init__(self) -> None:
        """Everything, address and key included, comes from the environment."""
        # Not boto3.client: its default session would keep what an earlier server's address was.
        self._session = boto3.Session()
        self._sagemaker = self._session.client("sagemaker")
        self._runtime = self._session.client("sagemaker-runtime")

    def create(self, artifact: Path) -> None:
        """CreateModel, CreateEndpointConfig, CreateEndpoint."""
        self._sagemaker.create_model(
            ModelName=NAME,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": artifact.as_uri()},
            ExecutionRoleArn="arn:aws:iam::000000000000:role/demo",
        )
        self._sagemaker.create_endpoint_config(
            EndpointConfigName=NAME,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": NAME,
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                }
            ],
        )
        self._sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)

    def statuses(self) -> Iterator[str]:
        """Each new EndpointStatus until InService. Raises DeploymentFailed."""
        seen = ""
        deadline = time.monotonic() + DEPLOY_SECONDS
        while time.monotonic() < deadline:
            endpoint = self._sagemaker.describe_endpoint(EndpointName=NAME)
            if endpoint["EndpointStatus"] != seen:
                seen = endpoint["EndpointStatus"]
                yield seen
            if seen == "InService":
                return
            if seen != "Creating":
                raise DeploymentFailed(endpoint.get("FailureReason", f"It is {seen}."))
            time.sleep(POLL_SECONDS)
        raise DeploymentFailed(f"It was still {seen} after {DEPLOY_SECONDS:.0f} s.")

    def classify_json(self, rows: list[list[float]]) -> list[int]:
        """All rows in one JSON request."""
        body = json.dumps({"instances": rows}).encode()
        answer: dict[str, Any] = json.loads(self._invoke(body, "application/json"))
        return [int(label) for label in answer["predictions"]]

    def classify_csv(self, rows: list[list[float]]) -> list[int]:
        """All rows in one CSV request."""
        body = "\n".join(",".join(map(str, row)) for row in rows).encode()
        return [int(label) for label in json.loads(self._invoke(body, "text/csv"))]

    def delete(self) -> None:
        """DeleteEndpoint, DeleteEndpointConfig, DeleteModel; returns when the endpoint is gone."""
        self._sagemaker.delete_endpoint(EndpointName=NAME)
        self._sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
        self._sagemaker.delete_model(ModelName=NAME)
        deadline = time.monotonic() + DEPLOY_SECONDS
        while time.monotonic() < deadline:
            try:
                self._sagemaker.describe_endpoint(EndpointName=NAME)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ValidationException":
                    return
                raise
            time.sleep(POLL_SECONDS)
        raise DeploymentFailed(f"It was not deleted after {DEPLOY_SECONDS:.0f} s.")

    def load(self, row: list[float], *, seconds: float) -> Load:
        """Invoke with one row, again and again, for some seconds. Any failure raises."""
        body = json.dumps({"instances": [row]}).encode()
        latencies: list[float] = []
        began = time.perf_counter()
        while (start := time.perf_counter()) < began + seconds:
            self._invoke(body, "application/json")
            latencies.append(time.perf_counter() - start)
        took = time.perf_counter() - began
        latencies.sort()
        return Load(
            requests=len(latencies),
            seconds=took,
            p50_ms=latencies[len(latencies) // 2] * 1000,
            p99_ms=latencies[len(latencies) * 99 // 100] * 1000,
        )

    def _invoke(self, body: bytes, content_type: str) -> bytes:
        answer = self._runtime.invoke_endpoint(
            EndpointName=NAME, ContentType=content_type, Accept="application/json", Body=body
        )
        content: bytes = answer["Body"].read()
        return content
