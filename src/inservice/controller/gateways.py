"""Control's end of the channel to the gateway workers: tables go out, acknowledgements come in.

What changes is written down before it is pushed (`transport.table_file`), so a worker that starts
while control is gone begins with the newest table. A change of one endpoint is one short line to
each worker, however many endpoints there are; the whole table goes to a worker that has missed one.
Versions only grow, also over restarts and over a lost file: they are milliseconds since the epoch,
or the last version plus one if that is more. A fleet may be stopped when every live worker has
acknowledged a table without it; who lives is what the supervisor says in `processes.json`, so a
worker that was started and has not called yet counts as one that has acknowledged nothing.

A control that finds no table, or a damaged one, while workers serve asks them for theirs before it
publishes anything: they know more than it does, and must not be told to know less.

The channel is newline-delimited JSON in both directions:

    control → worker   {"table": …} · {"change": …} · {"tell": true} · {"metrics_ack": n}
    worker → control   {"hello": {"pid", "index", "version"}} · {"ack": n} · {"missed": n}
                       {"told": table} · {"metrics": {"seq": n, "rows": […]}}
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import structlog

from inservice.clock import Clock
from inservice.errors import ServiceUnavailable
from inservice.ids import EndpointKey
from inservice.routing import EndpointRoute, KeyRoute, RoutingTable
from inservice.threads import Threads
from inservice.transport.table_file import TableFile
from inservice.transport.tables import (
    LINE_BYTES_MAX,
    Change,
    changed_by_all,
    decode_table,
    encode_change,
    encode_table,
)

RECOVERY_SECONDS = 10.0
"""How long live workers are waited for that may know a table which the disk does not. They call
within a quarter of a second; one that is stuck is killed within five."""

LOOK_SECONDS = 0.25
"""Between looks at who lives: the end of a worker that was waited for is news as well."""

log = structlog.get_logger()

MetricsSink = Callable[[str, int, Sequence[Any]], None]
"""Takes (worker, seq, rows); returns when they are as durable as they are going to be."""


@dataclass
class Worker:
    """A connected gateway worker."""

    pid: int
    life: str  # names this life of the worker: counts are numbered from 1 in each
    writer: asyncio.StreamWriter
    version: int = -1  # the newest table it has acknowledged
    sent: int = -1  # the newest that was sent to it
    asked: bool = False  # to tell its table, and has not yet
    catching_up: bool = False  # what it has missed is on its way


class Gateways:
    """Publishes routing tables, and knows what every worker serves from."""

    def __init__(
        self,
        run_dir: Path,
        clock: Clock,
        *,
        on_acknowledged: Callable[[], None],
        on_metrics: MetricsSink,
    ) -> None:
        """`on_acknowledged` is called when workers may have come to serve by a newer table."""
        self._file = TableFile(run_dir / "routes.json")
        self._channel = run_dir / "routes.sock"
        self._processes = run_dir / "processes.json"
        self._clock = clock
        self._on_acknowledged = on_acknowledged
        self._on_metrics = on_metrics
        self._threads = Threads("counts")
        self._encoding = Threads("tables")
        self._workers: dict[int, Worker] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._alive: tuple[object, list[int]] | None = None  # of processes.json: which, and who
        self._folding = False
        self._recovering = False
        self.table = RoutingTable(0, {}, {})

    async def start(self, *, serving: bool) -> None:
        """Read the last table and listen for workers. If there should be one, because endpoints
        are on record (`serving`), a lost one is asked of the workers."""
        found = self._last_published()
        self._recovering = serving and (found is None or not self._file.journal.exists())
        self._channel.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, self._channel, limit=LINE_BYTES_MAX
        )
        self.table = found or RoutingTable(0, {}, {})
        if self._recovering:
            await self._recover()
        if self.table.version:
            # What a crash left half-written behind the journal's last line would end the reading
            # of whatever is added.
            try:
                self._file.replace(encode_table(self.table), self.table.version)
            except OSError as full:  # what was published stands, and the next change tries again
                log.warning("the routing table cannot be written", why=str(full))
        self._begin(self._look_who_lives())

    async def close(self) -> None:
        """Stop listening; workers go on with the table they have."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            for worker in self._workers.values():
                worker.writer.close()
            await self._server.wait_closed()

    # ── publishing ──────────────────────────────────────────────────────────────────────────────
    def publish_route(self, key: EndpointKey, route: EndpointRoute | None) -> int:
        """Make this what workers know of an endpoint; gives the version. Raises OSError when it
        cannot be written down, and then nothing has been published."""
        return self._publish(Change(self.table.version, self._next(), endpoint=key, route=route))

    def publish_keys(self, keys: Sequence[KeyRoute]) -> None:
        """Make these the access keys that workers accept. Raises OSError, as above."""
        self._publish(Change(self.table.version, self._next(), keys=tuple(keys)))

    def _next(self) -> int:
        return max(self.table.version + 1, int(self._clock.now() * 1000))

    def _publish(self, change: Change) -> int:
        table = changed_by_all(self.table, [change])
        line = encode_change(change)
        self._file.append(line, change.version, table)
        self.table = table
        for worker in self._workers.values():
            if worker.sent == change.after:
                worker.writer.write(b'{"change":' + line[:-1] + b"}\n")
                worker.sent = change.version
            elif not self._recovering:
                self._begin(self._bring_up(worker))
        if self._file.is_long() and not self._folding:
            self._begin(self._fold())
        return change.version

    async def _fold(self) -> None:
        """A new snapshot. Encoding a large table takes long enough to be left to a thread."""
        self._folding = True
        try:
            table = self.table
            encoded = await self._encoding.run(encode_table, table)
            self._file.replace(encoded, table.version)
        except OSError as full:
            log.warning("the routing table's journal stays long", why=str(full))
        finally:
            self._folding = False

    def acknowledged(self) -> int:
        """The newest version that every live worker serves from; -1 if one has said nothing."""
        alive = self._who_lives()
        seen = [self._workers[pid].version if pid in self._workers else -1 for pid in alive]
        return min(seen, default=-1)

    # ── who lives ───────────────────────────────────────────────────────────────────────────────
    def _who_lives(self) -> list[int]:
        """Asked for every endpoint at every turn: the file is read when it is another one."""
        try:
            status = self._processes.stat()
            which = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._alive is None or self._alive[0] != which:
                children = msgspec.json.decode(self._processes.read_bytes())["children"]
                alive = [one["pid"] for one in children if one["name"].startswith("gateway-")]
                self._alive = (which, alive)
            return self._alive[1]
        except (FileNotFoundError, msgspec.DecodeError):
            return list(self._workers)

    async def _look_who_lives(self) -> None:
        before = self._which_lives()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._which_lives()
            if now != before:
                self._on_acknowledged()
            before = now

    def _which_lives(self) -> object:
        """Another one whenever the supervisor said anything, though it says the same again now: in
        between somebody may have been asked about who had not called."""
        self._who_lives()
        return self._alive and self._alive[0]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ── what was published before ───────────────────────────────────────────────────────────────
    def _last_published(self) -> RoutingTable | None:
        try:
            return self._file.read()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the last routing table cannot be read", why=str(error))
            return None

    async def _recover(self) -> None:
        """Take the newest table of those that live workers serve from."""
        deadline = asyncio.get_running_loop().time() + RECOVERY_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            alive = self._who_lives()
            if all(pid in self._workers and not self._workers[pid].asked for pid in alive):
                break
            await asyncio.sleep(0.01)
        self._recovering = False
        log.warning("the routing table was lost", recovered=self.table.version)
        newest = max((worker.version for worker in self._workers.values()), default=-1)
        if newest > self.table.version:
            self._outbid(newest)
        for worker in list(self._workers.values()):
            self._begin(self._bring_up(worker))

    # ── one worker ──────────────────────────────────────────────────────────────────────────────
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        worker: Worker | None = None
        try:
            while line := await reader.readline():
                message = msgspec.json.decode(line)
                if "hello" in message:
                    worker = self._greet(message["hello"], writer)
                elif worker is not None and "ack" in message:
                    worker.version = message["ack"]
                    self._on_acknowledged()
                elif worker is not None and "missed" in message:
                    worker.version = worker.sent = message["missed"]
                    self._begin(self._bring_up(worker))
                elif worker is not None and "told" in message:
                    self._was_told(worker, message["told"])
                elif worker is not None and "metrics" in message:
                    await self._count(worker, message["metrics"])
        except (ConnectionError, ValueError, msgspec.MsgspecError) as broken:
            log.warning("gateway worker dropped", pid=worker and worker.pid, why=str(broken))
        finally:
            if worker is not None and self._workers.get(worker.pid) is worker:
                del self._workers[worker.pid]
                self._on_acknowledged()
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    def _greet(self, hello: dict[str, int], writer: asyncio.StreamWriter) -> Worker:
        pid, version = hello["pid"], hello["version"]
        worker = Worker(pid, f"{pid}@{_born_at(pid)}", writer, version, sent=version)
        self._workers[worker.pid] = worker
        if not self._recovering:
            if version > self.table.version:
                self._outbid(version)
            self._begin(self._bring_up(worker))
            self._on_acknowledged()
        elif version > self.table.version:
            worker.asked = True
            writer.write(b'{"tell":true}\n')
        return worker

    def _outbid(self, version: int) -> None:
        """A worker serves by a newer table than we know of, and was too late to tell it. It would
        take nothing of ours until we are ahead of it."""
        log.warning("a worker has a newer routing table", version=version)
        table = RoutingTable(version + 1, self.table.endpoints, self.table.keys)
        self._file.replace(encode_table(table), table.version)
        self.table = table
        for worker in self._workers.values():
            self._begin(self._bring_up(worker))

    def _was_told(self, worker: Worker, told: object) -> None:
        worker.asked = False
        table = decode_table(msgspec.json.encode(told))
        if self._recovering and table.version > self.table.version:
            self.table = table

    async def _bring_up(self, worker: Worker) -> None:
        """Send what a worker has not got: the changes since, or the whole table."""
        if worker.catching_up:
            return
        worker.catching_up = True
        try:
            while worker.sent < self.table.version and not worker.writer.is_closing():
                if lines := self._file.sequel(worker.sent):
                    for line in lines:
                        worker.writer.write(b'{"change":' + line[:-1] + b"}\n")
                    worker.sent = self.table.version
                    continue
                table = self.table
                encoded = await self._encoding.run(encode_table, table)
                worker.writer.write(b'{"table":' + encoded + b"}\n")
                worker.sent = table.version
        finally:
            worker.catching_up = False

    async def _count(self, worker: Worker, metrics: dict[str, Any]) -> None:
        """Acknowledge rows once they are kept; rows that cannot be kept are sent again."""
        try:
            await self._threads.run(self._on_metrics, worker.life, metrics["seq"], metrics["rows"])
        except ServiceUnavailable as full:
            log.warning("metrics not kept", why=full.message)
        else:
            worker.writer.write(msgspec.json.encode({"metrics_ack": metrics["seq"]}) + b"\n")


def _born_at(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0  # gone already: what it sent last is counted all the same
