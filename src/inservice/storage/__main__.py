"""The process of storage: `python -m inservice.storage`, started by the supervisor.

It alone has the objects open. It inherits the socket that gateway workers carry requests to, so
that a request finds it there while it is being started again, and writes one byte a second to the
heartbeat pipe. SIGTERM drains it and ends it. SIGUSR1 makes it step aside for a newer one: it
finishes what is in flight, closes the objects and waits, and SIGUSR2 makes it open them again
because the newer one could not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from inservice import config
from inservice.audit.reading import STORAGE
from inservice.audit.trail import Trail
from inservice.blobs.base import Blobs
from inservice.blobs.disk.store import open_blobs
from inservice.blobs.errors import BlobsInUse, BlobsRefused
from inservice.channel.following import Channel
from inservice.clock import SystemClock
from inservice.config import Settings
from inservice.errors import AwsError, ServiceUnavailable
from inservice.linux import keep_memory
from inservice.log_lines import write_lines
from inservice.reserve import Reserve
from inservice.storage.closed import answer_for_a_while
from inservice.storage.connection import LIMITS, Hands, StorageConnection
from inservice.storage.counting import Counting, NothingRefused
from inservice.storage.service import Service
from inservice.storage.told import Told
from inservice.threads import Threads
from inservice.transport.heartbeat import Heartbeat
from inservice.transport.listening import Server

_log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0

DRAIN_SECONDS = 10.0
"""What is in flight may take, when this process has to go or to step aside. An upload that is cut
off is answered 503, and every SDK sends it again."""

FREE_SECONDS = 60.0
"""How long the process before this one may take to let go of the objects."""

TIDY_SECONDS = 3_600.0
"""Between two looks for uploads that were forgotten."""

FORGOTTEN_SECONDS = 7 * 86_400.0
"""After which an upload in parts that was neither completed nor aborted is forgotten. S3 keeps it,
and bills it, until a rule of the bucket's lifecycle says otherwise."""

KEPT_BYTES = 4 << 20
"""Of memory that bodies have used, for the next ones."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Orders:
    """What the supervisor has said by signals, or by not being there any more."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.stop = False
        self.aside = False
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.take, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # it was born with them held back

    def take(self, number: int) -> None:
        """One of them has come."""
        self.stop = self.stop or number in (signal.SIGTERM, signal.SIGINT)
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            self.aside = number == signal.SIGUSR1
        self._news.set()

    async def come(self) -> None:
        """Wait for the next."""
        await self._news.wait()
        self._news.clear()

    async def to_end(self) -> None:
        """Wait for one not to go on."""
        while not (self.stop or self.aside):
            await self.come()


class Process:
    """One life of the process."""

    def __init__(self, settings: Settings, listening: socket.socket, heartbeat: Heartbeat) -> None:
        self._settings = settings
        self._listening = listening
        self._heartbeat = heartbeat
        self._orders = Orders()
        self._told = Told(settings.run_dir / "routes.json")
        self._reserve = Reserve(settings.data_dir)
        self._opening = Threads("opening")
        self._serving = False

    async def run(self) -> None:
        """Serve, stepping aside when told to, until told to stop."""
        self._heartbeat.prepared()
        beating = asyncio.create_task(self._beat())
        try:
            while not self._orders.stop:
                if self._orders.aside:
                    await self._orders.come()
                else:
                    await self._serve()
        except (BlobsRefused, ServiceUnavailable, OSError) as refused:
            _log.critical("the objects cannot be opened: %s", refused)
            await answer_for_a_while(self._listening, self._orders.to_end)
            raise
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        """Say once a second that this loop turns; when nobody listens, the supervisor is gone."""
        while True:
            say = self._heartbeat.beat if self._serving else self._heartbeat.prepared
            if not say():
                self._orders.take(signal.SIGTERM)
                return
            await asyncio.sleep(BEAT_SECONDS)

    async def _serve(self) -> None:
        blobs = await self._opened()
        if blobs is None:
            return
        try:
            trail = await self._opening.run(
                Trail,
                self._settings.audit_dir / STORAGE,
                kept=self._settings.audit_files_kept,
                room=self._reserve.giving,
            )
            try:
                await self._serve_from(blobs, trail)
            finally:
                self._serving = False
                trail.close()
        finally:
            await self._opening.run(blobs.close)

    async def _opened(self) -> Blobs | None:
        """The objects, when nobody else has them open; None if there are other orders first."""
        deadline = time.monotonic() + FREE_SECONDS
        settings = self._settings
        while not (self._orders.stop or self._orders.aside):
            try:
                return await self._opening.run(
                    open_blobs,
                    settings.storage_dir,
                    quota=settings.storage_bytes_max or None,
                    room=self._reserve.giving,
                )
            except BlobsInUse:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)
        return None

    async def _serve_from(self, blobs: Blobs, trail: Trail) -> None:
        clock, settings = SystemClock(), self._settings
        self._told.load()
        counting = Counting(settings.storage_bytes_max, blobs.usage)
        hands = Hands(
            Service(
                blobs,
                self._told,
                trail,
                counting,
                clock,
                region=settings.region,
                short=self._reserve.short,
            )
        )
        channel = Channel(
            settings.run_dir / "routes.sock",
            -1,
            self._told,
            counting,
            NothingRefused(),
            clock,
            routes=False,
        )
        parts: list[Coroutine[Any, Any, None]] = [
            channel.follow(),
            channel.report(),
            _tidy(blobs),
            self._orders.to_end(),
        ]
        doing = [asyncio.create_task(part) for part in parts]
        # Of a server that starts for the first time nobody has a key yet that is known here.
        knowing = asyncio.create_task(self._told.known.wait())
        await asyncio.wait({knowing, *doing}, return_when=asyncio.FIRST_COMPLETED)
        knowing.cancel()
        server = Server(LIMITS)
        if self._told.known.is_set():
            await server.listen(
                lambda: StorageConnection(server, hands), sockets=[self._listening.dup()]
            )
            self._heartbeat.up()
            self._serving = True
            _log.info("serving the objects in %s", settings.storage_dir)
        ended, _ = await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
        await server.drain(DRAIN_SECONDS)
        channel.send_counts()
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
        for task in ended:
            task.result()  # a part that ended by itself is a bug: begin anew


async def _tidy(blobs: Blobs) -> None:
    """Forget what was forgotten, from time to time."""
    threads = Threads("tidying")
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        try:
            forgotten = await threads.run(blobs.expire_uploads, time.time() - FORGOTTEN_SECONDS)
            if forgotten:
                _log.info("%d uploads were forgotten by whoever began them", forgotten)
        except (OSError, AwsError) as error:  # it is tried again
            _log.error("forgotten uploads could not be removed: %s", error)


async def _run(settings: Settings, listening: socket.socket, heartbeat: Heartbeat) -> None:
    await Process(settings, listening, heartbeat).run()


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="inservice.storage")
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--heartbeat-fd", type=int)
    parser.add_argument("--log-fd", type=int)
    options = parser.parse_args(argv)
    heartbeat = Heartbeat(options.heartbeat_fd, options.log_fd)
    write_lines("storage", watched=heartbeat.watched_by_a_person())
    settings = config.from_document(msgspec.json.decode(options.settings.read_bytes()))
    keep_memory(KEPT_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)  # requests make no cycles of objects
    try:
        uvloop.run(_run(settings, socket.socket(fileno=options.listen_fd), heartbeat))
    except (BlobsRefused, ServiceUnavailable, OSError):
        return 1  # why is in the log
    return 0


if __name__ == "__main__":
    sys.exit(main())
