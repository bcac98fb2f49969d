"""The two files by which people and the command line find a running server, kept true.

`endpoint.json` says where it answers, `credentials.json` with which key. They are copies: the
settings and the store are what counts. So they are compared with those twice a second and written
anew when somebody removed or changed them, and at once when the root key was replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from inservice.config import Settings
from inservice.errors import AwsError
from inservice.operations.own.access_keys import ensure_root_key
from inservice.reserve import Room, is_full
from inservice.store.base import Store
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.errors import StoreRefused
from inservice.supervision import files
from inservice.threads import Threads

log = structlog.get_logger()

LOOK_SECONDS = 0.5


class Whereabouts:
    """The files of one server. Makes the root access key at the very first start."""

    def __init__(
        self, store: Store, settings: Settings, room: Room = contextlib.nullcontext
    ) -> None:
        """Reads the store, so not for the event loop. What is written is written within `room`,
        which may give some of a full disk: a key that got out must not stay the one that is told.
        """
        self._store = store
        self._room = room
        self._settings = settings
        self._key = ensure_root_key(store, settings.account_id)
        self._key_changed = asyncio.Event()
        self._threads = Threads("whereabouts")
        self._endpoint = {
            "pid": os.getppid(),  # of the supervisor, now: an orphan has another
            "url": f"http://{for_this_host(settings.host)}:{settings.port}",
            "host": settings.host,
            "region": settings.region,
            "account_id": settings.account_id,
        }

    def tell_the_key(self) -> None:
        """Write the root access key down, for people and for `inservice env`."""
        with _later_if_full():
            self._keep_the_key()

    def say_where(self) -> None:
        """Write down where the server answers: from now on it does."""
        with _later_if_full():
            self._keep(self._settings.endpoint_file, self._endpoint)
        log.info("serving", **self._endpoint)

    def follow(self) -> None:
        """Write the root key down anew as soon as it changes. Called in the event loop."""
        loop = asyncio.get_running_loop()
        self._store.feed.subscribe(ACCESS_KEYS, lambda _: self._key_changed.set(), loop=loop)

    async def keep_true(self) -> None:
        """Write anew what is gone or wrong, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._key_changed.wait(), LOOK_SECONDS)
            # A full disk, or a store out of reach: it is tried again.
            with contextlib.suppress(OSError, AwsError, StoreRefused):
                await self._threads.run(self._write_what_is_wrong)

    def _write_what_is_wrong(self) -> None:
        if self._key_changed.is_set():
            self._key_changed.clear()  # before it is read: what changes meanwhile is read again
            self._key = ensure_root_key(self._store, self._settings.account_id)
        self._keep_the_key()
        self._keep(self._settings.endpoint_file, self._endpoint)

    def _keep_the_key(self) -> None:
        document = {"access_key_id": self._key.id, "secret_access_key": self._key.secret}
        self._keep(self._settings.credentials_file, document)

    def _keep(self, path: Path, document: object) -> None:
        """Write the file unless it says so already, for us alone: a control that comes back on a
        full disk has less to write."""
        with contextlib.suppress(FileNotFoundError):
            said = path.read_bytes() == files.encoded(document)
            if said and path.stat().st_mode & 0o077 == 0:
                return
        with self._room():
            files.write_private(path, document)


@contextlib.contextmanager
def _later_if_full() -> Iterator[None]:
    """A full disk is no reason not to serve: what could not be written is, once there is room."""
    try:
        yield
    except OSError as full:
        if not is_full(full):
            raise
        log.warning("cannot be written until there is room", file=str(full.filename))


def for_this_host(host: str) -> str:
    """Where those on this host find a server that listens there, as URLs have it."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no bind
    return f"[{address}]" if ":" in address else address
