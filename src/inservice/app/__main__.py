"""The process of control.

Started by the supervisor with the settings file and a listening socket. SIGTERM stops the instances
too, since the server goes down for good; any other end leaves them serving for the next control.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

import msgspec
import structlog
import uvloop

from inservice import config, supervisor
from inservice.app.control import Control, process_runtime
from inservice.config import Settings
from inservice.controller.keys import ensure_root_key
from inservice.metrics.base import MetricsRefused
from inservice.store.base import Store, StoreInUse, StoreRefused
from inservice.store.database import open_store
from inservice.transport.server import serve

log = structlog.get_logger()

PARENT_SECONDS = 0.5
"""How often control looks whether its supervisor still lives. Without one it must go, or the next
server could not open the store."""

FREE_SECONDS = 10.0
"""How long an orphaned control may take to go: half a second to notice, five to drain, and a
moment to close."""


async def run(settings: Settings, listening: socket.socket) -> None:
    """Serve until told to stop, or until the supervisor is gone."""
    store = await open_when_free(settings)
    try:
        write_credentials(store, settings)
        control = Control(settings, store)
        await control.start()
        server = await serve(control.answer(), sockets=[listening])
        say_where(settings)
        watching = asyncio.create_task(control.watch())
        told = await _until_told_or_orphaned()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await server.drain(deadline_seconds=5.0)
        await control.stop(instances_too=told)
    finally:
        store.close()


async def open_when_free(settings: Settings) -> Store:
    """Open the store. Raises StoreRefused.

    The control of a supervisor that was killed has it open until it notices, and a new supervisor
    may be faster than that.
    """
    deadline = time.monotonic() + FREE_SECONDS
    while True:
        try:
            return open_store(settings.database, key_file=settings.data_dir / "secrets.key")
        except StoreInUse:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def write_credentials(store: Store, settings: Settings) -> None:
    """Write the root access key down, mode 0600, for people and for `inservice env`. The store is
    the authority; the file can be lost."""
    key = ensure_root_key(store, settings.account_id)
    document = {"access_key_id": key.id, "secret_access_key": key.secret}
    supervisor.write_private(settings.credentials_file, document)


def say_where(settings: Settings) -> None:
    """Write down where the server answers: from now on it does."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    endpoint = {
        "pid": os.getppid(),
        "url": f"http://{host}:{settings.port}",
        "region": settings.region,
        "account_id": settings.account_id,
    }
    supervisor.write_private(settings.endpoint_file, endpoint)
    log.info("serving", **endpoint)


async def _until_told_or_orphaned() -> bool:
    """True for SIGTERM: everything goes. False when the supervisor is gone: instances stay."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see Supervisor._start_control
    parent = os.getppid()
    while not told.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), PARENT_SECONDS)
    return told.is_set()


def main(argv: list[str] | None = None) -> int:
    """`python -m inservice.app --settings FILE (--listen-fd N | --stop-instances)`."""
    parser = argparse.ArgumentParser(prog="inservice.app")
    parser.add_argument("--settings", type=Path, required=True)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--listen-fd", type=int)
    task.add_argument("--stop-instances", action="store_true", help="and do nothing else")
    options = parser.parse_args(argv)
    settings = config.from_document(msgspec.json.decode(options.settings.read_bytes()))
    configure_logging()
    if options.stop_instances:
        asyncio.run(process_runtime(settings).shut_down(settings.drain_seconds))
        return 0
    try:
        uvloop.run(run(settings, socket.socket(fileno=options.listen_fd)))
    except (StoreRefused, MetricsRefused) as refused:
        log.critical("the store cannot be used", why=str(refused))
        return supervisor.RECORDS_REFUSED
    return 0


def configure_logging() -> None:
    """One JSON object a line on stderr; where a person reads along, coloured lines of what is
    wrong: what goes well is told by the commands that ask for it."""
    watched = sys.stderr.isatty()
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
