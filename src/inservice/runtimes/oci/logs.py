"""What containers print, moved from where their engine keeps it to the instances' log files.

An engine keeps a container's output whether or not anybody reads it. So the output is not lost with
control; what could go wrong is that the next control loses a part, or keeps one twice. Beside each
log is therefore a *cursor*: how far the engine's copy was read, and where the log ended then. It is
written after each batch of lines; whoever begins first takes the log back to where the cursor says
that it ended, and then goes on reading where the cursor says. Nothing is lost and nothing doubled,
wherever control was killed, as long as the engine still has what was not read: it keeps so much as
`configuration.OUTPUT_BYTES_MAX` says.

    Podman    writes into a file of ours, which is read here: its API forgets lines when that file
              is begun anew (4.3.1: six of five thousand)
    Docker    has files that root alone can read, so its API is read, in a thread for each container
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from inservice import disk, linux
from inservice.instance_logs.writer import LogEnd, LogFiles
from inservice.runtimes.oci.engine import (
    PODMAN,
    Engine,
    EngineRefused,
    EngineTrouble,
    EngineUnavailable,
    Found,
    asked,
)
from inservice.runtimes.oci.records import Places, Record
from inservice.threads import Hazards

if TYPE_CHECKING:
    from docker import APIClient

_CHUNK_BYTES = 64 * 1024

TURN_SECONDS = 0.02
"""Between two chunks of one that writes without end: 3 MiB a second, three times what is kept."""

UNREAD_BYTES_MAX = 1024 * 1024
"""What a thread holds that was not kept yet, before it reads no more."""

RETRY_SECONDS = 1.0
"""Until an engine that has broken off is asked again."""

END_SECONDS = 5.0
"""How long the last of a container's output is waited for after its end."""

_MISSED = b"[inservice] dropped what was written while no control ran, beyond what is kept of it\n"

_FRAME = struct.Struct(">4xI")
_REFUSED = 400

_STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z ", re.ASCII)


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far the output of an instance was kept."""

    cookie: str
    log: LogEnd  # where the log ended then
    inode: int = 0  # of the file that Podman writes
    offset: int = 0  # in it
    stamp: str = ""  # of the last piece that Docker gave


class Output(Protocol):
    """The output of one container on its way into the log."""

    def take(self) -> bool:
        """Keep what is there, a chunk at most. Whether there may be more."""
        ...

    async def finish(self) -> None:
        """The container has ended: keep the rest, and close."""
        ...

    def close(self) -> None:
        """Keep nothing more for now; somebody will go on here."""
        ...


class _Kept:
    """The log of an instance, and its cursor."""

    def __init__(self, places: Places, record: Record) -> None:
        self._path = places.cursor(record.instance_id)
        self._cookie = record.cookie
        self.files = LogFiles(Path(record.log_path))
        self.cursor = _Cursor(cookie=record.cookie, log=self.files.end)
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            cursor = msgspec.json.decode(self._path.read_bytes(), type=_Cursor)
            if cursor.cookie == record.cookie:
                self.cursor = cursor
                self.files.go_back(cursor.log)
                return
        self.note()  # before anything is kept: who comes next has a place to go back to

    def note(self, *, inode: int = 0, offset: int = 0, stamp: str = "") -> None:
        """So far it is kept, and nothing of a line that has begun."""
        self.cursor = _Cursor(
            cookie=self._cookie, log=self.files.end, inode=inode, offset=offset, stamp=stamp
        )
        with contextlib.suppress(OSError):  # a full disk: then the log has no room either
            disk.write(self._path, msgspec.json.encode(self.cursor), synced=False)


class FileOutput:
    """Of a container of Podman's, from the file that it writes: `<time> stdout|stderr F|P <text>`,
    where P is a piece of a line and F the end of one."""

    def __init__(self, places: Places, record: Record) -> None:
        self._path = places.output(record.instance_id)
        self._kept = _Kept(places, record)
        self._source = -1
        self._inode = 0
        self._offset = 0  # of what was read
        self._rest = b""  # of it, what is no whole piece yet

    def take(self) -> bool:
        """See `Output`."""
        if self._source < 0 and not self._open(self._kept.cursor.inode, self._kept.cursor.offset):
            return False
        chunk = os.read(self._source, _CHUNK_BYTES)
        if not chunk:
            return self._is_begun_anew()
        self._offset += len(chunk)
        *pieces, self._rest = (self._rest + chunk).split(b"\n")
        texts, behind = [], self._offset - len(self._rest)
        whole = behind
        for piece in pieces:
            text, is_end = _piece(piece)
            texts.append(text + b"\n" if is_end else text)
        for piece in reversed(pieces):  # a line that has only begun is read again after a crash
            if _piece(piece)[1]:
                break
            whole -= len(piece) + 1
        self._kept.files.keep(b"".join(texts))
        if pieces and whole > behind - sum(len(piece) + 1 for piece in pieces):
            self._kept.note(inode=self._inode, offset=whole)
        return True

    async def finish(self) -> None:
        """See `Output`."""
        while self.take():  # noqa: ASYNC110 - a chunk each turn: others are served as well
            await asyncio.sleep(0)
        self._kept.files.finish()
        self._kept.note(inode=self._inode, offset=self._offset)
        self.close()

    def close(self) -> None:
        """See `Output`."""
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
        self._kept.files.close()

    def _open(self, inode: int, offset: int) -> bool:
        try:
            self._source = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # nothing was written yet
            return False
        self._inode = os.fstat(self._source).st_ino
        self._offset = offset if self._inode == inode else 0
        if inode and self._inode != inode:
            self._kept.files.keep(_MISSED)
        os.lseek(self._source, self._offset, os.SEEK_SET)
        self._rest = b""
        return True

    def _is_begun_anew(self) -> bool:
        """Whether Podman has put another file in the place of this one, which has ended."""
        try:
            if self._path.stat().st_ino == self._inode:
                return False
        except OSError:
            return False
        os.close(self._source)
        return self._open(0, 0)


def _piece(line: bytes) -> tuple[bytes, bool]:
    """The text of a line of Podman's, and whether a line of the container ends there."""
    parts = line.split(b" ", 3)
    if len(parts) < 3:
        return line, True
    return (parts[3] if len(parts) == 4 else b""), parts[2] != b"P"


class StreamOutput:
    """Of a container of Docker's, from its API: pieces, each with its time to the nanosecond."""

    def __init__(
        self, places: Places, record: Record, engine: Engine, due: Callable[[], None]
    ) -> None:
        """`due` is called, in the loop, when there is something to take."""
        self._kept = _Kept(places, record)
        self._container = record.container_id
        self._engine = engine
        self._due = due
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Condition()
        self._pieces: list[bytes] = []
        self._unread = 0
        self._close: Callable[[], None] | None = None  # what breaks the stream off
        self._closed = False
        self._ended = asyncio.Event()
        self._stamp = self._kept.cursor.stamp
        self._task = asyncio.create_task(self._follow())

    def take(self) -> bool:
        """See `Output`."""
        with self._lock:
            pieces, self._pieces, self._unread = self._pieces, [], 0
            self._lock.notify()
        texts, stamp = [], ""
        for piece in pieces:
            found = _STAMPED.match(piece)
            at = piece[: found.end() - 1].decode() if found else self._stamp
            if self._stamp and at <= self._stamp and found:
                continue  # kept before
            self._stamp = at
            texts.append(piece[found.end() :] if found else piece)
            if texts[-1].endswith(b"\n"):
                stamp = at
        if texts:
            self._kept.files.keep(b"".join(texts))
        if stamp == self._stamp and stamp:
            self._kept.note(stamp=stamp)
        return False

    async def finish(self) -> None:
        """See `Output`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._ended.wait()
        self.take()
        self._kept.files.finish()
        self._kept.note(stamp=self._stamp)
        self.close()

    def close(self) -> None:
        """See `Output`."""
        with self._lock:
            self._closed = True
            self._lock.notify()
            close, self._close = self._close, None
        self._task.cancel()
        if close is not None:
            with contextlib.suppress(OSError):
                close()
        self._kept.files.close()

    async def _follow(self) -> None:
        """Until the end of the container."""
        while not self._closed:
            try:
                found = await self._engine.found()
                await _in_a_thread(found, self._read)
                break
            except EngineUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
            except EngineTrouble as error:
                if getattr(error, "status", 0) == 404:  # it was removed
                    break
                await asyncio.sleep(RETRY_SECONDS)
        self._ended.set()

    def _read(self, client: APIClient) -> None:
        """In the thread."""
        from docker.types import CancellableStream  # as in `engine.asked`

        wanted = {"stdout": 1, "stderr": 1, "follow": 1, "timestamps": 1}
        with client.get(
            f"{client.base_url}/v{client.api_version}/containers/{self._container}/logs",
            params={**wanted, "since": _seconds(self._stamp)},
            stream=True,
            timeout=None,
        ) as response:
            if response.status_code >= _REFUSED:
                raise EngineRefused(response.status_code, response.text)
            stream: Any = CancellableStream(response.iter_content(None), response)
            with self._lock:
                self._close = stream.close
            for pieces in frames(stream):
                with self._lock:
                    if pieces and not self._pieces:
                        self._loop.call_soon_threadsafe(self._due)
                    self._pieces += pieces
                    self._unread += sum(map(len, pieces))
                    self._lock.wait_for(lambda: self._closed or self._unread <= UNREAD_BYTES_MAX)
                    if self._closed:
                        return


def frames(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The pieces that end in each chunk. Before each are eight bytes: of which stream it is, and
    how long."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        pieces, at = [], 0
        while len(rest) - at >= _FRAME.size:
            (length,) = _FRAME.unpack_from(rest, at)
            end = at + _FRAME.size + length
            if len(rest) < end:
                break
            pieces.append(rest[at + _FRAME.size : end])
            at = end
        rest = rest[at:]
        yield pieces


def _seconds(stamp: str) -> int:
    """The second of a time of Docker's."""
    if not stamp:
        return 0
    return int(datetime.fromisoformat(f"{stamp.partition('.')[0].rstrip('Z')}+00:00").timestamp())


async def _in_a_thread(found: Found, read: Callable[[APIClient], None]) -> None:
    """Read a stream that lasts as long as its container, in a thread of its own."""
    await Hazards("output", 1).run(lambda: asked(found, read, None))


class Logs:
    """The output of all containers of a server."""

    def __init__(self, places: Places, engine: Engine) -> None:
        self._places = places
        self._engine = engine
        self._outputs: dict[str, Output] = {}
        self._by_file: dict[str, str] = {}
        self._busy: dict[str, asyncio.TimerHandle] = {}
        self._changes: linux.Changes | None = None

    def follow(self, record: Record, engine: str) -> None:
        """Keep what this container prints from now on."""
        if record.instance_id in self._outputs:
            return
        if engine == PODMAN:
            self._watch()
            self._by_file[self._places.output(record.instance_id).name] = record.instance_id
            self._outputs[record.instance_id] = FileOutput(self._places, record)
        else:
            self._outputs[record.instance_id] = StreamOutput(
                self._places, record, self._engine, lambda: self._take(record.instance_id)
            )
        self._take(record.instance_id)

    async def finish(self, record: Record) -> None:
        """It has ended: keep the rest."""
        output = self._forget(record.instance_id)
        if output is not None:
            await output.finish()

    def close(self) -> None:
        """Keep nothing more for now."""
        for instance_id in tuple(self._outputs):
            output = self._forget(instance_id)
            if output is not None:
                output.close()
        if self._changes is not None:
            asyncio.get_running_loop().remove_reader(self._changes.fd)
            self._changes.close()
            self._changes = None

    def _forget(self, instance_id: str) -> Output | None:
        self._by_file.pop(self._places.output(instance_id).name, None)
        if timer := self._busy.pop(instance_id, None):
            timer.cancel()
        return self._outputs.pop(instance_id, None)

    def _watch(self) -> None:
        if self._changes is None:
            self._changes = linux.Changes(self._places.containers)
            asyncio.get_running_loop().add_reader(self._changes.fd, self._heed)

    def _heed(self) -> None:
        assert self._changes is not None
        names = self._changes.take()
        written: Iterable[str] = [self._by_file[name] for name in names if name in self._by_file]
        for instance_id in tuple(written if names else self._by_file.values()):
            self._take(instance_id)

    def _take(self, instance_id: str) -> None:
        """A chunk now, and the next a little later: one that shouts does not hold up the others."""
        output = self._outputs.get(instance_id)
        if output is None or instance_id in self._busy:
            return
        if output.take():
            loop = asyncio.get_running_loop()
            again = loop.call_later(TURN_SECONDS, self._take_more, instance_id)
            self._busy[instance_id] = again

    def _take_more(self, instance_id: str) -> None:
        self._busy.pop(instance_id, None)
        self._take(instance_id)
