"""What every launch has: files that are fetched first, and a part that is not taken back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inservice.runtimes.base import Assets

if TYPE_CHECKING:
    from inservice.workload.container import Container

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the assets of one container are on this host: read-only, shared between instances."""

    model: Path | None = None
    code: Path | None = None


async def fetched(container: Container, assets: Assets, seconds: float) -> Files:
    """All that it needs, each within so many seconds. Raises AssetUnavailable, OSError."""
    return Files(
        model=await assets.fetch(container.model, seconds) if container.model else None,
        code=await assets.fetch(container.code, seconds) if container.code else None,
    )


async def seen_through(starting: Coroutine[Any, Any, _T]) -> _T:
    """What it gives, a handle above all, also for a caller that is cancelled meanwhile.

    From the moment on at which something may have been started, nobody can take that back; were
    its handle lost, it would run unwatched for as long as this control lives.
    """
    task = asyncio.ensure_future(starting)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()
