"""A worker as a process: inherited sockets, the channel to control, heartbeat, drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inservice.channel.counts import InvocationRow
from inservice.channel.tables import encode_table
from inservice.routing.table import RoutingTable
from inservice.transport.census import make_census
from inservice.transport.server import Request, Response, Server, serve

from .rig import echo, fleet, read_answer, run, signed, table_of


@dataclass
class Control:
    """Control's end of the channel: what workers said, and a way to talk to them.

    It speaks version 1 of the channel, as a control does that is not renewed yet.
    """

    path: Path
    heard: list[dict[str, Any]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    acknowledging: bool = True
    seqs: set[int] = field(default_factory=set)
    rows: list[InvocationRow] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, self.path, limit=1 << 24)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        self.path.unlink(missing_ok=True)

    def say(self, line: bytes) -> None:
        for writer in self.writers:
            writer.write(line + b"\n")

    def push(self, table: RoutingTable) -> None:
        self.say(b'{"table":' + encode_table(table) + b"}")

    async def until(self, what: dict[str, Any]) -> None:
        """Wait until a worker has said so."""
        async with asyncio.timeout(10):
            while what not in self.heard:
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while line := await reader.readline():
            message = msgspec.json.decode(line)
            self.heard.append(message)
            if "metrics" in message and self.acknowledging:
                seq = message["metrics"]["seq"]
                if seq not in self.seqs:
                    self.seqs.add(seq)
                    self.rows += msgspec.convert(message["metrics"]["rows"], list[InvocationRow])
                writer.write(msgspec.json.encode({"metrics_ack": seq}) + b"\n")
        writer.close()
        if writer in self.writers:
            self.writers.remove(writer)


@dataclass
class Plane:
    directory: Path
    listening: socket.socket
    control: Control
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    models: list[Server] = field(default_factory=list)
    beats: int = -1  # of the worker that was started last
    earlier: list[int] = field(default_factory=list)  # of those before it
    census: int = field(default_factory=lambda: make_census(4))

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    def start_worker(self, index: int = 3) -> subprocess.Popen[bytes]:
        if self.beats >= 0:
            self.earlier.append(self.beats)  # a worker that nobody follows any more ends
        self.beats, theirs = os.pipe()
        os.set_blocking(self.beats, False)
        command = [
            *(sys.executable, "-m", "inservice.gateway.worker"),
            *("--listen-fd", str(self.listening.fileno()), "--heartbeat-fd", str(theirs)),
            *("--routes", str(self.directory / "routes.json"), "--index", str(index)),
            *("--census-fd", str(self.census)),
            *("--channel", str(self.control.path)),
            *("--control", str(self.directory / "control.sock"), "--drain-seconds", "5"),
        ]
        worker = subprocess.Popen(
            command,
            pass_fds=[self.listening.fileno(), theirs, self.census],
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        self.workers.append(worker)
        return worker

    async def invoke(self, body: bytes = b"{}") -> tuple[int, dict[bytes, bytes], bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(signed(f"127.0.0.1:{self.port}", body))
        try:
            return await read_answer(reader)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def plane(table: RoutingTable | None = None) -> AsyncIterator[Plane]:
    directory = Path(tempfile.mkdtemp(prefix="gw"))
    if table is not None:
        (directory / "routes.json").write_bytes(encode_table(table))
    control = Control(directory / "routes.sock")
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    it = Plane(directory, listening, control)
    try:
        yield it
    finally:
        for worker in it.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        for model in it.models:
            await model.drain(0.1)
        if control.server is not None:
            await control.stop()
        for descriptor in (it.beats, *it.earlier):
            os.close(descriptor)
        os.close(it.census)
        listening.close()
        shutil.rmtree(directory)


async def ended(worker: subprocess.Popen[bytes]) -> int:
    return await asyncio.wait_for(asyncio.to_thread(worker.wait), 15)


@pytest.fixture
def model_path() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="gw"))
    yield directory / "m"
    shutil.rmtree(directory)


def test_tables_are_followed_acknowledged_and_never_gone_back_on(model_path: Path) -> None:
    async def test() -> None:
        model = await serve(echo, path=model_path)
        address = f"unix:{model_path}"
        async with plane(table_of(fleet("f", address), version=5)) as it:
            await it.control.start()
            it.start_worker()
            async with asyncio.timeout(10):
                while not it.control.heard:
                    await asyncio.sleep(0.01)
            hello = it.control.heard[0]["hello"]
            assert (hello["index"], hello["version"]) == (3, 5)
            assert (await it.invoke(b"x"))[2] == b"x"

            it.control.push(table_of(fleet("f"), version=7))
            await it.control.until({"ack": 7})
            assert (await it.invoke())[0] == 503

            for refused in (
                b'{"table":' + encode_table(table_of(fleet("f", address), version=6)) + b"}",
                b'{"table":{"version":9,"endpoints":[],"keys":[',
                b'{"table":{"version":9}}',
                b"garbage",
            ):
                it.control.heard.clear()
                it.control.say(refused)
                async with asyncio.timeout(10):  # it answers, or it hangs up and calls again
                    while not (it.control.heard and it.control.writers):
                        await asyncio.sleep(0.01)
                assert {"ack": 6} not in it.control.heard
                assert (await it.invoke())[0] == 503

            await it.control.stop()
            assert (await it.invoke())[0] == 503  # still served, from what it has
            it.control.heard.clear()
            await it.control.start()
            async with asyncio.timeout(10):
                while not it.control.heard:
                    await asyncio.sleep(0.01)
            assert it.control.heard[0]["hello"]["version"] == 7
        await model.drain(0.1)

    run(test)


@pytest.mark.parametrize(
    "broken",
    [b"", b"null", b'{"version":9,"endpoints":[],"keys":[', b"\xff" * 99, b"[" * 100_000, None],
    ids=["empty", "null", "half", "garbage", "deep", "a directory"],
)
def test_a_worker_whose_file_is_no_table_waits_for_control(
    model_path: Path, broken: bytes | None
) -> None:
    """B13. Until control is there it knows no key; that is no reason to call anybody a stranger."""

    async def test() -> None:
        model = await serve(echo, path=model_path)
        async with plane() as it:
            it.models.append(model)
            path = it.directory / "routes.json"
            path.mkdir() if broken is None else path.write_bytes(broken)
            it.start_worker()
            for body in (b"{}", b"x" * 500_000):
                status, headers, _ = await it.invoke(body)
                assert (status, headers[b"x-amzn-errortype"]) == (503, b"serviceunavailable")
            await it.control.start()
            async with asyncio.timeout(10):
                while not it.control.heard:
                    await asyncio.sleep(0.01)
            assert it.control.heard[0]["hello"]["version"] == -1
            it.control.push(table_of(fleet("f", f"unix:{model_path}")))
            await it.control.until({"ack": 1})
            assert (await it.invoke(b"x"))[2] == b"x"

    run(test)


def test_counts_survive_a_control_that_goes_away(model_path: Path) -> None:
    async def test() -> None:
        model = await serve(echo, path=model_path)
        async with plane(table_of(fleet("f", f"unix:{model_path}"))) as it:
            await it.control.start()
            it.control.acknowledging = False
            worker = it.start_worker()
            for _ in range(20):
                assert (await it.invoke())[0] == 200
            async with asyncio.timeout(10):
                while not any("metrics" in message for message in it.control.heard):
                    await asyncio.sleep(0.01)
            await it.control.stop()
            for _ in range(20):
                assert (await it.invoke())[0] == 200
            it.control.acknowledging = True
            await it.control.start()
            worker.send_signal(signal.SIGTERM)
            assert await ended(worker) == 0
            rows = it.control.rows
            assert sum(row.invocations for row in rows) == 40
            assert sum(row.model_latency[0] for row in rows) == 40
            assert {(row.endpoint, row.fleet, row.config) for row in rows} == {
                ("e", "f", "f-config")
            }
        await model.drain(0.1)

    run(test)


def test_sigterm_finishes_what_is_in_flight_and_takes_nothing_new(model_path: Path) -> None:
    async def test() -> None:
        arrived = asyncio.Event()

        async def slow(request: Request) -> Response:
            arrived.set()
            await asyncio.sleep(0.3)
            return Response(200, (), request.body)

        model = await serve(slow, path=model_path)
        async with plane(table_of(fleet("f", f"unix:{model_path}"))) as it:
            await it.control.start()
            old = it.start_worker()
            assert (await it.invoke(b"warm"))[0] == 200
            arrived.clear()
            in_flight = asyncio.create_task(it.invoke(b"late"))
            await arrived.wait()
            it.start_worker()
            old.send_signal(signal.SIGTERM)
            status, headers, body = await in_flight
            assert (status, body) == (200, b"late")
            assert headers[b"connection"] == b"close"
            assert await ended(old) == 0
            assert (await it.invoke(b"new"))[2] == b"new"  # the other worker, the same socket
        await model.drain(0.1)

    run(test)


def test_it_beats_and_ends_when_nobody_listens_to_its_heart() -> None:
    async def test() -> None:
        async with plane() as it:
            worker = it.start_worker()
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(BlockingIOError):
                        if os.read(it.beats, 100):
                            break
                    await asyncio.sleep(0.01)
            os.close(it.beats)
            it.beats = os.open(os.devnull, os.O_RDONLY)
            assert await ended(worker) == 0

    run(test)
