"""How much of an artifact this server agrees to take, and how long it may take."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from inservice.artifacts.errors import FetchCancelled, FetchTimedOut

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one artifact, and on all of them together, inclusive; and how hard to try."""

    packed_bytes_max: int = 5 * GIB  # what is transferred
    unpacked_bytes_max: int = 20 * GIB  # what lands on disk, tar headers and padding included
    entries_max: int = 100_000  # files and directories, implied ones too
    depth_max: int = 32  # parts of one path
    path_bytes_max: int = 1024  # the longest S3 key
    part_bytes_max: int = 255  # what file systems allow, and AWS's limit for a key's parts
    # Deflate cannot exceed 1,032:1 and real weights stay below 10:1. The ratio binds only past
    # `ratio_free_bytes`, since a small model full of zeros is honest.
    ratio_max: int = 200
    ratio_free_bytes: int = 256 * MIB
    # Before the second try of a storage that failed; it doubles with every further one.
    retry_pause_seconds: float = 0.4
    # What stays on disk for fleets that are gone, so that their next launch needs no download.
    cache_bytes_max: int = 20 * GIB


class Watch:
    """The patience of one fetch: until when, and whether anybody still waits for it."""

    def __init__(
        self, deadline: float | None = None, cancelled: threading.Event | None = None
    ) -> None:
        """`deadline` is an instant of `time.monotonic()`; None never ends."""
        self._started_at = time.monotonic()
        self._deadline = deadline
        self._cancelled = cancelled or threading.Event()

    def check(self) -> None:
        """Return while there is patience left. Raises FetchTimedOut and FetchCancelled."""
        if self._cancelled.is_set():
            raise FetchCancelled("The fetch was cancelled: what asked for it is gone.")
        if self.remaining_seconds() <= 0:
            raise FetchTimedOut(
                f"Download and unpacking were not over after "
                f"{time.monotonic() - self._started_at:.0f} s. Raise "
                "ModelDataDownloadTimeoutInSeconds of the production variant, or make the "
                "artifact smaller."
            )

    def remaining_seconds(self) -> float:
        """Seconds until the deadline; an hour when there is none."""
        if self._deadline is None:
            return 3600.0
        return self._deadline - time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait between two tries, no longer than there is patience. Raises as `check` does."""
        self._cancelled.wait(max(0.0, min(seconds, self.remaining_seconds())))
        self.check()
