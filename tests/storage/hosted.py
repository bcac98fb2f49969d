"""The storage of `rig` on a loop of its own, for clients that block: boto3 in tests that draw what
they ask, and programs like AWS's command line."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import uvloop

from .rig import Storage, storage


@contextlib.contextmanager
def hosted() -> Iterator[Storage]:
    """A storage server with a gateway before it, served from another thread."""
    started: Future[Storage] = Future()
    ended: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with storage() as rig:
            end = asyncio.Event()
            ended.set_result((asyncio.get_running_loop(), end))
            started.set_result(rig)
            await end.wait()

    def run() -> None:
        try:
            uvloop.run(serve())
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield started.result()
    finally:
        if ended.done():
            loop, end = ended.result()
            loop.call_soon_threadsafe(end.set)
        thread.join()
