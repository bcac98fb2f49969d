"""What control knows of some records and tells the gateways: known before whoever changed it hears.

The store's feed calls in the thread that committed, before the caller gets an answer. There it is
read, and the loop knows it before that answer can leave. So who was just given a key is not
refused, and who was told that a policy is gone is not let through by it.

Two things can fail. A reading, just when something changed: what was known counts until another one
succeeds. And the telling, since a table that cannot be written down is not published: it is told as
soon as it can be. What was taken away must not be believed by a gateway for as long as a disk is
full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import structlog

from inservice.errors import AwsError
from inservice.store.errors import StoreRefused
from inservice.store.feed import Feed, Topic
from inservice.threads import Threads

RETRY_SECONDS = 1.0

_log = structlog.get_logger(__name__)

K = TypeVar("K")


class Following(Generic[K]):
    """Keeps `know` up to date with what is read, and `tell` called until it succeeds."""

    def __init__(
        self,
        name: str,
        *,
        whole: Callable[[], K],
        know: Callable[[K], None],
        tell: Callable[[], None],
    ) -> None:
        """`whole` reads everything, in any thread, and raises what the store refuses; `know` takes
        what was read, in the loop; `tell` passes it on there, and raises OSError."""
        self._name = name
        self._whole = whole
        self._know = know
        self._tell = tell
        self._untold = asyncio.Event()
        self._threads = Threads(name)
        self._reading_again: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Read everything for the first time. Raises what the store refuses."""
        self._knows(await self._threads.run(self._whole))

    def heed(self, feed: Feed, topic: Topic[Any], changed: Callable[[Collection[Any]], K]) -> None:
        """From now on read what `topic` tells of: `changed` is given the names."""
        loop = asyncio.get_running_loop()

        def read(names: Collection[Any]) -> None:
            try:
                found = changed(names)
            except (AwsError, StoreRefused) as error:
                _log.error(f"{self._name}.not_read", error=str(error))
                loop.call_soon_threadsafe(self._read_again)
            else:
                loop.call_soon_threadsafe(self._knows, found)

        feed.subscribe(topic, read)

    async def keep_told(self) -> None:
        """Tell again what could not be told, until cancelled."""
        while True:
            await self._untold.wait()
            await asyncio.sleep(RETRY_SECONDS)
            self._try_to_tell()

    def close(self) -> None:
        """Follow no more."""
        if self._reading_again is not None:
            self._reading_again.cancel()

    def _knows(self, found: K) -> None:
        self._know(found)
        self._try_to_tell()

    def _read_again(self) -> None:
        if self._reading_again is None or self._reading_again.done():
            self._reading_again = asyncio.create_task(self._read_until_it_succeeds())

    async def _read_until_it_succeeds(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                self._knows(await self._threads.run(self._whole))
            except (AwsError, StoreRefused) as error:
                _log.error(f"{self._name}.not_read", error=str(error))
            else:
                return

    def _try_to_tell(self) -> None:
        try:
            self._tell()
        except OSError as full:
            if not self._untold.is_set():
                _log.warning(f"{self._name}.not_told", why=str(full))
            self._untold.set()
        else:
            self._untold.clear()
