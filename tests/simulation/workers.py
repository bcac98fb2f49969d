"""Gateway workers: the shipped table of a worker, and a channel that is late, broken and restarted.

`Routes` is what a real worker serves from, `Channel` how it follows control; here is what surrounds
them: starting from the files, dying, and connections that break.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path

from inservice.channel.following import Channel
from inservice.channel.tables import Delta
from inservice.channel.worker import WorkerEnd
from inservice.clock import Clock
from inservice.gateway.routes import Routes
from inservice.gateway.runtime.denials import Refused
from inservice.ids import EndpointKey
from inservice.routing.table import EndpointRoute, RoutingTable
from tests.simulation.clock import MachineClock, VirtualClock
from tests.simulation.loop import Process, VirtualLoop

_PIDS_FROM = 4_000_000
"""Where no machine that runs tests comes to: nothing that looks a process up finds one of this
host."""


class Worker:
    """One life of a gateway worker."""

    def __init__(
        self, process: Process, clock: Clock, run_dir: Path, index: int, on_table: OnTable
    ) -> None:
        self.index = index
        self.process = process
        self.routes = Routes(run_dir / "routes.json", lambda ids, addresses: None)
        self.serves = False  # it has begun to take invocations
        self._channel = _Following(run_dir / "routes.sock", self, clock)
        self._on_table = on_table

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

    @property
    def connected_since(self) -> float | None:
        """When it reached control, if it has."""
        return self._channel.connected_since

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        """`channel.worker.Serving`."""
        before = self.table
        self.routes.serve(table, delta)
        self._on_table(self, before)

    async def work(self, starting_seconds: float) -> None:
        """From its start to its kill."""
        await asyncio.sleep(starting_seconds)
        self.routes.load()
        self.serves = True
        self._on_table(self, RoutingTable(-1, {}, {}))
        await self._channel.follow()

    def disconnect(self) -> None:
        """The connection breaks; it will find another."""
        self._channel.disconnect()


class _Following(Channel):
    """The channel of a process that has another pid than ours, counts nothing, and can break."""

    def __init__(self, path: Path, worker: Worker, clock: Clock) -> None:
        super().__init__(path, worker.index, worker, _Uncounted(), Refused(), clock)
        self._end = WorkerEnd(worker, worker.process.pid, worker.index)
        self.connected_since: float | None = None

    def disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _converse(self) -> None:
        self.connected_since = asyncio.get_running_loop().time()
        try:
            await super()._converse()
        finally:
            self.connected_since = None


class _Uncounted:
    """No invocations, so no counts."""

    def flush(self, at: float) -> bytes | None:
        return None

    def unconfirmed(self) -> list[bytes]:
        return []

    def confirm(self, seq: int) -> None:
        pass


OnTable = Callable[[Worker, RoutingTable], None]
"""Called with a worker that serves by another table now, and the one before."""


class Supervisor:
    """Starts workers again, and says in `processes.json` who lives. It is never killed."""

    def __init__(
        self, loop: VirtualLoop, machine: MachineClock, run_dir: Path, on_table: OnTable
    ) -> None:
        self.loop = loop
        self.machine = machine
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
        process = Process(self.loop, f"gateway-{index}", next(self._pids))
        clock = VirtualClock(self.machine)
        worker = Worker(process, clock, self.run_dir, index, self._on_table)
        self.workers[index : index + 1] = [worker]
        children = [{"name": f"gateway-{w.index}", "pid": w.process.pid} for w in self.workers]
        draft = self.run_dir / f"processes.json.{next(self._fresh)}"
        draft.write_text(json.dumps({"children": children}))
        draft.rename(self.run_dir / "processes.json")
        worker.process.begin(worker.work(starting_seconds))
