"""A real server for the acceptance tests: `inservice up` in a process tree of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import psutil
from botocore.config import Config

from inservice.cli import ours

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
"""AWS's own image for scikit-learn, as code written for AWS names it."""

ECHO = """
import json, os
def model_fn(model_dir):
    return open(os.path.join(model_dir, "name.txt")).read()
def transform_fn(model, data, content_type, accept):
    said = data.decode() if isinstance(data, bytes) else data
    if said == "raise":
        raise RuntimeError("asked to")
    if said == "slow":
        import time; time.sleep(1.0)
    answer = {"model": model, "pid": os.getpid(), "said": said}
    return json.dumps(answer), "application/json"
"""
"""A model that says who it is: the tests see by it which fleet answered."""


_MAKING = threading.Lock()
"""Held while a client is made: botocore's sessions are no thread's but one's."""


@functools.cache
def _session() -> botocore.session.Session:
    """One for all clients: it keeps the models of AWS's services, megabytes of JSON."""
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.append(ours.service_models())
    return session


HELD = """
import pathlib, time
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    leave = pathlib.Path(data.decode() if isinstance(data, bytes) else data)
    while leave.parent.exists() and not leave.exists():
        time.sleep(0.02)
    return "answered", "text/plain"
"""
"""A model that answers a request when the file that it names is there: see `leave_to_answer`."""


@contextlib.contextmanager
def leave_to_answer() -> Iterator[Path]:
    """The file that a HELD model waits for, where every user can see it. Who still waits at the end
    waits no longer."""
    with tempfile.TemporaryDirectory(prefix="held-") as name:
        Path(name).chmod(0o755)  # the model is another user
        leave = Path(name) / "answer"
        try:
            yield leave
        finally:
            leave.touch()


def is_running(pid: int) -> bool:
    """Whether anything of it is left: its first thread may have ended and others still hold its
    sockets, on which a request would be lost with it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "(zombie)" not in status or "Threads:\t1\n" not in status


def wait_until(question: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Ask until the answer is true; the answer, or an AssertionError when the time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return answer


def archive(path: Path, files: Mapping[str, str | bytes]) -> str:
    """Write a model.tar.gz and give back its file:// URL."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            blob = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(blob)
            tar.addfile(member, io.BytesIO(blob))
    return f"file://{path}"


@dataclass
class Server:
    """A running server; `stop` ends it and shows that nothing is left."""

    data_dir: Path
    url: str
    credentials: dict[str, str]
    region: str = "us-east-1"
    _clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, data_dir: Path, *options: str, environment: Mapping[str, str] = {}) -> Server:
        finished = run_cli("up", "--detach", "--port=0", *options, data_dir=data_dir, **environment)
        assert finished.returncode == 0, finished.stderr
        endpoint = json.loads((data_dir / "endpoint.json").read_text())
        credentials = json.loads((data_dir / "credentials.json").read_text())
        return cls(data_dir, endpoint["url"], credentials, endpoint["region"])

    def client(self, service: str) -> Any:
        """A boto3 client, made once: making one costs more than most calls."""
        if service not in self._clients:
            self._clients[service] = self.new_client(service)
        return self._clients[service]

    def new_client(self, service: str, **options: Any) -> Any:
        """A client with connections of its own; of InService's own API too."""
        with _MAKING:
            make: Any = _session().create_client  # the stubs know services by literal names
            return make(
                service,
                endpoint_url=self.url,
                region_name=self.region,
                aws_access_key_id=self.credentials["access_key_id"],
                aws_secret_access_key=self.credentials["secret_access_key"],
                config=Config(retries={"total_max_attempts": 1}, **options),
            )

    def status(self) -> dict[str, Any]:
        finished = run_cli("status", "--output=json", data_dir=self.data_dir)
        assert finished.returncode == 0, finished.stderr
        document: dict[str, Any] = json.loads(finished.stdout)
        return document

    def pids(self) -> list[int]:
        """Everything that belongs to this server, found by its run directory, not by its word."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "environ"]):
            text = " ".join(process.info["cmdline"] or [])
            environ = process.info["environ"] or {}
            if str(self.data_dir) in text or str(self.data_dir) in " ".join(environ.values()):
                found.append(process.info["pid"])
        return [pid for pid in found if pid != os.getpid()]

    def stop(self) -> None:
        finished = run_cli("down", data_dir=self.data_dir)
        assert finished.returncode == 0, finished.stderr

    def log(self) -> str:
        return (self.data_dir / "logs" / "server.log").read_text()

    # ── the hosting flow ────────────────────────────────────────────────────────────────────────
    def create_model(self, name: str, url: str, **environment: str) -> None:
        self.client("sagemaker").create_model(
            ModelName=name,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url, "Environment": environment},
        )

    def create_config(self, name: str, *variants: dict[str, Any]) -> None:
        self.client("sagemaker").create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants)
        )

    def describe(self, name: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client("sagemaker").describe_endpoint(EndpointName=name)
        return described

    def settled(self, name: str, seconds: float = 30.0) -> dict[str, Any]:
        """The endpoint's description once it is in no transition any more."""
        moving = {"Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting"}

        def settled() -> dict[str, Any] | None:
            described = self.describe(name)
            return None if described["EndpointStatus"] in moving else described

        answer: dict[str, Any] = wait_until(settled, seconds)
        return answer

    def invoke(self, name: str, body: str = "hello", **options: Any) -> Any:
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, Body=body.encode(), ContentType="text/plain", **options
        )
        return json.loads(answer["Body"].read())


def variant(model: str, name: str = "AllTraffic", count: int = 1, **more: Any) -> dict[str, Any]:
    """A production variant as requests have it."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.large",
        **more,
    }


def run_cli(*words: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`inservice …` as a user types it."""
    command = [sys.executable, "-m", "inservice.cli.main", *words, f"--data-dir={data_dir}"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, "AWS_EC2_METADATA_DISABLED": "true", **environment},
        check=False,
    )
