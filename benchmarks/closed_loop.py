"""A load generator that costs next to nothing: the same bytes again on each connection.

Every connection sends, waits for the whole answer, and sends again (a closed loop). The request is
built and signed beforehand, and an answer is only counted off by its Content-Length, so on the
same two cores the generator takes about 15 µs per request and the server gets the rest.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import uvloop

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    """Where to and what, ready for the wire."""

    host: str
    port: int
    wire: bytes


@dataclass
class Result:
    """What a run came to."""

    seconds: float
    latencies: list[float] = field(default_factory=list)  # of answers with status 200
    failures: dict[str, int] = field(default_factory=dict)  # by status line, or by what happened

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, request: Request, result: Result, until: float) -> None:
        self._request = request
        self._result = result
        self._until = until
        self._buffer = b""
        self._sent_at = time.perf_counter()  # a connection that has to be made counts too
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request.wire)  # type: ignore[attr-defined]

    def data_received(self, received: bytes) -> None:
        self._buffer += received
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        start = head.lower().index(b"content-length:") + 15
        length = int(head[start : (head + b"\r").index(b"\r", start)])
        if len(body) < length:
            return
        self._buffer = body[length:]
        if head[9:12] == b"200":
            self._result.latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._count(head.split(b"\r\n")[0].decode())
        if b"\r\nconnection: close" in head.lower() or time.perf_counter() >= self._until:
            self._transport.close()
            self.ended.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._request.wire)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self._count(f"connection lost: {error}")
            self.ended.set_result(None)

    def _count(self, failure: str) -> None:
        self._result.failures[failure] = self._result.failures.get(failure, 0) + 1


def measure(request: Request, *, connections: int, seconds: float) -> Result:
    """Run the loop on some connections for some seconds."""

    async def run() -> Result:
        began = time.perf_counter()
        until = began + seconds
        result = Result(0.0)
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            await asyncio.gather(*(_keep_on(request, result, until) for _ in range(connections)))
        result.seconds = time.perf_counter() - began
        return result

    return uvloop.run(run())


async def _keep_on(request: Request, result: Result, until: float) -> None:
    """One connection after the other, for peers that close theirs after each answer."""
    loop = asyncio.get_running_loop()
    while time.perf_counter() < until:
        _, connection = await loop.create_connection(
            lambda: _Connection(request, result, until), request.host, request.port
        )
        await connection.ended
