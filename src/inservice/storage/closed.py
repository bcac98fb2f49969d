"""What is answered while the objects cannot be opened: at once, that they cannot.

Requests wait for the process where the supervisor listens, through a restart as well. So one that
cannot open its objects answers for a while before it ends and is started again to try: nobody
learns from a silence of minutes that records are damaged, or that there is no room to open them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from inservice.errors import ServiceUnavailable
from inservice.storage.spoken import failure
from inservice.transport.messages import Request, Response
from inservice.transport.server import serve

SECONDS: Final = 5.0
"""Before the process ends, and is started again to try anew."""

WHY: Final = "The objects of this server cannot be opened just now. Its log says why."
"""Strangers are told no more: nobody's signature was looked at."""


async def answer_for_a_while(
    listening: socket.socket, ordered: Callable[[], Awaitable[None]]
) -> None:
    """Refuse whatever is asked, for `SECONDS`, or until there are orders."""
    server = await serve(_refuse, sockets=[listening.dup()])
    orders = asyncio.ensure_future(ordered())
    await asyncio.wait({orders}, timeout=SECONDS)
    orders.cancel()
    await server.drain(1.0)


def _refuse(request: Request) -> Response:
    reply = failure(request, ServiceUnavailable(WHY), os.urandom(8).hex().upper())
    assert isinstance(reply.body, bytes)
    return Response(reply.status, tuple(reply.headers), reply.body)
