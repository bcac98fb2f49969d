"""Gateway workers: the shipped table of a worker, and a channel that is late, broken and restarted.

`Routes` is what a real worker serves from; here is what surrounds it: starting from the files,
connecting, saying hello, hearing, acknowledging.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from inservice.gateway.routes import RECONNECT_SECONDS, Routes
from inservice.ids import EndpointKey
from inservice.routing import EndpointRoute, RoutingTable
from tests.simulation.loop import Process, VirtualLoop

_PIDS_FROM = 100_000_000
"""Beyond every pid of Linux: nothing that looks a process up finds one of this host."""


class Worker:
    """One life of a gateway worker."""

    def __init__(
        self, loop: VirtualLoop, run_dir: Path, index: int, pid: int, on_table: OnTable
    ) -> None:
        self.index = index
        self.pid = pid
        self.process = Process(loop, f"gateway-{index}")
        self.routes = Routes(run_dir / "routes.json", lambda ids, addresses: None)
        self.serves = False  # it has begun to take invocations
        self.connected_since: float | None = None
        self._channel = run_dir / "routes.sock"
        self._on_table = on_table
        self._writer: asyncio.StreamWriter | None = None

    @property
    def table(self) -> RoutingTable:
        """What it chooses from; nothing before it has begun."""
        return self.routes.table

    def route(self, key: EndpointKey) -> EndpointRoute | None:
        """What it knows of an endpoint."""
        return self.table.endpoints.get(key) if self.serves else None

    def lists(self, instance_id: str) -> bool:
        """Whether an invocation may go to this instance."""
        return self.serves and any(
            instance.id == instance_id
            for route in self.table.endpoints.values()
            for fleet in route.fleets
            for instance in fleet.instances
        )

    async def work(self, starting_seconds: float) -> None:
        """From its start to its kill."""
        await asyncio.sleep(starting_seconds)
        self.routes.load()
        self.serves = True
        self._on_table(self, RoutingTable(-1, {}, {}))
        while True:
            with contextlib.suppress(OSError):
                await self._converse()
            self.connected_since = self._writer = None
            await asyncio.sleep(RECONNECT_SECONDS)

    def disconnect(self) -> None:
        """The connection breaks; it will find another."""
        if self._writer is not None:
            self._writer.close()

    async def _converse(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._channel, limit=LINE_BYTES_MAX)
        self._writer = writer
        self.connected_since = asyncio.get_running_loop().time()
        hello = {"pid": self.pid, "index": self.index, "version": self.table.version}
        writer.write(msgspec.json.encode({"hello": hello}) + b"\n")
        while line := await reader.readline():
            writer.write(self._hear(line) + b"\n")

    def _hear(self, line: bytes) -> bytes:
        message, before = msgspec.json.decode(line), self.table
        if "tell" in message:
            return b'{"told":' + encode_table(before) + b"}"
        word = "ack"
        if "change" in message:
            word = "ack" if self.routes.change(msgspec.json.encode(message["change"])) else "missed"
        else:
            self.routes.offer(msgspec.json.encode(message["table"]))
        if self.table is not before:
            self._on_table(self, before)
        return msgspec.json.encode({word: self.table.version})


OnTable = Callable[[Worker, RoutingTable], None]
"""Called with a worker that serves by another table now, and the one before."""


class Supervisor:
    """Starts workers again, and says in `processes.json` who lives. It is never killed."""

    def __init__(self, loop: VirtualLoop, run_dir: Path, on_table: OnTable) -> None:
        self.loop = loop
        self.run_dir = run_dir
        self.workers: list[Worker] = []
        self._on_table = on_table
        self._pids = itertools.count(_PIDS_FROM)
        self._fresh = itertools.count()

    def add(self, starting_seconds: float) -> None:
        """One worker more."""
        self._start(len(self.workers), starting_seconds)

    def restart(self, index: int, starting_seconds: float) -> Process:
        """A worker dies, and the next takes its place. Gives the process that is no more."""
        dead = self.workers[index].process
        dead.kill()
        self._start(index, starting_seconds)
        return dead

    def serving(self) -> list[Worker]:
        """The workers that take invocations."""
        return [worker for worker in self.workers if worker.serves]

    def _start(self, index: int, starting_seconds: float) -> None:
        worker = Worker(self.loop, self.run_dir, index, next(self._pids), self._on_table)
        self.workers[index : index + 1] = [worker]
        children = [{"name": f"gateway-{w.index}", "pid": w.pid} for w in self.workers]
        draft = self.run_dir / f"processes.json.{next(self._fresh)}"
        draft.write_text(json.dumps({"children": children}))
        draft.rename(self.run_dir / "processes.json")
        worker.process.begin(worker.work(starting_seconds))
