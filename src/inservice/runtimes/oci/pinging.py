"""GET /ping of a container, and what may be wrong with its port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from inservice.runtimes import pinging
from inservice.runtimes.base import Probe
from inservice.runtimes.oci.records import Record

_LAST_LOOK_SECONDS = 0.05
"""A deadline that has passed while this process did not run says nothing of the container: what it
had answered by then is read before it is judged."""

_LISTENING = "0A"
_LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe brought back."""

    probe: Probe
    phases: dict[str, float] = field(default_factory=dict)


async def ping(record: Record) -> Answer:
    """One try, of 2 s at most."""
    at, began = time.time(), time.monotonic()
    asking = asyncio.ensure_future(_head(record.address))
    try:
        done, _ = await asyncio.wait({asking}, timeout=pinging.PING_SECONDS)
        if not done:
            done, _ = await asyncio.wait({asking}, timeout=_LAST_LOOK_SECONDS)
    finally:
        asking.cancel()
    head, outcome = b"", "timed out"
    if done:
        try:
            head = asking.result()
            outcome = pinging.outcome(head)
        except OSError as error:
            outcome = pinging.trouble(error)
        if not head:
            outcome = _why_nothing(record, outcome)
    ms = (time.monotonic() - began) * 1000
    return Answer(Probe(at, outcome, ms), pinging.phases(head))


async def _head(address: str) -> bytes:
    kind, _, place = address.partition(":")
    if kind == "unix":
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    head = b""
    with contextlib.closing(writer):
        writer.write(pinging.REQUEST)
        while b"\r\n\r\n" not in head and len(head) < pinging.HEAD_BYTES_MAX:
            piece = await reader.read(pinging.HEAD_BYTES_MAX)
            if not piece:
                break
            head += piece
    return head


def _why_nothing(record: Record, outcome: str) -> str:
    """Nothing was answered: it may be that nobody listens there, whatever takes connections in the
    container's place (an engine's proxy takes all), or that somebody listens elsewhere."""
    ports = listening(record.pid)
    if ports is None:
        return outcome
    if ports.get(record.port) is False or (record.port in ports and record.isolated):
        return outcome
    if record.port in ports:
        return f"listening on 127.0.0.1:{record.port} alone, inside of the container"
    if ports:
        others = ", ".join(map(str, sorted(ports)))
        return f"not listening on port {record.port}, but on {others}"
    return pinging.SILENT


def listening(pid: int) -> dict[int, bool] | None:
    """The ports that are listened on in the network of a process, and whether on its loopback
    alone; None if that cannot be seen."""
    ports: dict[int, bool] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:
            if name == "tcp":
                return None
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == _LISTENING:
                host, _, port = local.partition(":")
                number = int(port, 16)
                ports[number] = ports.get(number, True) and host in _LOOPBACK
    return ports
