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
    """For a person who looks: 67 → "1m07s", 5400 → "1h30m", two days → "2d00h"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def elapsed(seconds: float) -> str:
    """The same for what has just been waited for: its first ten seconds have tenths."""
    return f"{seconds:.1f}s" if seconds < 10 else spelled(seconds)


def exactly(seconds: float) -> str:
    """For a plan, and to be given back as an option: 5400 → "1h30m", 3605 → "1h5s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0"
