"""What a new model will need is imported before its first endpoint asks for it: when the model is
made, the second that importing takes is over before its first endpoint is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from inservice.errors import AwsError
from inservice.runtimes.base import ImageNotRunnable, LaunchFailed, PreparedRuntime
from inservice.store.base import Store
from inservice.store.collections.models import MODELS, ModelName
from inservice.threads import Threads

log = structlog.get_logger()


class Preparing:
    """Has the runtime get ready in the background."""

    def __init__(self, runtime: PreparedRuntime, store: Store) -> None:
        self._runtime = runtime
        self._store = store
        self._threads = Threads("models")
        self._under_way: set[asyncio.Task[None]] = set()

    def follow(self) -> None:
        """Have the runtime up, and what it needs imported, from each new model on. Called in the
        event loop."""
        loop = asyncio.get_running_loop()
        self._store.feed.subscribe(MODELS, self._heed, loop=loop)

    def begin(self) -> None:
        """Have the runtime up: there is something to run. Called in the event loop."""
        self._begin(self._prepare(None))

    def _heed(self, models: Iterable[ModelName]) -> None:
        self._begin(self._prepare_for(models))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _prepare_for(self, models: Iterable[ModelName]) -> None:
        images = await self._threads.run(self._images, models)
        await asyncio.gather(*(self._prepare(image) for image in images))

    def _images(self, models: Iterable[ModelName]) -> set[str]:
        found: set[str] = set()
        for model in models:
            try:
                with self._store.reading() as reading:
                    found.update(c.image for c in reading.models.get(*model).containers)
            except AwsError as gone:  # deleted by now, or the store is out of reach: no matter
                log.info("not prepared", model=model, why=gone.message)
        return found

    async def _prepare(self, image: str | None) -> None:
        """What goes wrong is only logged: whoever launches it finds out in earnest."""
        try:
            await self._runtime.prepare(image)
        except ImageNotRunnable:
            log.info("no runtime for image", image=image)
        except LaunchFailed as failed:
            log.warning("not prepared", image=image, why=str(failed))

    async def finish(self) -> None:
        """Wait for what is under way: a fork server that is starting must be there to be
        stopped."""
        await asyncio.gather(*self._under_way)
