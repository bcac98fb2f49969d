"""The part of a launch that is not taken back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from inservice.runtimes.base import Handle


async def seen_through(starting: Coroutine[Any, Any, Handle]) -> Handle:
    """Its handle, also for a caller that is cancelled meanwhile.

    From the moment on at which something may have been started, nobody can take that back; were
    its handle lost, it would run unwatched for as long as this control lives.
    """
    task = asyncio.ensure_future(starting)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()
