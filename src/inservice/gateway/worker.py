"""A gateway worker: `python -m inservice.gateway.worker`, started by the supervisor.

It inherits the listening sockets, so that whatever happens to it no queued connection is lost. It
writes one byte a second to the heartbeat pipe: a worker that is stuck is silent, and is replaced.
SIGTERM drains it: nothing new is accepted, what is in flight is finished, the last counts are sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

import uvloop

from inservice.channel.following import Channel
from inservice.clock import Clock, SystemClock
from inservice.gateway.answers import RequestIds
from inservice.gateway.balance import health
from inservice.gateway.balance.instances import Instances
from inservice.gateway.carried import Places
from inservice.gateway.control import ControlPlane
from inservice.gateway.front import GatewayConnection, Plane
from inservice.gateway.routes import Routes
from inservice.gateway.runtime.plane import RuntimePlane
from inservice.gateway.runtime.sessions import Sessions
from inservice.gateway.runtime.shared import Gateway
from inservice.gateway.runtime.taps.counting import Counting
from inservice.gateway.storage import PLACES, SignedForStorage, UnsignedForStorage
from inservice.gateway.unsigned import Readiness, UnsignedPlane
from inservice.linux import keep_memory
from inservice.log_lines import write_lines
from inservice.threads import Threads
from inservice.transport.census import Census
from inservice.transport.client import Client
from inservice.transport.heartbeat import Heartbeat
from inservice.transport.limits import MIB, Limits
from inservice.transport.patience import within
from inservice.transport.server import Server

HEARTBEAT_SECONDS = 1.0

TIDY_SECONDS = 600.0
"""Between two looks for files of sessions that are over: a session lives for a day."""

LAST_COUNTS_SECONDS = 2.0
"""How long a drained worker waits for control to take its last counts."""

_log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run a worker until SIGTERM. Returns its exit code."""
    options = _options(argv)
    heartbeat = Heartbeat(options.heartbeat_fd, options.log_fd)
    write_lines(f"gateway-{options.index}", watched=heartbeat.watched_by_a_person())
    # Requests make no cycles of objects. A full collection walks all imported modules, 15 ms in
    # which nothing is answered; frozen, they are not walked.
    keep_memory(64 * MIB)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_run(options, heartbeat))
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="inservice.gateway.worker")
    parser.add_argument("--settings", help="accepted from the supervisor; all is in the others")
    parser.add_argument("--listen-fd", type=int, action="append", required=True)
    parser.add_argument("--heartbeat-fd", type=int)
    parser.add_argument("--log-fd", type=int)
    parser.add_argument("--census-fd", type=int)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--routes", type=Path, required=True)
    parser.add_argument("--channel", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--storage", type=Path, help="of a server that keeps objects")
    parser.add_argument("--body-bytes-max", type=int, default=Limits().body_bytes)
    parser.add_argument("--drain-seconds", type=float, default=30.0)
    return parser.parse_args(argv)


async def _run(options: argparse.Namespace, heartbeat: Heartbeat) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # its supervisor blocked it
    clock, counting, client, instances = SystemClock(), Counting(), Client(), Instances()

    behind = [f"unix:{path}" for path in (options.control, options.storage) if path is not None]

    def forget_absent(ids: Set[str], addresses: Set[str]) -> None:
        """Let go of what belongs to instances that are not in the table any more."""
        client.retain({*behind, *addresses})
        instances.retain(ids)

    routes = Routes(options.routes, forget_absent)
    routes.load()
    sessions = Sessions(options.routes.with_name("sessions"))
    ids = RequestIds()
    gateway = Gateway(routes, client, clock, sessions, ids, tap=counting, instances=instances)
    planes: list[Plane] = [
        RuntimePlane(gateway, options.body_bytes_max),
        UnsignedPlane(Readiness(routes, client, instances), ids),
        ControlPlane(client.pool(f"unix:{options.control}"), ids),
    ]
    if options.storage is not None:
        storage, places = client.pool(f"unix:{options.storage}"), Places(PLACES)
        planes.insert(0, SignedForStorage(storage, places, ids))
        planes.insert(-1, UnsignedForStorage(storage, places, ids))
    served = tuple(planes)
    server = Server(replace(Limits(), body_bytes=options.body_bytes_max, connections_max=_room()))
    server.share(
        lambda: GatewayConnection(server, served),
        [socket.socket(fileno=fd) for fd in options.listen_fd],
        None if options.census_fd is None else Census(options.census_fd, options.index),
    )
    channel = Channel(options.channel, options.index, routes, counting, gateway.refused, clock)
    following = [
        asyncio.create_task(channel.follow()),
        asyncio.create_task(channel.report()),
        asyncio.create_task(health.watch(client, routes, instances)),
        asyncio.create_task(_tidy(sessions, clock)),
    ]
    heartbeat.up()
    following.append(asyncio.create_task(_beat(heartbeat)))
    _log.info("pid %d serves table version %d", os.getpid(), routes.table.version)
    stopping = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait({stopping, *following}, return_when=asyncio.FIRST_COMPLETED)
    for task in ended - {stopping}:
        # Half a worker would be worse than none: drain, and be replaced.
        _log.critical("a part of this worker ended: %r", task.exception())
    stopping.cancel()
    await server.drain(options.drain_seconds)
    channel.send_counts()
    with contextlib.suppress(TimeoutError):
        await within(LAST_COUNTS_SECONDS, channel.confirmed())
    for task in following:
        task.cancel()
    client.close()


async def _tidy(sessions: Sessions, clock: Clock) -> None:
    """Look for sessions that are over, from time to time."""
    threads = Threads("sessions")
    while True:
        await threads.run(sessions.tidy, clock.wall())
        await asyncio.sleep(TIDY_SECONDS)


async def _beat(heartbeat: Heartbeat) -> None:
    """Say once a second that this loop still turns, for as long as anybody listens.

    When nobody does, the owner of the sockets is gone, and the worker lets go of the port.
    """
    while True:
        if not heartbeat.beat():
            return
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _room() -> int:
    """How many clients fit: each may need a second file descriptor, towards a model."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(8, (min(soft, 1_000_000) - 64) // 2)


if __name__ == "__main__":
    raise SystemExit(main())
