"""What control does about a full volume: it waits in the open, and keeps its reserve.

Where there is not even room to open the records, nobody is kept waiting for it: whoever asks is
answered at once that the disk is full, and the records are opened when there is room. Invocations
do not pass here and go on by the last routing table.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from inservice.api.application import load_services
from inservice.api.identify import Directory
from inservice.api.refusals import refuse_all
from inservice.app.whereabouts import Whereabouts
from inservice.audit.trail import Trail
from inservice.errors import InsufficientStorage
from inservice.reserve import OPENING_BYTES, Reserve, is_full
from inservice.store.base import Store
from inservice.store.errors import StoreDamaged, StoreRefused
from inservice.telemetry.base import MetricsRefused
from inservice.telemetry.recorder import Recorder
from inservice.threads import Threads
from inservice.transport.server import Server, serve

LOOK_SECONDS = 1.0
"""How often it is looked whether there is room: statvfs costs microseconds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Records:
    """What control opened: all that it reads and writes."""

    store: Store
    metrics: Recorder
    whereabouts: Whereabouts
    trail: Trail


async def open_records(
    opening: Callable[[], Awaitable[Records]],
    reserve: Reserve,
    listening: socket.socket,
    ended: Callable[[], Awaitable[bool]],
) -> Records | None:
    """Open the records; as long as even the reserve is not room enough, answer that there is none.
    None when it `ended` before there was any: that waits a moment, and says whether control has to
    go. Raises StoreRefused and MetricsRefused."""
    closed: Server | None = None
    try:
        while True:
            if _fits(reserve):
                try:
                    return await opening()
                except InsufficientStorage:
                    pass  # somebody was faster
                except (StoreRefused, MetricsRefused) as refused:
                    # Of a file that it could not make SQLite says only that it cannot open it.
                    if isinstance(refused, StoreDamaged) or _fits(reserve):
                        raise
            if closed is None:
                closed = await _answer_full(listening)
            if await ended():
                return None
    finally:
        if closed is not None:
            await closed.drain(deadline_seconds=1.0)


def _fits(reserve: Reserve) -> bool:
    with reserve.giving():
        return reserve.fits(OPENING_BYTES)


async def _answer_full(listening: socket.socket) -> Server:
    log.error("the disk is full", why="there is no room to open the records, and no reserve left")
    full = InsufficientStorage(
        "The server's disk is full and its reserve is used up: the records cannot be opened until "
        "there is room. Free some on the volume of its data directory, then they are opened; "
        "nothing has to be restarted. Models go on serving."
    )
    answer = refuse_all(Directory(load_services()), full)
    return await serve(answer, sockets=[listening.dup()])


@contextlib.contextmanager
def full_told() -> Iterator[None]:
    """A disk without room for a file, as what it is."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise InsufficientStorage(f"{error.filename or 'A file'} cannot be written.") from error


async def keep_reserve(reserve: Reserve) -> None:
    """Make the reserve whenever there is room for it, and say when there is none, until
    cancelled."""
    threads = Threads("reserve")  # to allocate may take a while
    told = ""
    while True:
        await threads.run(reserve.hold)
        short = reserve.short()
        if short and not told:
            log.warning("the disk is full", why=short, refused="what adds; reads and deletes go on")
        elif told and not short:
            log.info("there is room on the disk again")
        told = short
        await asyncio.sleep(LOOK_SECONDS)
