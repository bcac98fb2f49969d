"""One grace for everything that a stop waits for, however many stages it has.

A request that hangs is waited for by its gateway worker first, and the model that hangs with it by
control afterwards. What has had its time in the first stage gets none in the second: the supervisor
writes down by when all is to be over, and control, which is told to stop last, reads it.
"""

from __future__ import annotations

import contextlib
import json
import time

from inservice.config import Settings
from inservice.supervision.files import write_private

LEAST_SECONDS = 2.0
"""What instances get in any case: one that has nothing to do ends in some milliseconds, and cleans
up in what Python calls `atexit`."""


def grant(settings: Settings) -> float:
    """From now on the grace runs. The monotonic instant at which it ends."""
    by = time.monotonic() + settings.drain_seconds
    with contextlib.suppress(OSError):  # no room: then the second stage has a whole one
        write_private(settings.run_dir / "stop-by.json", {"by": by})
    return by


def left(settings: Settings) -> float:
    """Seconds that instances have to end; the whole grace if nobody wrote down when it began."""
    try:
        by = float(json.loads((settings.run_dir / "stop-by.json").read_bytes())["by"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.drain_seconds
    seconds = by - time.monotonic()
    return min(max(seconds, LEAST_SECONDS), settings.drain_seconds)


def over(settings: Settings) -> None:
    """Everything is stopped; the next stop has a grace of its own."""
    with contextlib.suppress(OSError):
        (settings.run_dir / "stop-by.json").unlink()
