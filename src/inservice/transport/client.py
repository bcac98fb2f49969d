"""Connections to models and to control, pooled by their addresses: `upstream` tells what is
promised of each of them.

There is no task and no timer for a request: only a new connection costs one, and one sweep, twice a
second, looks for requests that have waited too long (`patience`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Final, cast

from inservice.transport.limits import Limits
from inservice.transport.patience import Watch, within
from inservice.transport.tokens import Tokens
from inservice.transport.upstream import Exchange, Failure, Home, Streamed, Upstream

CONNECT_SECONDS: Final = 1.0
"""A socket on this host accepts in microseconds; AWS gives a container 250 ms. A whole second,
since a machine that is starting twenty models is slow and not broken."""

IDLE_SECONDS: Final = 30.0
"""How long an unused connection is kept."""

IDLE_MAX: Final = 256
"""Unused connections kept to one address."""

_SWEEP_SECONDS: Final = 0.5
_BACKLOG_SECONDS: Final = 0.005


class Pool(Home):
    """All connections to one address: "unix:/path" or "tcp:host:port"."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.address = address
        self.limits = client.limits
        self.connections: set[Upstream] = set()
        self.closed = False
        self._idle: list[Upstream] = []

    def send(
        self,
        exchange: Exchange,
        message: Sequence[bytes],
        timeout_seconds: float,
        *,
        headless: bool = False,
    ) -> None:
        """Send a request on an unused connection, or on a new one. The exchange hears of it all."""
        while self._idle:
            upstream = self._idle.pop()  # the last used: the others may age and be closed
            if upstream.fresh:
                upstream.headless = headless
                upstream.send(exchange, message, self.client.deadline(timeout_seconds))
                return
            upstream.transport.abort()
        later = partial(self._send_on, exchange, message, timeout_seconds, headless)
        self.client.spawn(self._connect_and(later, exchange))

    def _send_on(
        self,
        exchange: Exchange,
        message: Sequence[bytes],
        timeout_seconds: float,
        headless: bool,
        upstream: Upstream,
    ) -> None:
        upstream.headless = headless
        upstream.send(exchange, message, self.client.deadline(timeout_seconds))

    def stream(self, exchange: Streamed, head: bytes, *, headless: bool = False) -> None:
        """Send the head of a request; the exchange sends its body once it `may_send`."""

        def send(upstream: Upstream) -> None:
            upstream.headless = headless
            upstream.stream(exchange, head)

        while self._idle:
            upstream = self._idle.pop()
            if upstream.fresh:
                send(upstream)
                return
            upstream.transport.abort()
        self.client.spawn(self._connect_and(send, exchange))

    def deadline(self, timeout_seconds: float) -> float:
        """The watched time before which a request of now must not be timed out."""
        return self.client.deadline(timeout_seconds)

    async def connect(self) -> Upstream:
        """A new connection. Raises OSError or TimeoutError."""
        upstream = Upstream(self)
        await within(CONNECT_SECONDS, self._open(cast("asyncio.Protocol", upstream)))
        return upstream

    async def _open(self, protocol: asyncio.Protocol) -> None:
        loop = self.client.loop
        scheme, _, rest = self.address.partition(":")
        if scheme != "unix":
            host, _, port = rest.rpartition(":")
            await loop.create_connection(
                lambda: protocol, host.strip("[]"), int(port), family=socket.AF_UNSPEC
            )
            return
        while True:
            try:
                await loop.create_unix_connection(lambda: protocol, rest)
            except BlockingIOError:  # it lives, and is slow to accept: its backlog is full
                await asyncio.sleep(_BACKLOG_SECONDS)
            else:
                return

    def give_back(self, upstream: Upstream) -> None:
        """A connection's answer ended well."""
        if self.closed or len(self._idle) >= IDLE_MAX:
            upstream.transport.close()
        else:
            upstream.idle_since = self.client.now
            self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        self.connections.discard(upstream)
        if upstream.exchange is None and upstream in self._idle:
            self._idle.remove(upstream)

    def close(self) -> None:
        """Use no connection again; those with a request on them close after its answer."""
        self.closed = True
        for upstream in self._idle:
            upstream.transport.close()
        self._idle.clear()

    def sweep(self, now: float) -> None:
        """Fail what has waited too long, close what nobody has used."""
        for upstream in tuple(self.connections):
            if upstream.deadline < now:
                upstream.fail(Failure.TIMED_OUT, "no answer in time")
        while self._idle and self._idle[0].idle_since < now - IDLE_SECONDS:
            self._idle.pop(0).transport.close()

    async def _connect_and(self, send: Callable[[Upstream], None], exchange: Exchange) -> None:
        try:
            upstream = await self.connect()
        except (OSError, TimeoutError) as error:
            if not exchange.given_up:
                exchange.answer_failed(Failure.NOT_SENT, str(error) or "no connection in time")
            return
        if exchange.given_up:
            self.give_back(upstream)
        elif upstream.fresh:
            send(upstream)
        else:
            upstream.transport.abort()
            exchange.answer_failed(Failure.NOT_SENT, "closed as soon as it was open")


class Client:
    """The pools of one process."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.loop = asyncio.get_running_loop()
        self.tokens = Tokens()
        self._watch = Watch(self.loop, _SWEEP_SECONDS)
        self.now = self._watch.now
        """The time that was watched, as of the last sweep: timeouts are seconds long."""
        self._pools: dict[str, Pool] = {}
        self._retired: list[Pool] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def pool(self, address: str) -> Pool:
        """The pool of an address, made when it is first asked for."""
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = Pool(self, address)
        return pool

    def deadline(self, timeout_seconds: float) -> float:
        """The watched time before which a request of now must not be timed out."""
        return self.now + timeout_seconds + _SWEEP_SECONDS

    def retain(self, addresses: Collection[str]) -> None:
        """Forget every pool but those of these addresses; what is under way there goes on."""
        for address in [known for known in self._pools if known not in addresses]:
            pool = self._pools.pop(address)
            pool.close()
            self._retired.append(pool)

    def close(self) -> None:
        """Close all connections at once, used or not."""
        self._timer.cancel()
        for task in self._connecting:
            task.cancel()
        for pool in (*self._pools.values(), *self._retired):
            pool.close()
            for upstream in tuple(pool.connections):
                upstream.transport.abort()

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run a connecting coroutine, and keep a reference to it while it runs."""
        task = self.loop.create_task(coroutine)
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _sweep(self) -> None:
        now = self._watch.look()
        self.now = self._watch.now
        for pool in (*self._pools.values(), *self._retired):
            pool.sweep(now)
        self._retired = [pool for pool in self._retired if pool.connections]
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)


__all__ = ["Client", "Exchange", "Failure", "Pool", "Streamed", "Upstream"]
