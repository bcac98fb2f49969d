"""What others see of artifacts: they are fetched for a fleet, and let go when nobody needs them.

Why one cannot be had is an `errors.ArtifactError`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

PIN_GRACE_SECONDS = 600.0
"""A pin this fresh is kept even if `release` is not told of it: its fleet may be in the making."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model's files on this host."""

    path: Path  # a read-only directory, shared between instances
    digest: str  # of what is in it: equal digests are equal files
    size_bytes: int  # unpacked
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds in "look", "download" and "unpack"; what the cache spared is absent."""


@dataclass(frozen=True, slots=True)
class ChangedTree:
    """A tree that was found changed, and was set aside."""

    digest: str  # of what it should have been
    place: Path  # where it is kept now
    pins: frozenset[str]
    """Everybody who began with it, whoever found it changed."""


OnChanged = Callable[[ChangedTree], None]
"""Called in the thread that found a tree changed, before anything is fetched anew."""


class Artifacts(Protocol):
    """The artifacts of this host. Methods block: call them in threads."""

    def fetch(
        self,
        uri: str,
        *,
        data_type: str = "S3Object",
        compression: str = "Gzip",
        pin: str,
        deadline: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> Artifact:
        """The directory of an artifact. `pin` is the fleet: it gets the same files ever after.
        `deadline` is an instant of `time.monotonic()`. Raises ArtifactError."""
        ...

    def release(
        self,
        pins_in_use: Collection[str],
        *,
        grace_seconds: float = PIN_GRACE_SECONDS,
        keep_idle: bool = True,
    ) -> None:
        """Forget fleets that are gone, then evict the least recently used over the cap, or (on a
        full disk) all that no fleet needs. Call it every few minutes with every fleet there is."""
        ...
