"""Pings to the instances that have fallen silent, and to those that were ejected.

Everybody else is pinged by control alone. What is asked here is narrower: whether requests that are
due now should go there. The answer is this worker's own, and is known two seconds after an instance
stops answering, before any request has waited for its timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from inservice.gateway.balance.instances import Instances
from inservice.gateway.routed import Routed
from inservice.routing.table import FleetRoute, InstanceRoute, RoutingTable
from inservice.transport.client import Client, Failure, Pool, Upstream
from inservice.transport.framing import ResponseHead

EVERY_SECONDS = 1.0

PING_SECONDS = 1.0
"""AWS gives /ping two seconds. This one decides less, and must decide before clients despair."""

_PING = b"GET /ping HTTP/1.1%bHost: localhost:8080\r\n\r\n"


class Ping:
    """One GET /ping; `ok` is done with whether it was answered with 200."""

    def __init__(self, token_line: bytes) -> None:
        self.token_line = token_line
        self.given_up = False
        self.upstream: Upstream | None = None
        self.ok: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._status = 0

    def answer_begins(self, head: ResponseHead) -> None:
        """Exchange: the head."""
        self._status = head.status

    def part_received(self, part: bytes) -> None:
        """Exchange: what a ping says beside its status is for nobody."""

    def answer_ended(self) -> None:
        """Exchange: the end."""
        self._settle(self._status == 200)

    def answer_failed(self, failure: Failure, why: str) -> None:  # noqa: ARG002 - it failed
        """Exchange: no answer."""
        self._settle(False)

    def _settle(self, ok: bool) -> None:
        if not self.ok.done():
            self.ok.set_result(ok)


async def ping(pool: Pool) -> bool:
    """Whether an instance answers GET /ping with 200, in time."""
    exchange = Ping(pool.client.tokens.next())
    pool.send(exchange, [_PING % exchange.token_line], PING_SECONDS)
    return await exchange.ok


async def watch(client: Client, routes: Routed, instances: Instances) -> None:
    """Ping who needs it once a second, until cancelled."""

    async def look(instance: InstanceRoute, fleet: FleetRoute) -> None:
        if await ping(client.pool(instance.address)):
            instances.readmit(instance.id)
        else:
            instances.ping_failed(instance, fleet)

    while True:
        await asyncio.sleep(EVERY_SECONDS)
        suspects = set(instances.silent(client.now))
        ejected = instances.ejected
        if suspects or ejected:
            asked = [
                (instance, fleet)
                for instance, fleet in _instances(routes.table)
                if instance.id in suspects or instance.id in ejected
            ]
            await asyncio.gather(*(look(*one) for one in asked))


def _instances(table: RoutingTable) -> Iterator[tuple[InstanceRoute, FleetRoute]]:
    for route in table.endpoints.values():
        for fleet in route.fleets:
            for instance in fleet.instances:
                yield instance, fleet
