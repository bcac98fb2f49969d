"""Which image a fleet runs, whatever its tag has come to mean since.

A tag moves. On AWS the digest is settled when the endpoint is made, and an instance that is started
a month later, to replace one or to come back to it, runs the same. So the first launch of a fleet
settles it here, durably and before anything runs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from inservice import disk

GRACE_SECONDS = 3600.0
"""How long a pin is kept that nobody is known to need: a fleet may be made just now."""


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What was settled."""

    fleet: str
    image: str  # as it was given
    image_id: str  # the engine's
    digest: str  # "repository@sha256:…", to pull the same again; "": it came from no registry


class Pins:
    """Of all fleets."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "pins"

    def read(self, fleet: str, image: str) -> Pin | None:
        """What was settled for a fleet."""
        try:
            pin = msgspec.json.decode(self._path(fleet, image).read_bytes(), type=Pin)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return pin if (pin.fleet, pin.image) == (fleet, image) else None

    def settle(self, pin: Pin) -> None:
        """From now on. Raises OSError, and then nothing was settled."""
        for directory in (self._directory.parent, self._directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.write(self._path(pin.fleet, pin.image), msgspec.json.encode(pin))

    def release(self, in_use: Collection[str]) -> None:
        """Forget those of fleets that are no more."""
        before = time.time() - GRACE_SECONDS
        for path in self._directory.glob("*.json"):
            try:
                pin = msgspec.json.decode(path.read_bytes(), type=Pin)
                gone = pin.fleet not in in_use and path.stat().st_mtime < before
            except FileNotFoundError:
                continue
            except msgspec.MsgspecError:
                gone = True
            if gone:
                path.unlink(missing_ok=True)

    def _path(self, fleet: str, image: str) -> Path:
        name = hashlib.sha256(f"{fleet} {image}".encode()).hexdigest()[:40]
        return self._directory / f"{name}.json"
