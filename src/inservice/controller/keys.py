"""Access keys: all of them known to control, and told to the gateways.

They are asked for with every request, so they are in memory (see `kit.following`). Only those are
known that may sign: not one that is switched off, nor one whose user or role is gone, as when the
record of it was damaged and set aside.

When a key was last used is written down as well, once a minute: nobody who signs a request waits
for that, and a server that is stopped may forget the last minute's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

import structlog

from inservice.controller.kit.following import Following
from inservice.controller.kit.tables import Tables
from inservice.errors import AwsError
from inservice.identity.principal import AccessKey, KeyUse
from inservice.routing.table import KeyRoute
from inservice.store.base import Store
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.errors import StoreRefused
from inservice.threads import Threads

USES_SECONDS = 60.0
"""Between two writings of when keys were used. AWS's own record is late by more than that."""

_log = structlog.get_logger(__name__)


class Keys:
    """The access keys of this server."""

    def __init__(self, store: Store, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._known: Mapping[str, AccessKey] = {}
        self._uses: dict[str, KeyUse] = {}  # not written down yet
        self._lock = threading.Lock()
        self._used = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = Threads("keys")
        self._following = Following("keys", whole=self._read, know=self._know, tell=self._tell)

    def find(self, key_id: str) -> AccessKey | None:
        """An access key by its id."""
        return self._known.get(key_id)

    def note_use(self, key: AccessKey, use: KeyUse) -> None:
        """A key has signed something. May be called in any thread."""
        with self._lock:
            self._uses[key.id] = use
        if not self._used.is_set() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._used.set)

    async def follow(self) -> None:
        """Know what the store knows from now on, and tell the gateways whom to believe."""
        self._loop = asyncio.get_running_loop()
        self._following.heed(self._store.feed, ACCESS_KEYS, lambda _: self._read())
        await self._following.begin()

    async def keep_told(self) -> None:
        """Tell again what could not be told, until cancelled."""
        await self._following.keep_told()

    def close(self) -> None:
        """Follow no more."""
        self._following.close()

    def _read(self) -> Sequence[AccessKey]:
        with self._store.reading() as reading:
            alive = reading.users.ids() | reading.roles.ids()
            return [
                key
                for key in reading.access_keys.all()
                if key.is_active and (not key.principal.id or key.principal.id in alive)
            ]

    def _know(self, keys: Sequence[AccessKey]) -> None:
        self._known = {key.id: key for key in keys}

    def _tell(self) -> None:
        self._tables.publish_keys({key.id: _route_of(key) for key in self._known.values()})

    async def keep_uses(self) -> None:
        """Write down when keys were used, until cancelled."""
        while True:
            await self._used.wait()
            self._used.clear()  # before they are read: what is used meanwhile is written later
            with self._lock:
                uses, self._uses = self._uses, {}
            try:
                await self._threads.run(self._write_uses, uses)
            except (AwsError, StoreRefused) as error:
                _log.error("keys.uses_not_written", error=str(error))
                with self._lock:
                    self._uses = {**uses, **self._uses}
                self._used.set()
            await asyncio.sleep(USES_SECONDS)

    def _write_uses(self, uses: Mapping[str, KeyUse]) -> None:
        with self._store.transaction(by="keys") as tx:
            for key_id, use in uses.items():
                tx.access_keys.used(key_id, use)


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )
