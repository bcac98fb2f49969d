"""Python's share of one invocation: the gateway's own code, with no socket and no other process.

    python -m benchmarks.gateway.inside [--rounds 200] [--requests 500] [--profile]

The transports are stand-ins that take what is written, the model's answer is handed in by the loop
itself. What is left is what our code costs; the least disturbed of many short rounds is what a busy
machine tells most truly. `--profile` prints the time by function instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import socket
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from benchmarks import wrk
from benchmarks.gateway.__main__ import json_body
from benchmarks.gateway.contestants import ACCOUNT, KEY_ID, PATH, REGION, SECRET

from inservice.clock import SystemClock
from inservice.gateway.answers import RequestIds
from inservice.gateway.control import ControlPlane
from inservice.gateway.front import GatewayConnection
from inservice.gateway.runtime.plane import RuntimePlane
from inservice.gateway.runtime.sessions import Sessions
from inservice.gateway.runtime.shared import Gateway
from inservice.gateway.runtime.taps.counting import Counting
from inservice.gateway.unsigned import Readiness, UnsignedPlane
from inservice.routing.table import (
    WHOLE,
    EndpointRoute,
    FleetRoute,
    InstanceRoute,
    KeyRoute,
    RoutingTable,
)
from inservice.transport.client import Client, Upstream
from inservice.transport.limits import Limits
from inservice.transport.server import Server

ADDRESS = "unix:/nowhere"

ANSWER = (
    b"HTTP/1.1 200 OK%bcontent-type: application/json\r\ncontent-length: 22\r\n\r\n"
    b'{"predictions": [1.0]}'
)


class Transport(asyncio.Transport):
    """Takes what is written. Its socket is real, since it is asked whether it is still open."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.ours, self.theirs = socket.socketpair()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """asyncio: only the socket is asked for."""
        return self.ours if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """asyncio: nothing is ever behind."""

    def get_write_buffer_size(self) -> int:
        """asyncio: nothing is ever behind."""
        return 0

    def is_closing(self) -> bool:
        """asyncio: open until the end."""
        return False

    def write(self, data: object) -> None:  # noqa: ARG002 - asyncio's
        """asyncio: it is sent."""
        self.written += 1


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.inside")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--profile", action="store_true")
    asyncio.run(_measure(parser.parse_args()))
    return 0


async def _measure(options: argparse.Namespace) -> None:
    contestant = wrk.Contestant("", "", "127.0.0.1:7420", [], PATH, json_body(512))
    request = wrk.signed_request(contestant, KEY_ID, SECRET, REGION)
    counting = Counting()
    connection, upstream = _put_together(counting)
    client = cast("Transport", connection.transport)

    def invoke(count: int) -> None:
        for _ in range(count):
            connection.data_received(request)
            asked = upstream.exchange
            assert asked is not None
            upstream.data_received(ANSWER % asked.token_line)

    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # as a worker does
    invoke(2_000)
    assert client.written == 2_000
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(invoke, 20_000)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    rounds = []
    for _ in range(options.rounds):
        began = time.process_time_ns()
        invoke(options.requests)
        rounds.append((time.process_time_ns() - began) / options.requests / 1_000)
        counting.flush(0.0)
        counting.confirm(sys.maxsize)
    print(wrk.machine())
    print(
        f"{min(rounds):.2f} µs of Python an invocation (best), "
        f"{statistics.median(rounds):.2f} (median of {options.rounds} rounds)"
    )


def _put_together(counting: Counting) -> tuple[GatewayConnection, Upstream]:
    """A gateway that knows one endpoint with one instance, and both of its connections."""
    fleet = FleetRoute("f", "AllTraffic", "c", WHOLE, "RANDOM", (InstanceRoute("f/0", ADDRESS),))
    route = EndpointRoute(ACCOUNT, REGION, "bench", (fleet,))
    key = KeyRoute(KEY_ID, SECRET, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    table = RoutingTable(1, {(ACCOUNT, REGION, "bench"): route}, {KEY_ID: key})
    client, ids, routes = Client(), RequestIds(), SimpleNamespace(table=table)
    sessions = Sessions(Path("/nowhere"))
    gateway = Gateway(routes, client, SystemClock(), sessions, ids, tap=counting)
    server = Server(Limits())
    planes = (
        RuntimePlane(gateway, server.limits.body_bytes),
        UnsignedPlane(Readiness(routes, client, gateway.instances), ids),
        ControlPlane(client.pool("unix:/control"), ids),
    )
    connection = GatewayConnection(server, planes)
    connection.connection_made(Transport())
    pool = client.pool(ADDRESS)
    upstream = Upstream(pool)
    upstream.connection_made(Transport())
    pool.give_back(upstream)
    return connection, upstream


if __name__ == "__main__":
    sys.exit(main())
