"""How many processors and how much memory there are for instances: of the host, or, where the
server itself is limited, of its control group, whichever is less."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")

_GROUP = re.compile(r"^\d+:([^:]*):(/.*)$", re.MULTILINE)


def vcpus() -> int:
    """Processors that this process may run on."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(int(each) for each in _quotas())]))


def memory_bytes() -> int:
    """Of the host, without swap."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *_memory_limits()])


def own_groups(text: str | None = None) -> Iterator[tuple[str, str]]:
    """(controllers, path) of the control groups of this process; of the unified hierarchy (v2)
    there are none named."""
    if text is None:
        with contextlib.suppress(OSError):
            text = Path("/proc/self/cgroup").read_text()
    for found in _GROUP.finditer(text or ""):
        yield found[1], found[2]


def _quotas() -> Iterator[float]:
    for controllers, group in own_groups():
        if controllers == "":
            for place in _upwards(ROOT, group):
                quota, _, period = _said(place / "cpu.max").partition(" ")
                if quota.isdecimal() and period.isdecimal():
                    yield int(quota) / int(period)
        elif "cpu" in controllers.split(","):
            for place in _upwards(ROOT / "cpu", group):
                quota, period = (
                    _said(place / "cpu.cfs_quota_us"),
                    _said(place / "cpu.cfs_period_us"),
                )
                if quota.isdecimal() and period.isdecimal():
                    yield int(quota) / int(period)


def _memory_limits() -> Iterator[int]:
    for controllers, group in own_groups():
        if controllers == "":
            for place in _upwards(ROOT, group):
                if (limit := _said(place / "memory.max")).isdecimal():
                    yield int(limit)
        elif "memory" in controllers.split(","):
            for place in _upwards(ROOT / "memory", group):
                if (limit := _said(place / "memory.limit_in_bytes")).isdecimal():
                    yield int(limit)


def _upwards(root: Path, group: str) -> Iterator[Path]:
    """The group and all above it, as far as they are to be seen from here."""
    place = root / group.lstrip("/")
    while place != root:
        yield place
        place = place.parent
    yield root


def _said(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
