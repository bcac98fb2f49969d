"""Images that are no environment, run as containers by a real engine, behind a real server."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inservice.runtimes.oci.engine import Engine
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, archive, variant
from tests.contracts.oci_stage import SERVER, OciStage, load, oci_stage
from tests.waiting import wait_until

IMAGE = "localhost/inservice-echo:1"

PROGRAM = """
mkdir -p /run
(i=0; while true; do i=$((i + 1)); echo "line $i"; sleep 0.01; done) &
chatter=$!
nc -ll -p $SAGEMAKER_BIND_TO_PORT -e /bin/answer-http & server=$!
trap 'kill $server $chatter; exit 0' TERM
wait $server
"""
"""Listens, and prints without end."""


@dataclass
class Containers:
    """A server, and the engine that its containers run in."""

    server: Server
    stage: OciStage

    def ask(self, call: Any) -> Any:
        return asyncio.run(Engine(self.stage.run_dir, self.stage.environment).ask(call))

    def names(self) -> set[str]:
        found = self.ask(lambda client: client.containers(all=True))
        return {name.lstrip("/") for each in found for name in each["Names"]}


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    with oci_stage() as stage:
        entry = f"#!/bin/sh\n[ $1 = serve ] || exit 64\n{PROGRAM}"
        files = {"bin/entry": entry, "bin/answer-http": SERVER}
        asyncio.run(load(stage.engine, IMAGE, files, 'ENTRYPOINT ["/bin/entry"]'))
        server = Server.start(stage.root / "data", environment=stage.environment)
        try:
            yield Containers(server, stage)
        finally:
            server.stop()


def serving(server: Server, url: str, **of_model: Any) -> str:
    name = f"ep-{uuid.uuid4().hex[:8]}"
    server.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url, "Environment": {"MINE": "a b=c"}},
        **of_model,
    )
    server.create_config(name, variant(name, count=2))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = server.settled(name)
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    return name


def numbers(log: str) -> list[int]:
    return [int(n) for n in re.findall(r"^\d+ line (\d+)$", log, re.MULTILINE)]


def grown(path: Path) -> list[int]:
    """The numbers in a log, once there are more than there were."""
    before = len(numbers(path.read_text()))
    wait_until(lambda: len(numbers(path.read_text())) > before)
    return numbers(path.read_text())


def test_a_container_serves_through_the_death_of_control_and_goes_with_its_endpoint(
    containers: Containers, tmp_path: Path
) -> None:
    server = containers.server
    strangers = {"Image": IMAGE, "Cmd": ["sleep"], "Labels": {"inservice.instance": "x/0"}}
    containers.ask(lambda client: client.create_container_from_config(strangers, "inservice-x-0"))
    name = serving(server, archive(tmp_path / "model.tar.gz", {"name.txt": "of the archive"}))

    said = server.invoke(name, "it's me", CustomAttributes="trace=7")
    assert said["argument"] == "serve"
    assert said["body"] == "it's me"
    assert (said["type"], said["attributes"]) == ("text/plain", "trace=7")
    assert said["model"] == "of the archive"
    assert said["mine"] == "a b=c"
    assert said["port"] == "8080"
    assert said["host"] == "primary"
    assert said["wrote"] == "no", "the model is read-only"

    streamed = server.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=name, Body=b"in parts", ContentType="text/plain"
    )
    parts = [each["PayloadPart"]["Bytes"] for each in streamed["Body"]]
    assert json.loads(b"".join(parts))["body"] == "in parts"

    seen = server.instances(name)
    assert [one["Runtime"] for one in seen] == ["oci", "oci"]
    before = server.ready_pids(name)
    with Crowd(server, name) as crowd:
        server.kill_control()
        assert server.describe(name)["EndpointStatus"] == "InService"
    assert crowd.failures == []
    assert len(crowd.answers) > 10
    assert server.ready_pids(name) == before

    logs = list((server.data_dir / "logs" / "endpoints").rglob("*.log"))
    ours = [path for path in logs if name in str(path)]
    assert len(ours) == 2
    for path in ours:
        kept = grown(path)
        assert kept == list(range(1, len(kept) + 1)), "no line is lost, and none is there twice"

    server.client("sagemaker").delete_endpoint(EndpointName=name)
    wait_until(lambda: not server.instances(name))
    assert containers.names() == {"inservice-x-0"}, "nobody else's is touched"
    status = server.status()["container_engine"]
    assert status["name"] in ("Podman", "Docker")
    assert status["version"]
    containers.ask(lambda client: client.remove_container("inservice-x-0"))


def test_an_image_that_cannot_be_had_says_what_to_do(containers: Containers) -> None:
    server = containers.server
    name = f"ep-{uuid.uuid4().hex[:8]}"
    image = "registry.invalid/nobody/model:3"
    server.client("sagemaker").create_model(ModelName=name, PrimaryContainer={"Image": image})
    server.create_config(name, variant(name))
    server.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    described = server.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert f"The image '{image}' could not be pulled" in described["FailureReason"]
    assert "This host cannot reach registry.invalid" in described["FailureReason"]
    server.client("sagemaker").delete_endpoint(EndpointName=name)
