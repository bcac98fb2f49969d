"""Named places where a crash must do no harm, and a way for tests to crash there.

`INSERVICE_CRASH_AT=before-save:3` makes control kill itself, as `kill -9` would, at the third pass
of that place. It happens once: the control that is started next finds the mark and goes on, so a
test sees the crash and the recovery.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

POINTS: Final = (
    "before-save",
    "after-save",
    "before-route",
    "after-route",
    "before-launch",
    "after-launch",
    "before-retire",
    "after-retire",
)
"""Around every effect of a turn. An effect without its two points fails a test."""


@dataclass
class CrashPoints:
    """Call it with the name of the place that is being passed."""

    crash_at: str  # "point:n", or empty for never
    run_dir: Path
    _passed: Counter[str] = field(default_factory=Counter)

    def __call__(self, point: str) -> None:
        """Pass a place; die there if that is asked for and has not happened yet."""
        if not self.crash_at:
            return
        self._passed[point] += 1
        mark = self.run_dir / "crashed"
        if f"{point}:{self._passed[point]}" == self.crash_at and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
