"""A real server for the acceptance tests: `inservice up` in a process tree of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from inservice.cli import down, ours
from inservice.cli.main import main
from inservice.config import Settings
from tests.meeting import meeting_place
from tests.waiting import PATIENCE_SECONDS, wait_until

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
"""AWS's own image for scikit-learn, as code written for AWS names it."""

PLAIN = "python"
"""The image of models that are plain Python. Whoever asks nothing of scikit-learn takes this one:
a server's first instance of the other imports it, for more than all the rest of the server costs.
"""

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
import pathlib, time, uuid
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    leave = pathlib.Path(data.decode() if isinstance(data, bytes) else data)
    leave.with_name(f"begun-{uuid.uuid4().hex}").touch()
    while leave.parent.exists() and not leave.exists():
        time.sleep(0.02)
    return "answered", "text/plain"
"""
"""A model that answers a request when the file that it names is there: see `leave_to_answer`."""


@contextlib.contextmanager
def leave_to_answer() -> Iterator[Path]:
    """The file that a HELD model waits for, where both see it. Who still waits at the end waits no
    longer."""
    with meeting_place() as place:
        leave = place / "answer"
        try:
            yield leave
        finally:
            leave.touch()


def begun(leave: Path) -> int:
    """How many requests that name this file HELD models have in hand, or had."""
    return len(list(leave.parent.glob("begun-*")))


def is_running(pid: int) -> bool:
    """Whether anything of it is left: its first thread may have ended and others still hold its
    sockets, on which a request would be lost with it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "(zombie)" not in status or "Threads:\t1\n" not in status


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
        return cls.found(data_dir)

    @classmethod
    def found(cls, data_dir: Path) -> Server:
        """The one that runs on a data directory, however it was started."""
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
                config=Config(
                    **{
                        "read_timeout": PATIENCE_SECONDS,
                        "retries": {"total_max_attempts": 1},
                        **options,
                    }
                ),
            )

    @property
    def run_dir(self) -> Path:
        return Settings(self.data_dir).run_dir

    def processes(self) -> dict[str, int]:
        """The supervisor and its children, as the supervisor tells them: name → pid."""
        document = json.loads((self.run_dir / "processes.json").read_bytes())
        children = {child["name"]: child["pid"] for child in document["children"]}
        return {"supervisor": document["pid"], **children}

    def kill(self, name: str) -> int:
        """Kill one of its processes and wait until there is another; its pid."""
        before = self.processes()[name]
        os.kill(before, signal.SIGKILL)

        def another() -> int | None:
            now = self.processes().get(name, before)
            return None if now == before else now

        pid: int = wait_until(another)
        return pid

    def kill_control(self) -> None:
        """And wait until the next one answers."""
        self.kill("control")
        wait_until(self.answers)

    def answers(self) -> bool:
        """Whether control does."""
        try:
            self.client("inservice").describe_server()
        except (BotoCoreError, ClientError):
            return False
        return True

    def instances(self, endpoint: str = "") -> list[dict[str, Any]]:
        """All of them, or an endpoint's, as DescribeServer has them, the oldest first."""
        seen = self.client("inservice").describe_server()["Instances"]
        mine = [one for one in seen if not endpoint or one["EndpointName"] == endpoint]
        return sorted(mine, key=lambda one: one["StartedAt"])

    def ready_pids(self, endpoint: str = "") -> set[int]:
        return {one["Pid"] for one in self.instances(endpoint) if one["State"] == "Ready"}

    def history(self, endpoint: str) -> list[str]:
        """What the endpoint's history tells, oldest first."""
        told = self.client("inservice").list_deployment_events(EndpointName=endpoint)
        assert "NextToken" not in told, "a page is all that was meant to be asked for here"
        events = [json.loads(event["Event"]) for event in told["Events"]]
        return [event["detail"]["InService"]["Message"] for event in events]

    def status(self) -> dict[str, Any]:
        """What the command says. An interpreter is started for it: who waits asks the above."""
        finished = run_cli("status", "--output=json", data_dir=self.data_dir)
        assert finished.returncode == 0, finished.stderr
        document: dict[str, Any] = json.loads(finished.stdout)
        return document

    def pids(self) -> list[int]:
        """Everything that belongs to this server, found by its data directory, not by its word."""
        mark = os.fsencode(self.data_dir)
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdecimal() and int(process.name) != os.getpid()
            if mark in _read(process / "cmdline") or mark in _read(process / "environ")
        ]

    def stop(self) -> None:
        """As `inservice down` does, in this process; and nothing is left."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = down.run([f"--data-dir={self.data_dir}"])
        assert code == 0, said.getvalue()
        wait_until(lambda: not self.pids())

    def start_again(self, *options: str) -> None:
        """After it was stopped or killed; it may be found elsewhere then."""
        again = Server.start(self.data_dir, *options)
        self.url, self.credentials = again.url, again.credentials
        self._clients.clear()

    def log(self) -> str:
        return (self.data_dir / "logs" / "server.log").read_text()

    # ── the hosting flow ────────────────────────────────────────────────────────────────────────
    def create_model(self, name: str, url: str, image: str = PLAIN) -> None:
        self.client("sagemaker").create_model(
            ModelName=name, PrimaryContainer={"Image": image, "ModelDataUrl": url}
        )

    def create_config(self, name: str, *variants: dict[str, Any]) -> None:
        self.client("sagemaker").create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants)
        )

    def describe(self, name: str) -> dict[str, Any]:
        described: dict[str, Any] = self.client("sagemaker").describe_endpoint(EndpointName=name)
        return described

    def settled(self, name: str) -> dict[str, Any]:
        """The endpoint's description once it is in no transition any more."""
        moving = {"Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting"}

        def settled() -> dict[str, Any] | None:
            described = self.describe(name)
            return None if described["EndpointStatus"] in moving else described

        answer: dict[str, Any] = wait_until(settled)
        return answer

    def invoke(self, name: str, body: str = "hello", **options: Any) -> Any:
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name, Body=body.encode(), ContentType="text/plain", **options
        )
        return json.loads(answer["Body"].read())


def _read(file: Path) -> bytes:
    """Of a process, which may have ended meanwhile."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


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
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=_users_own(environment),
        check=False,
    )


def _users_own(environment: Mapping[str, str]) -> dict[str, str]:
    """That of somebody who has set nothing but this."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    return {**clean, "AWS_EC2_METADATA_DISABLED": "true", **environment}


def run_here(*words: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, for commands that ask a server that runs: an interpreter of its own
    costs each of them ten times what it does."""
    with mock.patch.dict(os.environ, _users_own(environment), clear=True):
        return run_in_this_shell(*words, data_dir=data_dir)


def run_in_this_shell(*words: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """The same, with the environment as it is."""
    command = [*words, f"--data-dir={data_dir}"]
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(command)
        except SystemExit as left:
            code = int(left.code or 0)
    said, complained = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(command, code, said, complained)
