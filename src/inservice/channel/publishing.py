"""Control's end of the channel on its socket and files: tables go out, counts come in.

What changes is written down before it is pushed (`channel.table_file`), so a worker that starts
while control is gone begins with the newest table. Who lives is what the supervisor says in
`processes.json`. What is decided is decided in `channel.control`; a connection that says what is no
message ends, and no other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from inservice.channel.control import (
    Alive,
    ControlEnd,
    Counted,
    Denied,
    Encode,
    Event,
    Greeted,
    HangUp,
    News,
    Note,
    Outbid,
    Send,
    Stored,
)
from inservice.channel.counts import InvocationRow
from inservice.channel.denials import DenialRow
from inservice.channel.messages import Garbled
from inservice.channel.storage_counts import StorageCounts
from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta, encode_table, table_after
from inservice.clock import Clock
from inservice.errors import ServiceUnavailable
from inservice.ids import EndpointKey
from inservice.linux import born_at
from inservice.reserve import Room
from inservice.routing.table import EndpointRoute, KeyRoute, RoutingTable, SessionRoute
from inservice.threads import Threads

RECOVERY_SECONDS = 10.0
"""How long live workers are waited for that may know a table which the disk does not. They call
within a quarter of a second; one that is stuck is killed within five."""

LOOK_SECONDS = 0.25
"""Between looks at who lives: the end of a worker that was waited for is news as well."""

READ_BYTES = 64 * 1024

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid

log = structlog.get_logger()

MetricsSink = Callable[[str, int, Sequence[InvocationRow]], None]
"""Takes (worker, seq, rows); returns when they are as durable as they are going to be. A worker is
named by "<pid>@<start time>": its counts are numbered anew in each of its lives."""


DenialsSink = Callable[[Sequence[DenialRow]], None]
"""Takes invocations that a worker refused, and has written them down when it returns."""


class Living:
    """Who lives, as the supervisor says. The file is read when it is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._which: tuple[int, int, int] | None = None
        self._pids: Alive = None

    def pids(self) -> Alive:
        """Of the workers; None when nobody says. Asked for every endpoint at every turn."""
        try:
            status = self._path.stat()
            which = (status.st_ino, status.st_mtime_ns, status.st_size)
            if which != self._which:
                children = msgspec.json.decode(self._path.read_bytes())["children"]
                self._pids = [one["pid"] for one in children if one["name"].startswith("gateway-")]
                self._which = which
        except (FileNotFoundError, msgspec.DecodeError):
            self._which = self._pids = None
        return self._pids

    def which(self) -> object:
        """Another one whenever the supervisor said anything, though it says the same again now: in
        between somebody may have been asked about who had not called."""
        self.pids()
        return self._which


class Gateways:
    """Publishes routing tables, and knows what every worker serves from."""

    def __init__(
        self,
        run_dir: Path,
        clock: Clock,
        *,
        on_acknowledged: Callable[[], None],
        on_metrics: MetricsSink,
        on_denials: DenialsSink = lambda _: None,
        room: Room = contextlib.nullcontext,
    ) -> None:
        """`on_acknowledged` is called when workers may have come to serve by a newer table; tables
        are written within `room`, which may give some of a full disk."""
        self._clock = clock
        self._file = TableFile(run_dir / "routes.json", room)
        self._end = ControlEnd(self._file.sequel, lambda: int(clock.now() * 1000))
        self._living = Living(run_dir / "processes.json")
        self._channel = run_dir / "routes.sock"
        self._on_acknowledged = on_acknowledged
        self._on_metrics = on_metrics
        self._on_denials = on_denials
        self._threads = Threads("counts")
        self._encoding = Threads("tables")
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._lives: dict[int, str] = {}  # whose connection it is, as MetricsSink names workers
        self._numbers = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._folding = False
        self.storage: StorageCounts | None = None
        """What the storage process counted, as it told last."""

    @property
    def table(self) -> RoutingTable:
        """The newest."""
        return self._end.table

    async def start(self, *, serving: bool) -> None:
        """Read the last table and listen for workers. If there should be one, because endpoints
        are on record (`serving`), a lost one is asked of the workers."""
        found = self._last_published()
        self._end.table = found or RoutingTable(0, {}, {})
        self._end.recovering = serving and (found is None or not self._file.journal.exists())
        self._channel.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._channel, limit=READ_BYTES)
        if self._end.recovering:
            await self._recover()
        if self.table.version:
            # What a crash left half-written behind the journal's last line would end the reading
            # of whatever is added.
            self._write_down(self.table)
        self._begin(self._look_who_lives())

    async def close(self) -> None:
        """Stop listening; workers go on with the table they have."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            for writer in self._writers.values():
                writer.close()
            await self._server.wait_closed()

    # ── publishing ──────────────────────────────────────────────────────────────────────────────
    def publish_route(self, key: EndpointKey, route: EndpointRoute | None) -> int:
        """Make this what workers know of an endpoint; gives the version. Raises OSError when it
        cannot be written down, and then nothing has been published."""
        return self._publish(
            Delta(self.table.version, self._end.next_version(), endpoint=key, route=route)
        )

    def publish_keys(self, keys: Mapping[str, KeyRoute | None]) -> None:
        """Make this what these permanent access keys are; None for one that is no more. Raises
        OSError, as above."""
        version = self._end.next_version()
        self._publish(Delta(self.table.version, version, key_changes=dict(keys)))

    def publish_sessions(self, sessions: Mapping[str, SessionRoute | None]) -> None:
        """Make this what these temporary keys are; None for one that is no more. Raises OSError,
        as above."""
        version = self._end.next_version()
        self._publish(Delta(self.table.version, version, sessions=dict(sessions)))

    def publish_grants(
        self, authorities: Mapping[str, str | None], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Make this what these principals hold and these endpoints are tagged with. Raises
        OSError, as above."""
        labels = {arn: dict(each) for arn, each in tags.items()}
        version = self._end.next_version()
        self._publish(
            Delta(self.table.version, version, authorities=dict(authorities), tags=labels)
        )

    def acknowledged(self) -> int:
        """The newest version that every live worker serves from; -1 if one has said nothing."""
        return self._end.acknowledged(self._living.pids())

    def _publish(self, delta: Delta) -> int:
        table = table_after(self.table, [delta])
        encoded = self._file.append(delta, table)
        self._act(self._end.published(delta, encoded, table))
        if self._file.is_long() and not self._folding:
            self._begin(self._fold())
        return delta.version

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

    def _write_down(self, table: RoutingTable) -> None:
        try:
            self._file.replace(encode_table(table), table.version)
        except OSError as full:  # what was published stands, and the next delta tries again
            log.warning("the routing table cannot be written", why=str(full))

    # ── what is to be done ──────────────────────────────────────────────────────────────────────
    def _act(self, events: Iterable[Event]) -> None:
        """All but counts and denials, for which the connection waits that they came on."""
        for event in events:
            match event:
                case Send(to, line):
                    if (writer := self._writers.get(to)) and not writer.is_closing():
                        writer.write(line)
                case News():
                    self._on_acknowledged()
                case HangUp(origin):
                    if older := self._writers.get(origin):
                        older.close()
                case Greeted(origin, pid):
                    self._lives[origin] = f"{pid}@{born_at(pid)}"
                case Encode(table):
                    self._begin(self._encode(table))
                case Outbid(table):
                    self._write_down(table)
                case Stored(counts):
                    self.storage = counts
                case Note(words, pid):
                    log.warning(words, pid=pid)

    async def _encode(self, table: RoutingTable) -> None:
        self._act(self._end.encoded(table, await self._encoding.run(encode_table, table)))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_who_lives(self) -> None:
        before = self._living.which()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._living.which()
            if now != before:
                self._act([*self._end.looked(self._living.pids()), News()])
            before = now

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
        deadline = self._clock.now() + RECOVERY_SECONDS
        while self._clock.now() < deadline:
            if self._end.have_told(self._living.pids()):
                break
            await self._clock.sleep(0.01)
        self._act(self._end.recovered(self._living.pids()))

    # ── one connection ──────────────────────────────────────────────────────────────────────────
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        self._writers[number] = writer
        self._end.connected(number, caller_of(writer))
        try:
            while data := await reader.read(READ_BYTES):
                for line in self._end.lines(number, data):
                    await self._hear(number, line)
        except (OSError, Garbled) as broken:
            log.warning("gateway worker dropped", pid=self._end.pid(number), why=str(broken))
        finally:
            del self._writers[number]
            self._lives.pop(number, None)
            self._act(self._end.gone(number))
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()

    async def _hear(self, number: int, line: bytes) -> None:
        events = self._end.hear(number, line, self._living.pids())
        self._act(events)
        for event in events:
            if isinstance(event, Counted):
                await self._count(event)
            elif isinstance(event, Denied):
                await self._threads.run(self._on_denials, event.rows)

    async def _count(self, counted: Counted) -> None:
        """Acknowledge rows once they are kept; rows that cannot be kept are sent again."""
        counts, life = counted.counts, self._lives[counted.origin]
        try:
            await self._threads.run(self._on_metrics, life, counts.seq, counts.rows)
        except ServiceUnavailable as full:
            log.warning("metrics not kept", why=full.message)
        else:
            self._act(self._end.kept(counted.origin, counts.seq))


def caller_of(writer: asyncio.StreamWriter) -> int:
    """The pid of who connected, as the kernel knows it; 0 from another pid namespace."""
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    return int(_CREDENTIALS.unpack(credentials)[0])
