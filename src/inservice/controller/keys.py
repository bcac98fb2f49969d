"""Access keys: all of them known to control, and told to the gateways.

They are asked for with every request, so they are in memory, and the store's feed keeps them right:
a key that is changed is read in the thread that changed it and known before whoever changed it gets
an answer. So a new key is never refused to one who was just given it, and an old one never taken
from one who was told that it is gone.

What the gateways could not be told, since a table that cannot be written down is not published, is
told as soon as it can be: a key that was taken away must not be believed by a gateway for as long
as a disk is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from inservice.controller.kit.tables import Tables
from inservice.errors import AwsError
from inservice.identity.principal import AccessKey
from inservice.routing.table import KeyRoute
from inservice.store.base import Store
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.errors import StoreRefused
from inservice.threads import Threads

RETRY_SECONDS = 1.0
"""After a reading that failed just when keys had changed: until one succeeds the old ones count.
And after the gateways could not be told."""

_log = structlog.get_logger(__name__)


class Keys:
    """The access keys of this server."""

    def __init__(self, store: Store, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._known: Mapping[str, AccessKey] = {}
        self._untold = asyncio.Event()
        self._threads = Threads("keys")
        self._reading_again: asyncio.Task[None] | None = None

    def find(self, key_id: str) -> AccessKey | None:
        """An access key by its id."""
        return self._known.get(key_id)

    async def follow(self) -> None:
        """Know what the store knows from now on, and tell the gateways whom to believe."""
        loop = asyncio.get_running_loop()

        def heed(_: Collection[str]) -> None:
            try:
                keys = self._read()
            except (AwsError, StoreRefused) as error:
                _log.error("keys.not_read", error=str(error))
                loop.call_soon_threadsafe(self._read_again)
            else:
                loop.call_soon_threadsafe(self._know, keys)

        self._store.feed.subscribe(ACCESS_KEYS, heed)
        self._know(await self._threads.run(self._read))

    def close(self) -> None:
        """Follow no more."""
        if self._reading_again is not None:
            self._reading_again.cancel()

    def _read(self) -> Sequence[AccessKey]:
        with self._store.reading() as reading:
            return reading.access_keys.all()

    def _read_again(self) -> None:
        if self._reading_again is None or self._reading_again.done():
            self._reading_again = asyncio.create_task(self._read_until_it_succeeds())

    async def _read_until_it_succeeds(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                self._know(await self._threads.run(self._read))
            except (AwsError, StoreRefused) as error:
                _log.error("keys.not_read", error=str(error))
            else:
                return

    def _know(self, keys: Sequence[AccessKey]) -> None:
        self._known = {key.id: key for key in keys}
        self._tell()

    async def keep_told(self) -> None:
        """Tell again what could not be told, until cancelled."""
        while True:
            await self._untold.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._tell()

    def _tell(self) -> None:
        try:
            self._tables.publish_keys({key.id: _route_of(key) for key in self._known.values()})
        except OSError as full:
            if not self._untold.is_set():
                _log.warning("keys.not_told", why=str(full))
            self._untold.set()
        else:
            self._untold.clear()


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )
