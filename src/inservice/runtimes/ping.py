"""GET /ping, once, against something that may be anything: a container is an untrusted upstream."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field

from inservice.runtimes.base import Probe

PING_SECONDS = 2.0
"""AWS's own limit for one attempt."""

HEAD_BYTES_MAX = 16 * 1024

_REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_TIMING = re.compile(rb"^server-timing:([^\r]*)", re.IGNORECASE | re.MULTILINE)
_PHASE = re.compile(r"([a-z]+);dur=([0-9.]{1,12})(?:,|\s|$)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe brought back."""

    probe: Probe
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds by phase, as our own model server tells them in Server-Timing; else empty."""


async def ping(address: str) -> Answer:
    """One probe of `unix:<path>` or `tcp:<host>:<port>`. Never raises for what the other side does.

    The outcome is the status as a string, or what happened instead.
    """
    at, began = time.time(), time.monotonic()
    head = b""
    try:
        async with asyncio.timeout(PING_SECONDS):
            head = await _head(address)
        outcome = _outcome(head)
    except TimeoutError:
        outcome = "timed out"
    except (FileNotFoundError, ConnectionRefusedError):
        outcome = "not listening yet"
    except OSError as error:
        outcome = error.strerror or type(error).__name__
    ms = (time.monotonic() - began) * 1000
    return Answer(Probe(at, outcome, ms), _phases(head))


async def _head(address: str) -> bytes:
    kind, _, place = address.partition(":")
    if kind == "unix":
        reader, writer = await asyncio.open_unix_connection(place, limit=HEAD_BYTES_MAX)
    else:
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=HEAD_BYTES_MAX)
    with contextlib.closing(writer):
        writer.write(_REQUEST)
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError:
            return await reader.read(HEAD_BYTES_MAX)


def _outcome(head: bytes) -> str:
    if (status := _STATUS.match(head)) is not None:
        return status.group(1).decode()
    return f"not HTTP: {head[:40]!r}" if head else "closed without an answer"


def _phases(head: bytes) -> dict[str, float]:
    timing = _TIMING.search(head)
    if timing is None:
        return {}
    said = timing.group(1).decode("latin-1")
    phases: dict[str, float] = {}
    for name, milliseconds in _PHASE.findall(said):
        with contextlib.suppress(ValueError):
            phases[name] = float(milliseconds) / 1000
    return phases
