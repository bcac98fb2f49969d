"""How tests wait for what they want to see: by one deadline, which nothing but a fault reaches.

A test that gives something ten seconds says how fast a machine is, and fails on one that is busy.
Whoever waits here has minutes, and is through as soon as it is so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 180.0
"""For one thing to come true, on a machine that gives this test a tenth of a core."""


def pause_after(waited: float) -> float:
    """The pause before the next look, which costs what it looks at some work: what comes soon is
    seen soon, and what takes long is not asked for a hundred times."""
    return min(0.01 + waited / 20, 0.2)


def wait_until(question: Callable[[], Any], patience_seconds: float = PATIENCE_SECONDS) -> Any:
    """Ask until the answer is true; the answer, or an AssertionError when the time is up."""
    began = time.monotonic()
    while not (answer := question()):
        waited = time.monotonic() - began
        assert waited < patience_seconds, "it did not come true in time"
        time.sleep(pause_after(waited))
    return answer


async def until(question: Callable[[], Any]) -> Any:
    """The same in an event loop, which goes on meanwhile."""
    began = time.monotonic()
    while not (answer := question()):
        waited = time.monotonic() - began
        assert waited < PATIENCE_SECONDS, "it did not come true in time"
        await asyncio.sleep(pause_after(waited))
    return answer
