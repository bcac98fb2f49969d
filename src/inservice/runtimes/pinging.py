"""What it means to ping an instance: how often, for how long, and in which words it is told.

Whatever runs an instance and whoever asks, an answer is a stranger's: at most HEAD_BYTES_MAX of it
are read, and it may be anything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from inservice.runtimes.base import InstanceState, Probe, Sight

PING_SECONDS = 2.0
"""AWS's own limit for one attempt; of time in which this process was able to watch."""

HEAD_BYTES_MAX = 16 * 1024

REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

FIRST_LOOK_SECONDS = 0.01
"""An instance forked from a prepared process is ready within some tens of milliseconds."""

STARTING_LOOK_SECONDS_MAX = 0.25
"""A model that loads for minutes need not be asked more often than this."""

STARTING_LOOK_GROWTH = 1.3
"""How much longer each pause is than the one before."""

STEADY_LOOK_SECONDS = 5.0
"""AWS's own: how late it is noticed that an idle instance does not answer. One that is sent
requests is known to its gateway within two seconds."""

ILL_LOOK_SECONDS = 1.0
"""How late it is noticed that one answers again."""

PROBES_KEPT = 8

SILENT = "not listening yet"

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_TIMING = re.compile(rb"^server-timing:([^\r]*)", re.IGNORECASE | re.MULTILINE)
_PHASE = re.compile(r"([a-z]+);dur=([0-9.]{1,12})(?:,|\s|$)")


def outcome(head: bytes) -> str:
    """What an answer comes to: its status, or what it is instead of one."""
    if (status := _STATUS.match(head)) is not None:
        return status.group(1).decode()
    return f"not HTTP: {head[:40]!r}" if head else "closed without an answer"


def trouble(error: OSError) -> str:
    """What it comes to that there is no answer."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return SILENT
    return os.strerror(error.errno) if error.errno else type(error).__name__


def phases(head: bytes) -> dict[str, float]:
    """Seconds by phase, as our own model server tells them in Server-Timing; else empty."""
    timing = _TIMING.search(head)
    if timing is None:
        return {}
    told: dict[str, float] = {}
    for name, milliseconds in _PHASE.findall(timing.group(1).decode("latin-1")):
        with contextlib.suppress(ValueError):
            told[name] = float(milliseconds) / 1000
    return told


def state(*, well: bool, was_ready: bool) -> InstanceState:
    """What an instance is seen to be, as long as it lives."""
    if well:
        return InstanceState.READY
    return InstanceState.UNHEALTHY if was_ready else InstanceState.STARTING


def is_news(now: InstanceState, probes: tuple[Probe, ...], last: Sight) -> bool:
    """Whether somebody who saw the last should see this. That one is still well is no news."""
    if now is not last.state:
        return True
    return now is not InstanceState.READY and probes != last.probes
