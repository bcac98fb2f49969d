"""Control's end of the channel to the gateway workers: tables go out, acknowledgements come in.

A table is written to `routes.json` before it is pushed, so a worker that starts while control is
gone begins with the newest one. Versions only grow, also over restarts and over a lost file: they
are milliseconds since the epoch, or the last version plus one if that is more. A fleet may be
stopped when every live worker has acknowledged a table without it; who lives is what the
supervisor says in `processes.json`, so a worker that was started and has not called yet counts
as one that has acknowledged nothing.

The channel is newline-delimited JSON in both directions:

    control → worker   {"table": …} · {"metrics_ack": n}
    worker → control   {"hello": {"pid", "index", "version"}} · {"ack": version}
                       {"metrics": {"seq": n, "rows": […]}}
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import structlog

from inservice.clock import Clock
from inservice.errors import ServiceUnavailable
from inservice.routing import RoutingTable
from inservice.threads import Threads
from inservice.transport.tables import decode_table, encode_table

LINE_BYTES_MAX = 16 * 1024 * 1024
"""The longest line a worker may send: a second of metric rows of many endpoints."""

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


class Gateways:
    """Publishes routing tables, and knows what every worker serves from."""

    def __init__(
        self,
        run_dir: Path,
        clock: Clock,
        *,
        on_worker: Callable[[], None],
        on_acknowledged: Callable[[], None],
        on_metrics: MetricsSink,
    ) -> None:
        self._routes = run_dir / "routes.json"
        self._channel = run_dir / "routes.sock"
        self._processes = run_dir / "processes.json"
        self._clock = clock
        self._on_worker = on_worker
        self._on_acknowledged = on_acknowledged
        self._on_metrics = on_metrics
        self._threads = Threads("counts")
        self._workers: dict[int, Worker] = {}
        self._server: asyncio.Server | None = None
        self.table = self._last_published()

    async def start(self) -> None:
        """Listen for workers."""
        self._channel.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, self._channel, limit=LINE_BYTES_MAX
        )

    async def close(self) -> None:
        """Stop listening; workers go on with the table they have."""
        if self._server is not None:
            self._server.close()
            for worker in self._workers.values():
                worker.writer.close()
            await self._server.wait_closed()

    def publish(self, table: RoutingTable) -> RoutingTable:
        """Give the table its version, keep it on disk and send it to every worker."""
        version = max(self.table.version + 1, int(self._clock.now() * 1000))
        table = RoutingTable(version, table.endpoints, table.keys)
        encoded = encode_table(table)
        _replace(self._routes, encoded)  # a full volume raises, and nothing has been published
        self.table = table
        for worker in self._workers.values():
            worker.writer.write(b'{"table":' + encoded + b"}\n")
        return self.table

    def acknowledged(self) -> int:
        """The newest version that every live worker serves from; -1 if one has said nothing."""
        alive = self._alive()
        seen = [self._workers[pid].version if pid in self._workers else -1 for pid in alive]
        return min(seen, default=-1)

    def _alive(self) -> list[int]:
        try:
            document = msgspec.json.decode(self._processes.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return list(self._workers)
        children = document["children"]
        return [child["pid"] for child in children if child["name"].startswith("gateway-")]

    def _last_published(self) -> RoutingTable:
        try:
            return decode_table(self._routes.read_bytes())
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("the last routing table cannot be read", why=str(error))
            return RoutingTable(0, {}, {})

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
                elif worker is not None and "metrics" in message:
                    await self._count(worker, message["metrics"])
        except (ConnectionError, ValueError, msgspec.MsgspecError) as broken:
            log.warning("gateway worker dropped", pid=worker and worker.pid, why=str(broken))
        finally:
            if worker is not None and self._workers.get(worker.pid) is worker:
                del self._workers[worker.pid]
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    def _greet(self, hello: dict[str, int], writer: asyncio.StreamWriter) -> Worker:
        pid = hello["pid"]
        worker = Worker(pid, f"{pid}@{_born_at(pid)}", writer, hello["version"])
        self._workers[worker.pid] = worker
        if worker.version < self.table.version:
            writer.write(b'{"table":' + encode_table(self.table) + b"}\n")
        self._on_worker()
        return worker

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


def _replace(path: Path, content: bytes) -> None:
    """Write 0600 and rename: a reader sees the old table or the new one, never half of one."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
