"""An open-loop load: requests are due at a constant rate, whether or not answers come.

    eval "$(inservice env)"
    python -m benchmarks.load --endpoint my-endpoint --rate 500 --seconds 30

A closed loop waits for the slow server and so asks it less, and its latencies flatter (coordinated
omission). Here each request has the time at which it is due, and is as late as its answer is after
that. Every request is accounted for: sent or not, answered or not, by which variant, how late. The
ledger prints as a table, and `--ledger FILE` keeps one line of JSON per request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

RESIGN_SECONDS = 60.0
"""A signature holds for five minutes; signing each request costs the loader 200 µs."""

_TICK_SECONDS = 0.002


@dataclass(slots=True)
class Entry:
    """One request of the ledger. Times are seconds since the load began."""

    id: int
    due_at: float
    sent_at: float | None = None
    answered_at: float | None = None
    status: int = 0  # 0: no answer
    variant: str = ""
    error: str = ""

    @property
    def late_seconds(self) -> float | None:
        """From when it was due to its answer."""
        return None if self.answered_at is None else self.answered_at - self.due_at


@dataclass
class Ledger:
    """Every request that was due."""

    entries: list[Entry] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Counts and percentiles; `unaccounted` is 0 or this program is wrong."""
        answered = [e for e in self.entries if e.status]
        late = sorted(e.late_seconds or 0.0 for e in answered if e.status == 200)
        return {
            "due": len(self.entries),
            "sent": sum(e.sent_at is not None for e in self.entries),
            "answered": len(answered),
            "by_status": dict(Counter(e.status for e in answered)),
            "by_variant": dict(Counter(e.variant for e in answered if e.status == 200)),
            "unanswered": dict(Counter(e.error for e in self.entries if not e.status)),
            "unaccounted": sum(not e.status and not e.error for e in self.entries),
            "late_ms": {
                name: round(late[min(int(len(late) * share), len(late) - 1)] * 1e3, 2)
                for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
                if late
            },
        }


class Sender(asyncio.Protocol):
    """One connection of the load, with at most one request on it."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.entry: Entry | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = transport

    def send(self, entry: Entry, wire: bytes) -> None:
        """Send a request; the load hears of its end."""
        self.entry, self._received = entry, b""
        entry.sent_at = self.load.now()
        self.transport.write(wire)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """asyncio: a part of an answer, which ends where its Content-Length says."""
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank or self.entry is None:
            return
        pairs = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        headers = {name.lower(): value for name, value in pairs}
        if len(body) < int(headers.get(b"content-length", 0)):
            return
        entry, self.entry = self.entry, None
        entry.answered_at = self.load.now()
        entry.status = int(head[9:12])
        entry.variant = headers.get(b"x-amzn-invoked-production-variant", b"").decode()
        self.load.ended()
        if headers.get(b"connection") == b"close":
            self.transport.close()
        else:
            self.load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: gone, perhaps with a request on it."""
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.entry is not None:
            self.entry.error = f"connection lost: {type(exc).__name__ if exc else 'closed'}"
            self.entry = None
            self.load.ended()


class Load:
    """Requests at a constant rate to one endpoint."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        path: str,
        body: bytes,
        credentials: Credentials,
        region: str,
        connections_max: int = 1_000,
    ) -> None:
        self.ledger = Ledger()
        self.idle: deque[Sender] = deque()
        self._host, self._port, self._path, self._body = host, port, path, body
        self._credentials, self._region = credentials, region
        self._connections_max = connections_max
        self._under_way = 0
        self._began = time.perf_counter()
        self._signed_at = float("-inf")
        self._wire = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        """Seconds since the load began."""
        return time.perf_counter() - self._began

    def ended(self) -> None:
        """One request is over."""
        self._under_way -= 1

    async def run(self, rate: float, seconds: float, patience_seconds: float = 10.0) -> Ledger:
        """Send what is due when it is due; then wait for what is still under way."""
        self._began = time.perf_counter()
        count, total = 0, int(rate * seconds)
        while count < total:
            due = min(int(self.now() * rate) + 1, total)
            while count < due:
                self._begin(Entry(count, count / rate))
                count += 1
            await asyncio.sleep(_TICK_SECONDS)
        deadline = self.now() + patience_seconds
        while self._under_way and self.now() < deadline:
            await asyncio.sleep(_TICK_SECONDS)
        for entry in self.ledger.entries:
            if not entry.status and not entry.error:
                entry.error = "no answer in time"
        while self.idle:
            self.idle.pop().transport.close()
        return self.ledger

    def _begin(self, entry: Entry) -> None:
        self.ledger.entries.append(entry)
        if self._under_way >= self._connections_max:
            entry.error = "not sent: all connections of the loader are waiting"
            return
        self._under_way += 1
        if self.idle:
            self.idle.pop().send(entry, self._signed())
        else:
            task = asyncio.get_running_loop().create_task(self._connect(entry))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, sender = await loop.create_connection(lambda: Sender(self), self._host, self._port)
        except OSError as error:
            entry.error = f"not sent: {type(error).__name__}"
            self.ended()
        else:
            sender.send(entry, self._signed())

    def _signed(self) -> bytes:
        """The request, signed anew once a minute."""
        if time.monotonic() - self._signed_at > RESIGN_SECONDS:
            host = f"{self._host}:{self._port}"
            request = AWSRequest(
                "POST",
                f"http://{host}{self._path}",
                data=self._body,
                headers={"Content-Type": "application/json"},
            )
            SigV4Auth(self._credentials, "sagemaker", self._region).add_auth(request)
            lines = [f"POST {self._path} HTTP/1.1", f"Host: {host}"]
            lines.append(f"Content-Length: {len(self._body)}")
            lines += [f"{name}: {value}" for name, value in request.headers.items()]
            self._wire = "\r\n".join([*lines, "", ""]).encode() + self._body
            self._signed_at = time.monotonic()
        return self._wire


def main() -> int:
    """Run a load and print its ledger's summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--url", default=os.environ.get("AWS_ENDPOINT_URL", ""))
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rate", type=float, default=500.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--body", default='{"instances": [[5.1, 3.5, 1.4, 0.2]]}')
    parser.add_argument("--connections-max", type=int, default=1_000)
    parser.add_argument("--ledger", type=Path, help="keep every request as a line of JSON")
    options = parser.parse_args()
    target = urlsplit(options.url)
    load = Load(
        target.hostname or "127.0.0.1",
        target.port or 80,
        path=f"/endpoints/{options.endpoint}/invocations",
        body=options.body.encode(),
        credentials=Credentials(
            os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        ),
        region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        connections_max=options.connections_max,
    )
    ledger = uvloop.run(load.run(options.rate, options.seconds))
    summary = ledger.summary()
    print(json.dumps(summary, indent=2))
    if options.ledger:
        lines = (json.dumps(asdict(entry)) for entry in ledger.entries)
        options.ledger.write_text("\n".join(lines) + "\n")
    return 0 if not summary["unaccounted"] else 1


if __name__ == "__main__":
    sys.exit(main())
