"""Deployment code as it is written for AWS: boto3, AWS's image URI, no option of InService's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
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

    def load(self, row: list[float], *, clients: int, seconds: float) -> Load:
        """Invoke with one row, again and again, from `clients` threads. Any failure raises."""
        body = json.dumps({"instances": [row]}).encode()
        runtime = self._session.client(
            "sagemaker-runtime",
            config=Config(max_pool_connections=clients, retries={"total_max_attempts": 1}),
        )

        def invoke() -> None:
            answer = runtime.invoke_endpoint(
                EndpointName=NAME, ContentType="application/json", Body=body
            )
            answer["Body"].read()

        return measure(invoke, threads=clients, seconds=seconds)

    def _invoke(self, body: bytes, content_type: str) -> bytes:
        answer = self._runtime.invoke_endpoint(
            EndpointName=NAME, ContentType=content_type, Accept="application/json", Body=body
        )
        content: bytes = answer["Body"].read()
        return content


def measure(call: Callable[[], None], *, threads: int, seconds: float) -> Load:
    """Make the same call in a closed loop from some threads. Raises the first error."""
    latencies: list[list[float]] = [[] for _ in range(threads)]
    errors: list[Exception] = []
    began = time.perf_counter()

    def work(mine: list[float]) -> None:
        try:
            while (start := time.perf_counter()) < began + seconds and not errors:
                call()
                mine.append(time.perf_counter() - start)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            errors.append(error)

    workers = [threading.Thread(target=work, args=[mine], daemon=True) for mine in latencies]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    if errors:
        raise errors[0]
    ordered = sorted(latency for mine in latencies for latency in mine)
    return Load(len(ordered), took, _rank(ordered, 0.50) * 1000, _rank(ordered, 0.99) * 1000)


def _rank(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
