"""Durations as people write and read them: `90`, `90s`, `10m`, `1h30m`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Final

_WRITTEN: Final = re.compile(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


def seconds_of(written: str) -> float:
    """What `10m` means, in seconds. Raises argparse's ArgumentTypeError: it is an option's type."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ArgumentTypeError(f"{written!r} is no duration; write 90, 90s, 10m or 1h30m")
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)


def whole_seconds_of(written: str) -> int:
    """The same for AWS's members, which are whole seconds."""
    seconds = seconds_of(written)
    if seconds != int(seconds):
        raise ArgumentTypeError(f"{written!r} is no whole number of seconds")
    return int(seconds)


def spelled(seconds: float) -> str:
    """67 → "1m 07s"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
