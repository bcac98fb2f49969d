"""What a new model will need is made ready before its first endpoint asks for it.

Who deploys makes the model seconds before the endpoint. So when a model is made, the environment of
its image is built if it is not there, and what its instances need is imported; an endpoint that
comes meanwhile waits for what is left of that, and not for a build of its own. A model that no
endpoint ever uses costs that, too, so it is bounded: one image after the other, never two at a
time, and what is being made ready for a model that is deleted is given up, unless another model or
a launch wants the same.

What only a launch knows is left to it: the user's code, and what that asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import structlog

from inservice.errors import AwsError
from inservice.runtimes.base import (
    EnvironmentUnavailable,
    ImageNotRunnable,
    LaunchFailed,
    PreparedRuntime,
)
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
        self._turn = asyncio.Lock()  # of whichever image is made ready now
        self._images: dict[str, asyncio.Task[None]] = {}  # being made ready, or to be
        self._wanted: dict[str, set[ModelName]] = {}  # by image: for which models
        self._under_way: set[asyncio.Task[None]] = set()

    def follow(self) -> None:
        """Have the runtime up, and what it needs ready, from each new model on. Called in the event
        loop."""
        loop = asyncio.get_running_loop()
        self._store.feed.subscribe(MODELS, self._heed, loop=loop)

    def begin(self) -> None:
        """Have the runtime up: there is something to run. Called in the event loop."""
        self._begin(self._prepare(None))

    def _heed(self, models: Iterable[ModelName]) -> None:
        self._begin(self._look(models))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _look(self, models: Iterable[ModelName]) -> None:
        """These were made or deleted: want what those need that there are, and only that."""
        found = await self._threads.run(self._images_of, models)
        for model, images in found.items():
            for image in images:
                self._wanted.setdefault(image, set()).add(model)
                if image not in self._images:
                    self._images[image] = self._begin(self._in_turn(image))
            for image in self._wanted.keys() - images:
                self._wanted[image].discard(model)
                if not self._wanted[image]:
                    del self._wanted[image]
                    self._images.pop(image).cancel()

    def _images_of(self, models: Iterable[ModelName]) -> Mapping[ModelName, set[str]]:
        """What each of them names; nothing, if it is no more."""
        found: dict[ModelName, set[str]] = {}
        for model in models:
            found[model] = set()
            try:
                with self._store.reading() as reading:
                    found[model].update(c.image for c in reading.models.get(*model).containers)
            except AwsError as gone:  # deleted by now, or the store is out of reach: no matter
                log.info("not prepared", model=model, why=gone.message)
        return found

    async def _in_turn(self, image: str) -> None:
        async with self._turn:
            await self._prepare(image)
        if self._images.get(image) is asyncio.current_task():  # who comes now begins anew
            del self._images[image], self._wanted[image]

    async def _prepare(self, image: str | None) -> None:
        """What goes wrong is only logged: whoever launches it finds out in earnest."""
        try:
            await self._runtime.prepare(image)
        except ImageNotRunnable:
            log.info("no runtime for image", image=image)
        except (EnvironmentUnavailable, LaunchFailed) as failed:
            log.warning("not prepared", image=image, why=str(failed))

    async def finish(self) -> None:
        """Want nothing any more, and wait for what cannot be given up: a fork server that is
        starting must be there to be stopped."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
