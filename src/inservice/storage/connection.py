"""A connection from a gateway worker: bytes of requests in, replies out, neither whole in memory.

What blocks is done in threads, of which there are a few for each kind of waiting: `begin` and `end`
of a request in those for operations, its body in those for bodies, what is read to be sent in those
for readings. Whoever sends a body is held up while more than a few reads of it wait for a thread,
and whoever takes one is read for no faster than it is taken.

A small request that came whole, which is most of them, costs one call in a thread. A reply may come
before the body has ended, and then it refuses it: the rest is thrown away with the connection.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from inservice.storage.calls import Span
from inservice.storage.service import Begun, Reply, Service
from inservice.threads import Threads
from inservice.transport.connection import BODY, Connection
from inservice.transport.framing import LENGTH_MAX
from inservice.transport.limits import BEHIND_GATEWAY
from inservice.transport.listening import Server
from inservice.transport.messages import LENGTHLESS, Refusal, Request, encode_head
from inservice.transport.tokens import EXCHANGE

_log = logging.getLogger(__name__)

LIMITS: Final = replace(BEHIND_GATEWAY, write_stall_seconds=480.0, body_seconds=480.0)
"""Clients are judged by the gateway, which is as slow towards us as they are towards it."""

HELD_BYTES: Final = 256 * 1024
"""Of a body that wait for a thread; beyond, whoever sends it is held up."""

CHUNK_BYTES: Final = 256 * 1024
"""Of an object, read at once."""

OPERATIONS_THREADS: Final = 8
BODIES_THREADS: Final = 4
READINGS_THREADS: Final = 4


class Hands:
    """Who does what blocks."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.operations = Threads("operations", OPERATIONS_THREADS)
        self.bodies = Threads("bodies", BODIES_THREADS)
        self.readings = Threads("readings", READINGS_THREADS)


class StorageConnection(Connection):
    """Each of its requests is answered by a task."""

    __slots__ = ("_came", "_ended", "_expected", "_hands", "_opening", "_task", "_waiting")

    def __init__(self, server: Server, hands: Hands) -> None:
        super().__init__(server)
        self._hands = hands
        self._opening = b""
        self._expected = False  # the client waits for a word before it sends the body
        self._ended = False  # all of the body has come
        self._came = 0  # bytes of the body that nobody has taken yet
        self._waiting: asyncio.Future[None] | None = None  # for more of the body, or for room
        self._task: asyncio.Task[None] | None = None

    # ── the request ─────────────────────────────────────────────────────────────────────────────
    def body_limit(self, request: Request) -> int:  # noqa: ARG002 - said by the operation
        """The operation's, which refuses what is longer by its head."""
        return LENGTH_MAX

    def body_begins(self, request: Request, expects: bool) -> None:
        """Nothing of it is read before its head is in order."""
        self._expected = expects
        self.hold_body()
        self._start(request)

    def part_received(self, request: Request, part: bytes) -> None:
        """A part of the body, for whoever takes it."""
        request.parts.append(part)
        self._came += len(part)
        if self._task is not None and self.state == BODY:
            if self._came >= HELD_BYTES:
                self.hold_body()
            self._wake()

    def request_received(self, request: Request) -> None:
        """The body is whole; of one that came with its head nobody has heard yet."""
        self._ended = True
        if self._task is None:
            self._start(request)
        else:
            self._wake()

    def opening(self) -> bytes:
        """The token that the request brought, said back."""
        if self._task is None and self.request is not None:
            return _said_back(self.request)
        return self._opening

    def may_write(self) -> None:
        """What was written has left."""
        self._wake()

    def client_left(self) -> None:
        """Nobody is waiting any more. What is being done is done to its end, in its thread."""
        self._wake()

    def _start(self, request: Request) -> None:
        self._opening = _said_back(request)
        self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _woken(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting
        self._waiting = None

    # ── what is done with it ────────────────────────────────────────────────────────────────────
    async def _serve(self, request: Request) -> None:
        try:
            reply = await self._reply_to(request)
            if reply is not None:
                await self._send(request, reply)
        except Exception:  # noqa: BLE001 - the last resort: half an answer may be out
            _log.exception("answering %s failed", request.method)
            self.transport.abort()

    async def _reply_to(self, request: Request) -> Reply | None:
        """The reply; None where nobody waits for one any more."""
        hands = self._hands
        if self._ended:
            return await hands.operations.run(hands.service.answer, request)
        begun = await hands.operations.run(hands.service.begin, request)
        if isinstance(begun, Reply):
            return begun
        try:
            if self._expected:
                self.say_continue()
            refused = await self._take_body(request, begun)
            if self.request is not request:
                return None
            if refused is not None:
                return refused
            return await hands.operations.run(hands.service.end, begun)
        finally:
            if self.request is not request:
                await hands.operations.run(begun.discard)

    async def _take_body(self, request: Request, begun: Begun) -> Reply | None:
        hands = self._hands
        while self.request is request:
            parts, request.parts, self._came = request.parts, [], 0
            if parts:
                self.release_body()
                refused = await hands.bodies.run(hands.service.feed, begun, parts)
                if refused is not None:
                    return refused
            elif self._ended:
                return None
            else:
                self.release_body()
                if not request.parts and not self._ended:
                    await self._woken()
        return None

    # ── what is sent ────────────────────────────────────────────────────────────────────────────
    async def _send(self, request: Request, reply: Reply) -> None:
        try:
            if self.request is not request:
                return
            if self.state == BODY:
                request.keep_alive = False  # nobody reads the rest of it
            self.write(self._head(request, reply))
            if request.method != "HEAD" and isinstance(reply.body, Span):
                await self._send_span(request, reply.body)
            if self.request is request:
                self._done()
        finally:
            if isinstance(reply.body, Span):
                await self._hands.readings.run(reply.close)

    def _head(self, request: Request, reply: Reply) -> bytes:
        """And with it the body, where that is in memory."""
        ending = self.server.date + self.closing_header(request)
        has_length = any(name.lower() == b"content-length" for name, _ in reply.headers)
        if reply.status not in LENGTHLESS and not has_length:
            ending = b"content-length: %d\r\n%b" % (reply.length, ending)
        head = encode_head(reply.status, reply.headers, ending, self._opening)
        if request.method == "HEAD" or not isinstance(reply.body, bytes):
            return head
        return head if reply.status in LENGTHLESS else head + reply.body

    async def _send_span(self, request: Request, span: Span) -> None:
        """Cut the connection where the object cannot be read to its end: nothing else tells."""
        readings, left = self._hands.readings, span.length
        chunks = span.reading.chunks(span.start, span.length, CHUNK_BYTES)
        while left:
            chunk = await readings.run(next, chunks, b"")
            if self.request is not request:
                return
            if not chunk or len(chunk) > left:
                raise OSError("an object ends before its end")
            left -= len(chunk)
            self.write(chunk)
            while not self.writable and self.request is request:
                await self._woken()

    def _done(self) -> None:
        self._task, self._ended, self._came, self._expected = None, False, 0, False
        self.answered()

    def refusal_body(self, refusal: Refusal) -> bytes:
        """As S3 tells one. The words are ours, and need no escapes."""
        return (
            f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
        ).encode()


def _said_back(request: Request) -> bytes:
    token = request.fields.get(EXCHANGE)
    return b"" if token is None else b"%b: %b\r\n" % (EXCHANGE, token)
