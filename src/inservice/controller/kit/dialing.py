"""Connecting to strangers: where a URL of somebody's leads, judged, within a deadline.

The address that was judged is the one that is connected to: a name is looked up once. Look-ups,
which no deadline can end, have threads that nobody else waits for. Who connects sets the deadline
around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from inservice.clock import Clock
from inservice.controller.kit.receivers import Networks, Receiver
from inservice.threads import Hazards, Threads

LOOKUPS_AT_ONCE: Final = 32
TRUST_SECONDS: Final = 300.0
"""How long the host's certificates are remembered: reading them takes 30 ms."""

Resolver = Callable[[str, int], Sequence[str]]
"""(name or address, port) → addresses, best first. Blocks; raises OSError."""


def looked_up(host: str, port: int) -> Sequence[str]:
    """As the host's resolver has it; IPv6 addresses with their zone."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class NotAllowed(Exception):
    """No address of the name may be connected to; the message says why."""


class Dialer:
    """Connects."""

    def __init__(self, clock: Clock, networks: Networks, look_up: Resolver = looked_up) -> None:
        self._clock = clock
        self._networks = networks
        self._look_up = look_up
        self._lookups = Hazards("lookup", LOOKUPS_AT_ONCE)
        self._disk = Threads("certificates")
        self._asked: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def connect(
        self, receiver: Receiver, seconds: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, encrypted where the URL says so; `seconds` are shared by the addresses of
        the name. Raises NotAllowed and OSError (which the errors of TLS are)."""
        addresses = await self._allowed(receiver)
        trust = await self._trusted() if receiver.tls else None
        connection = await _connected(addresses, receiver.port, seconds)
        try:
            return await asyncio.open_connection(
                sock=connection, ssl=trust, server_hostname=receiver.host if trust else None
            )
        except BaseException:
            connection.close()
            raise

    async def _allowed(self, receiver: Receiver) -> Sequence[str]:
        """The addresses of a receiver that may be connected to."""
        found = await self._addresses(receiver.host, receiver.port)
        allowed = [address for address in found if self._networks.allow(address)]
        if found and not allowed:
            raise NotAllowed(f"the address {found[0]} is not allowed by INSERVICE_WEBHOOK_ALLOW")
        return allowed

    async def _trusted(self) -> ssl.SSLContext:
        return await self._disk.run(trusted_authorities, int(self._clock.now() // TRUST_SECONDS))

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Look a name up, once for all who ask at the same time."""
        with contextlib.suppress(ValueError):
            return [str(ip_address(host))]
        asked = self._asked.get((host, port))
        if asked is None or asked.get_loop() is not asyncio.get_running_loop():
            call = functools.partial(self._look_up, host, port)
            asked = self._asked[host, port] = asyncio.ensure_future(self._lookups.run(call))
            asked.add_done_callback(lambda done: self._answered(host, port, done))
        return await asyncio.shield(asked)

    def _answered(self, host: str, port: int, asked: asyncio.Future[Sequence[str]]) -> None:
        if self._asked.get((host, port)) is asked:
            del self._asked[host, port]
        if not asked.cancelled():
            asked.exception()  # who asked may have left: it is nobody's surprise


async def _connected(addresses: Iterable[str], port: int, seconds: float) -> socket.socket:
    """A connection to the first address that takes one."""
    left = list(addresses)
    error: OSError = OSError("the name has no address")
    share = seconds / max(2, len(left))
    for address in left:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = _place(address, port)
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.setblocking(False)
            async with asyncio.timeout(share):
                await asyncio.get_running_loop().sock_connect(connection, place)
        except TimeoutError:
            connection.close()
            error = OSError(f"{address} took no connection in {share:.0f} s")
        except OSError as problem:
            connection.close()
            error = problem
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise error


def _place(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    bare, _, zone = address.partition("%")
    if not zone:
        return (address, port)
    return (bare, port, 0, int(zone) if zone.isdecimal() else socket.if_nametoindex(zone))


@functools.lru_cache(maxsize=1)
def trusted_authorities(_period: int) -> ssl.SSLContext:
    """Whom this host trusts. Read again from time to time: an administrator adds to it."""
    return ssl.create_default_context()
