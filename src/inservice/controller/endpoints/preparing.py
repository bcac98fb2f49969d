"""What a new model will need is imported before its first endpoint asks for it."""

from __future__ import annotations

import asyncio

import structlog

from inservice.runtimes.base import ImageNotRunnable, LaunchFailed, PreparedRuntime

log = structlog.get_logger()


class Preparing:
    """Has the runtime get ready in the background."""

    def __init__(self, runtime: PreparedRuntime) -> None:
        self._runtime = runtime
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, *images: str | None) -> None:
        """Begin to have the runtime up (None) and what an image needs imported: when a model of it
        is created, the second that importing takes is over before its first endpoint is."""
        for image in images:
            task = asyncio.create_task(self._prepare(image))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

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
