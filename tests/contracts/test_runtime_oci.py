"""What the contract of runtimes does not say of containers: theirs is a real engine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from inservice.hosting.resources import Resources
from inservice.runtimes.base import (
    EngineMissing,
    Handle,
    ImageNotRunnable,
    InstanceState,
    LaunchFailed,
    LaunchSpec,
)
from inservice.runtimes.logins import Login, Logins
from inservice.runtimes.oci import containers, records
from inservice.runtimes.oci.engine import Engine
from inservice.runtimes.oci.gates import Gates
from inservice.runtimes.oci.runtime import OciRuntime
from tests.contracts.oci_stage import HTTPD, IMAGE, OciStage, load, oci_stage
from tests.contracts.registry import registry
from tests.contracts.runtime_stages import changed, until
from tests.waiting import until as come_true

STARTING, READY, UNHEALTHY, GONE = InstanceState
pytestmark = pytest.mark.long

ENTRY = 'ENTRYPOINT ["/bin/entry"]'


@pytest.fixture(scope="module")
def stage() -> Iterator[OciStage]:
    with oci_stage() as made:
        yield made


def run(stage: OciStage, test: Callable[[], Awaitable[None]]) -> None:
    """With a runtime of its own, that is let go of at the end."""

    async def whole() -> None:
        stage.again()
        try:
            await test()
        finally:
            await stage.runtime.close()

    asyncio.run(whole())


def log_of(handle: Handle) -> str:
    assert handle.log_path is not None
    return handle.log_path.read_text() if handle.log_path.exists() else ""


async def said(handle: Handle, word: str) -> str:
    """Its log, once there is this in it."""
    await come_true(lambda: word in log_of(handle))
    return log_of(handle)


async def names(stage: OciStage) -> set[str]:
    found = await stage.engine.ask(lambda client: client.containers(all=True))
    return {name.lstrip("/") for each in found for name in each["Names"]}


async def add(stage: OciStage, name: str, labels: dict[str, str]) -> None:
    """A container that this runtime did not make."""
    body = {"Image": IMAGE, "Cmd": ["x"], "Labels": labels}
    await containers.create(stage.engine, body, name)


def test_an_isolated_container_has_no_network_and_is_reached(stage: OciStage) -> None:
    async def test() -> None:
        look = "ip -o addr; echo routes $(cat /proc/net/route | wc -l); echo looked\n"
        spec = stage.spec(script=look + HTTPD, isolated=True)
        handle = await stage.runtime.launch(spec)
        assert handle.address.startswith("unix:")
        await until(stage, handle, lambda sight: sight.state is READY)
        log = await said(handle, "looked")
        assert "127.0.0.1/8" in log
        assert "eth" not in log
        assert "routes 1" in log, "that is the line of titles"
        kept_at = records.Places(stage.run_dir, stage.state_dir).doors(spec.instance_id)
        keeper = int(kept_at.read_text().split()[0])
        os.kill(keeper, signal.SIGKILL)

        def another() -> bool:
            found = kept_at.exists() and int(kept_at.read_text().split()[0]) != keeper
            return bool(found)

        await come_true(another)
        sight = await until(stage, handle, lambda sight: sight.state is READY)
        assert sight.probes[-1].outcome == "200"
        await stage.runtime.retire(handle, 5)
        await come_true(lambda: Gates.keeper(kept_at) is None)

    run(stage, test)


class Credentials(BaseHTTPRequestHandler):
    """What a server of credentials would be."""

    def do_GET(self) -> None:
        body = f"{self.path} of this host".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


def test_code_in_a_container_finds_this_server_where_it_is_told_to(stage: OciStage) -> None:
    async def test() -> None:
        # The way is open a moment after the container has started: so AWS's SDKs try again, too.
        ask = "wget -q -O - $AWS_ENDPOINT_URL/token"
        script = f"until {ask}; do sleep 0.05; done; echo asked; {HTTPD}"
        with HTTPServer(("127.0.0.1", 0), Credentials) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            spec = replace(stage.spec(script=script), environment={"AWS_ENDPOINT_URL": url})
            handle = await stage.runtime.launch(spec)
            assert "/token of this host" in await said(handle, "asked")
            server.shutdown()
        await stage.runtime.retire(handle, 5)

    run(stage, test)


def test_what_nobody_knows_is_removed_and_what_is_others_is_not(stage: OciStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec("hangs"))
        places = records.Places(stage.run_dir, stage.state_dir)
        ours = {records.SERVER: places.server_id(), records.COOKIE: "0" * 16}
        await add(stage, "a-stray", {**ours, records.INSTANCE: "gone/0"})
        await add(stage, "a-strangers", {records.SERVER: "f" * 16, records.INSTANCE: "x/0"})
        record = places.read(handle.instance_id)
        assert record is not None
        begun = replace(
            record,
            instance_id="begun-1-v/0",
            name="a-begun",
            container_id="",
            cookie="1" * 16,
            started_at=0.0,
        )
        places.write(begun)
        await add(stage, "a-begun", {**ours, records.INSTANCE: "begun-1-v/0"})
        stage.again()
        known = [each.instance_id for each in await stage.runtime.handles()]
        assert handle.instance_id in known
        assert "begun-1-v/0" not in known
        left = await names(stage)
        assert {"a-stray", "a-begun"} & left == set()
        assert {"a-strangers", record.name} <= left
        assert places.read("begun-1-v/0") is None
        await stage.runtime.retire(handle, 0)
        await containers.remove(stage.engine, "a-strangers")

    run(stage, test)


def of_fleet(spec: LaunchSpec, fleet: str, ordinal: int) -> LaunchSpec:
    return replace(spec, instance_id=f"{fleet}/{ordinal}")


def test_a_fleet_runs_the_image_that_it_began_with_wherever_the_tag_moves(stage: OciStage) -> None:
    async def test() -> None:
        name = "localhost/inservice-moves:latest"
        serve = f"#!/bin/sh\necho 'version %s'\n{HTTPD}"
        first = await load(stage.engine, name, {"bin/entry": serve % 1}, ENTRY)
        spec = stage.spec(image=name.removesuffix(":latest"))
        old = [await stage.runtime.launch(of_fleet(spec, "moves-1-v", 0))]
        second = await load(stage.engine, name, {"bin/entry": serve % 2}, ENTRY)
        assert first != second
        stage.again()
        old.append(await stage.runtime.launch(of_fleet(spec, "moves-1-v", 1)))
        new = await stage.runtime.launch(of_fleet(spec, "moves-2-v", 0))
        for handle, version in [*((each, "version 1") for each in old), (new, "version 2")]:
            assert version in await said(handle, "version")
        stage.runtime.release(["moves-1-v"])  # what is new is kept whoever knows of it
        stage.again()
        late = await stage.runtime.launch(of_fleet(spec, "moves-2-v", 1))
        for handle in (*old, new, late):
            await stage.runtime.retire(handle, 5)

    run(stage, test)


def test_an_image_without_serve_is_no_fault_of_the_host(stage: OciStage) -> None:
    async def test() -> None:
        name = "localhost/inservice-bare:1"
        await load(stage.engine, name, {})
        spec = stage.spec(image=name)
        with pytest.raises(ImageNotRunnable, match="no program 'serve'"):
            await stage.runtime.launch(spec)
        assert spec.instance_id not in [each.instance_id for each in await stage.runtime.handles()]
        assert not [each for each in await names(stage) if spec.instance_id[:8] in each]

    run(stage, test)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        ("mkdir -p /www; exec httpd -f -p 9000 -h /www", "not listening on port 8080, but on 9000"),
        (
            "mkdir -p /www; exec httpd -f -p 127.0.0.1:8080 -h /www",
            "listening on 127.0.0.1:8080 alone, inside of the container",
        ),
        ("mkdir -p /www; exec httpd -f -p 8080 -h /www", "404"),
    ],
)
def test_what_is_wrong_with_its_port_is_said(stage: OciStage, serve: str, words: str) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(script=serve))
        sight = await until(
            stage, handle, lambda s: bool(s.probes) and s.probes[-1].outcome == words
        )
        assert sight.state is STARTING
        await stage.runtime.retire(handle, 0)

    run(stage, test)


def test_a_container_may_be_told_another_port(stage: OciStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(SAGEMAKER_BIND_TO_PORT="9001"))
        sight = await until(stage, handle, lambda s: s.state is READY)
        assert sight.probes[-1].outcome == "200"
        await stage.runtime.retire(handle, 5)

    run(stage, test)


def test_one_that_takes_too_much_memory_is_known_to_have_done_so(stage: OciStage) -> None:
    async def test() -> None:
        spec = stage.spec(script="echo begins\nexec tail /dev/zero\n")
        resources = Resources("ml.tiny", vcpus=1, memory_bytes=32 * 2**20)
        limited = replace(
            spec, workload=replace(spec.workload, resources=resources), is_limited=True
        )
        handle = await stage.runtime.launch(limited)
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert sight.out_of_memory
        assert sight.signal == "SIGKILL"
        await stage.runtime.retire(handle, 0)

    run(stage, test)


def test_no_line_is_lost_or_doubled_by_controls_that_come_and_go(stage: OciStage) -> None:
    count = 30_000
    script = f"sleep 1; seq 1 {count}; echo 'the end'; sleep 600"

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(script=script))
        while "the end" not in log_of(handle):
            await asyncio.sleep(0.05)
            left = stage.runtime
            stage.again()  # the one before was killed: nothing of it is closed in order
            await stage.runtime.look(handle)
            left._logs.close()
        lines = [line.split(" ", 1)[1] for line in log_of(handle).splitlines()]
        assert lines == [*map(str, range(1, count + 1)), "the end"]
        await stage.runtime.retire(handle, 0)

    run(stage, test)


# ── a registry ───────────────────────────────────────────────────────────────────────────────────


def test_an_image_is_pulled_as_whoever_logged_in_and_again_by_its_digest(stage: OciStage) -> None:
    async def test() -> None:
        with registry("me", "the password") as there:
            image = f"{there.host}/team/model:3"
            serve = f"#!/bin/sh\necho 'version %s'\n{HTTPD}"
            there.push("3", {"bin/entry": serve % 1}, "/bin/entry")
            told: list[str] = []
            spec = replace(stage.spec(image=image), tell=told.append)
            with pytest.raises(ImageNotRunnable, match=f"inservice image login {there.host}"):
                await stage.runtime.launch(of_fleet(spec, "pulls-1-v", 0))
            Logins(stage.state_dir).add(there.host, Login("me", "the password"))
            first = await stage.runtime.launch(of_fleet(spec, "pulls-1-v", 0))
            assert "version 1" in await said(first, "version")
            assert f"pulling image {image}" in told
            there.push("3", {"bin/entry": serve % 2}, "/bin/entry")
            there.asked.clear()
            beside = await stage.runtime.launch(of_fleet(spec, "pulls-1-v", 1))
            assert not there.asked, "what is here is not asked for"
            for handle in (first, beside):
                await stage.runtime.retire(handle, 5)
            await stage.engine.ask(lambda client: client.remove_image(image, force=True))
            again = await stage.runtime.launch(of_fleet(spec, "pulls-1-v", 0))
            assert "version 1" in await said(again, "version"), "and not what the tag is now"
            new = await stage.runtime.launch(of_fleet(spec, "pulls-2-v", 0))
            assert "version 2" in await said(new, "version")
            with pytest.raises(ImageNotRunnable, match="has no such image"):
                await stage.runtime.launch(changed(spec, image=f"{there.host}/team/model:4"))
            for handle in (again, new):
                await stage.runtime.retire(handle, 5)

    run(stage, test)


# ── no engine ────────────────────────────────────────────────────────────────────────────────────


def nowhere(root: Path, **environment: str) -> OciRuntime:
    """A runtime of a host that has no engine."""
    alone = {"PATH": str(root), "XDG_RUNTIME_DIR": str(root), **environment}
    engine = Engine(root / "run", alone)
    return OciRuntime(root / "run", root / "state", root / "log", engine=engine)


def dead_socket(path: Path) -> Path:
    """One that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return path


def test_without_an_engine_it_is_said_how_to_have_one(stage: OciStage) -> None:
    async def test() -> None:
        away = stage.root / "away"
        away.mkdir()
        places = (
            ("tcp://10.0.0.1:2375", "models are run by an engine of this host"),
            (f"unix://{dead_socket(away / 'dead.sock')}", "Nobody answers at DOCKER_HOST"),
        )
        for place, words in places:
            runtime = nowhere(away, DOCKER_HOST=place)
            with pytest.raises(EngineMissing, match=words):
                await runtime.launch(changed(stage.spec(), model=None))
            assert await runtime.handles() == []
            await runtime.shut_down(0)

    asyncio.run(test())


def test_what_runs_is_known_while_its_engine_is_away(stage: OciStage) -> None:
    """And is not ended by who cannot: the next turn asks again."""

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await until(stage, handle, lambda s: s.state is READY)
        await stage.runtime.close()
        away = Engine(stage.run_dir, {"DOCKER_HOST": "unix:///nowhere.sock"})
        runtime = OciRuntime(stage.run_dir, stage.state_dir, stage.log_dir, engine=away)
        assert handle in await runtime.handles()
        assert await runtime.recover(handle) == handle
        assert (await runtime.look(handle)).state is READY
        with pytest.raises(LaunchFailed, match="could not be ended"):
            await runtime.retire(handle, 0)
        assert (await runtime.look(handle)).state is READY
        await runtime.close()
        stage.again()
        await stage.runtime.retire(handle, 5)
        assert (await stage.runtime.look(handle)).state is GONE

    run(stage, test)


def test_an_engine_that_ended_is_started_again(stage: OciStage) -> None:
    """Podman's service ends by itself; and whoever has it running may end it."""

    async def test() -> None:
        found = await stage.engine.found()
        if "podman.sock" not in str(found.socket) or stage.run_dir not in found.socket.parents:
            pytest.skip(f"the engine at {found.socket} is not ours to end")
        await stage.engine.end_service()
        handle = await stage.runtime.launch(stage.spec("hangs"))
        assert (await stage.runtime.look(handle)).state is STARTING
        await stage.engine.end_service()
        await stage.runtime.retire(handle, 0)
        assert (await stage.runtime.look(handle)).state is GONE

    run(stage, test)


def test_the_state_of_a_server_is_readable_by_it_alone(stage: OciStage) -> None:
    for path in (stage.state_dir, *stage.state_dir.rglob("*"), stage.run_dir / "oci"):
        assert path.stat().st_mode & 0o077 == 0, path
