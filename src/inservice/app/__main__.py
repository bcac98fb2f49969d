"""The process of control.

Started by the supervisor with the settings file and a listening socket. SIGTERM stops the instances
too, since the server goes down for good; any other end leaves them serving for the next control.
SIGUSR1 makes it step aside for a newer one: it closes the records and waits, and SIGUSR2 makes it
open them again because the newer one could not. Requests wait at the socket meanwhile.

A control that finds out that another one has taken the lease over the records (see `store.lease`)
ends at once: what it knows is from before that. The next one that the supervisor starts begins with
the records, when it gets them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import io
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec
import structlog
import uvloop

from inservice import config
from inservice.app.control import Control
from inservice.app.runtimes import host_runtimes
from inservice.app.storage import (
    LOOK_SECONDS,
    Records,
    full_told,
    keep_reserve,
    open_records,
)
from inservice.app.whereabouts import Whereabouts
from inservice.audit.trail import Trail
from inservice.config import Settings
from inservice.errors import InsufficientStorage, ServiceUnavailable
from inservice.operations.own.default_role import ensure_default_role
from inservice.reserve import HALF, Reserve
from inservice.runtimes.base import LimitsUnavailable
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.store.errors import StaleLease, StoreInUse, StoreRefused
from inservice.supervision import grace
from inservice.supervision.children import HOST_REFUSED, RECORDS_REFUSED
from inservice.supervision.process import TELLING_SIGNALS
from inservice.telemetry.base import MetricsRefused
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from inservice.threads import Threads
from inservice.transport.heartbeat import Heartbeat
from inservice.transport.limits import BEHIND_GATEWAY, MIB
from inservice.transport.server import serve

log = structlog.get_logger()

PARENT_SECONDS = 0.5
"""How often control looks whether its supervisor still lives. Without one it must go, or the next
server could not open the store."""

FREE_SECONDS = 30.0
"""How long the control before this one may take to close the records. An orphaned one has half a
second to notice; then five to drain, and what closing takes on a busy machine."""

BODY_BYTES_MAX = 4 * MIB
"""Of a request, all of which is in memory before its signature can be verified. The largest that
there are, PutMetricData and PutLogEvents, are 1 MB."""

_COLLECT_AFTER = 20_000
"""Objects more than before, until it is looked for cycles among the young ones."""

LEASE_SECONDS = 5.0
"""How often control asks whether it still has the lease, beside each save: as long may an answer
from its memory be older than what another one has written."""

LEASE_LOST = 69
"""Exit code of a control that lost the lease. EX_UNAVAILABLE of sysexits.h."""

STEPPED_ASIDE = 75
"""Exit code of a control that was told to go while it stood aside: the instances are not its to
stop. EX_TEMPFAIL of sysexits.h."""


class Told:
    """What the supervisor has said by signals, and whether it is still there."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self.to_stop = asyncio.Event()
        self.to_step_aside = asyncio.Event()
        self.to_go_on = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.to_stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._step_aside)
        loop.add_signal_handler(signal.SIGUSR2, self.to_go_on.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TELLING_SIGNALS)  # it was born with them held

    def _step_aside(self) -> None:
        self.to_go_on.clear()  # what was said before this was about an earlier time
        self.to_step_aside.set()

    async def one_of(self, *events: asyncio.Event) -> bool:
        """Wait for one of these. False when the supervisor is gone instead."""
        waiting = [asyncio.create_task(event.wait()) for event in events]
        try:
            while not any(event.is_set() for event in events):
                if os.getppid() != self._parent:
                    return False
                await asyncio.wait(
                    waiting, timeout=PARENT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for task in waiting:
                task.cancel()
        return True


async def run(settings: Settings, listening: socket.socket, heartbeat: Heartbeat) -> int:
    """Serve until told to stop, or until the supervisor is gone. Gives the exit code."""
    parent = os.getppid()
    heartbeat.prepared()
    told: Told | None = None
    reserve = Reserve(settings.data_dir)
    opening = Threads("opening")

    async def ended() -> bool:
        nonlocal told
        told = told or Told(parent)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await told.one_of(told.to_stop, told.to_step_aside)
                return True
        return False

    while True:
        lost = asyncio.Event()
        records = await open_records(
            lambda: _opened(settings, reserve, opening), reserve, listening, ended
        )
        if records is not None:
            try:
                control = await _begin(settings, records, reserve)
                # Only now: a SIGTERM before it could not have stopped what is not known yet.
                told = told or Told(parent)
                await _serve(settings, records, control, reserve, listening, heartbeat, told, lost)
            finally:
                records.trail.close()
                records.store.close()
        assert told is not None
        if records is None and told.to_stop.is_set():
            await host_runtimes(settings).selected.shut_down(grace.left(settings))
        if told.to_stop.is_set():
            return 0
        if not told.to_step_aside.is_set():
            return LEASE_LOST if lost.is_set() else 0
        log.info("stepped aside for a newer control")
        there = await told.one_of(told.to_stop, told.to_go_on)
        if told.to_stop.is_set() or not there:
            return STEPPED_ASIDE
        told.to_step_aside.clear()
        log.info("going on: the newer control did not serve")


async def _opened(settings: Settings, reserve: Reserve, opening: Threads) -> Records:
    """All that control reads and writes. Raises StoreRefused, MetricsRefused and, where there is no
    room for it, InsufficientStorage."""
    with full_told():
        store = await open_when_free(settings, reserve, opening)
        try:
            return await opening.run(_opened_beside, store, settings, reserve)
        except BaseException:
            store.close()
            raise


def _opened_beside(store: Store, settings: Settings, reserve: Reserve) -> Records:
    """The store, and what can only be opened while it is open."""
    some = partial(reserve.giving, slices_left=HALF)
    with reserve.giving():
        whereabouts = Whereabouts(store, settings, reserve.giving)
        with contextlib.suppress(InsufficientStorage):  # then the next start makes it
            ensure_default_role(store, settings.account_id)
        metrics = Recorder(open_metrics(settings.database, some), time.time())
    # The store has the lease by now: no other control writes to the trail.
    trail = Trail(settings.audit_dir, kept=settings.audit_files_kept, room=reserve.giving)
    return Records(store, metrics, whereabouts, trail)


async def _begin(settings: Settings, records: Records, reserve: Reserve) -> Control:
    """Control, with everything that runs found."""
    records.whereabouts.tell_the_key()
    gc.disable()  # until then next to nothing is garbage
    try:
        with full_told():
            control = Control(settings, records.store, records.metrics, reserve, records.trail)
            await control.start()
    finally:
        gc.enable()
    # What there is by now, modules above all, lives as long as the process. A full collection that
    # walks it stops control for as long as a few hundred requests take, again and again.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
    return control


async def _serve(
    settings: Settings,
    records: Records,
    control: Control,
    reserve: Reserve,
    listening: socket.socket,
    heartbeat: Heartbeat,
    told: Told,
    lost: asyncio.Event,
) -> None:
    """Answer requests until there is a reason not to.

    Raises what ended one of the watches beside it, which is a bug: a control that sees nothing any
    more must not go on, and the next one begins anew.
    """
    limits = replace(BEHIND_GATEWAY, body_bytes=BODY_BYTES_MAX)
    server = await serve(control.answer(), sockets=[listening.dup()], limits=limits)
    records.whereabouts.say_where()
    records.whereabouts.follow()
    heartbeat.up()
    watching = [
        asyncio.create_task(each)
        for each in (
            control.watch(),
            records.whereabouts.keep_true(),
            keep_reserve(reserve),
            _keep_asking(records.store, lost),
        )
    ]
    blind = asyncio.Event()
    for task in watching:
        task.add_done_callback(lambda _: blind.set())
    await told.one_of(told.to_stop, told.to_step_aside, lost, blind)
    ended = [task for task in watching if task.done()]
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    reserve.give()  # closing writes
    await server.drain(deadline_seconds=5.0)
    for task in ended:
        task.result()
    if told.to_stop.is_set():
        await control.stop(grace_seconds=grace.left(settings))
    else:
        await control.step_aside()


async def _keep_asking(store: Store, lost: asyncio.Event) -> None:
    """Set `lost` when the lease is; whoever finds out first says so."""
    loop, threads = asyncio.get_running_loop(), Threads("lease")

    def tell() -> None:
        loop.call_soon_threadsafe(lost.set)

    store.holding.on_lost(tell)
    while True:
        await asyncio.sleep(LEASE_SECONDS)
        # Out of reach, or damaged, is not lost; whoever needs the records hears of it.
        with contextlib.suppress(ServiceUnavailable, StoreRefused):
            await threads.run(store.confirm)


async def open_when_free(settings: Settings, reserve: Reserve, threads: Threads) -> Store:
    """Open the store. Raises StoreRefused and InsufficientStorage.

    The control of a supervisor that was killed has it open until it notices, and a new supervisor
    may be faster than that.
    """
    deadline = time.monotonic() + FREE_SECONDS
    while True:
        try:
            return await threads.run(_open, settings, reserve)
        except StoreInUse:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def _open(settings: Settings, reserve: Reserve) -> Store:
    key_file = settings.data_dir / "secrets.key"
    with reserve.giving():
        return open_store(settings.database, key_file=key_file, room=reserve.giving)


def main(argv: list[str] | None = None) -> int:
    """`python -m inservice.app --settings FILE (--listen-fd N | --stop-instances)`."""
    parser = argparse.ArgumentParser(prog="inservice.app")
    parser.add_argument("--settings", type=Path, required=True)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--listen-fd", type=int)
    task.add_argument("--stop-instances", action="store_true", help="and do nothing else")
    parser.add_argument("--heartbeat-fd", type=int)
    parser.add_argument("--log-fd", type=int)
    options = parser.parse_args(argv)
    heartbeat = Heartbeat(options.heartbeat_fd, options.log_fd)
    settings = config.from_document(msgspec.json.decode(options.settings.read_bytes()))
    configure_logging(heartbeat)
    if options.stop_instances:
        asyncio.run(host_runtimes(settings).selected.shut_down(grace.left(settings)))
        return 0
    try:
        return uvloop.run(run(settings, socket.socket(fileno=options.listen_fd), heartbeat))
    except (StoreRefused, MetricsRefused) as refused:
        log.critical("the store cannot be used", why=str(refused))
        return RECORDS_REFUSED
    except LimitsUnavailable as refused:
        log.critical("INSERVICE_LIMITS=enforced cannot be kept", why=str(refused))
        return HOST_REFUSED
    except StaleLease as lost:  # before it served
        log.critical("the lease was lost", why=lost.message)
        return LEASE_LOST
    except ServiceUnavailable as full:  # somebody was faster with the room that there was
        log.critical("there is no room to start", why=full.message)
        return 1


def configure_logging(heartbeat: Heartbeat) -> None:
    """One JSON object a line on stderr; where a person reads along, coloured lines of what is
    wrong: what goes well is told by the commands that ask for it."""
    watched = heartbeat.watched_by_a_person()
    for_machines = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    for_people = (structlog.dev.ConsoleRenderer(),)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(for_people if watched else for_machines),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.WARNING if watched else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(_Forgiving(sys.stderr)),
        cache_logger_on_first_use=True,
    )


class _Forgiving(io.StringIO):
    """A log that loses what there is no room for: a full disk must not end who tells of it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


if __name__ == "__main__":
    sys.exit(main())
