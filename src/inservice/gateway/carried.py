"""A request carried to another server, and its answer back, both unchanged and as they come.

Whoever serves the plane verifies the signature itself, so the request keeps its line, its Host and
every header that could be signed; only what belongs to this hop is taken off. What is added belongs
to this hop as well: the token that is said back, and the client's address (`transport.source`).

    up to COLLECT_BYTES     kept until it is whole, then sent in one piece
    any longer              the head is sent, then each part as it comes

Most requests are small, and the other side has a connection, a descriptor and a place less for each
client that drips. A body that is longer, or says that it will be, is streamed: its length and its
chunks are framed anew, trailers are dropped, and the client is read no faster than the other side
takes it, so that a body of any length costs the memory of a few reads. While there is no connection
yet the client is not read at all, nor while all `Places` for streams to that side are taken: those
who have not been verified yet may not take all its descriptors.

Three things may happen before a streamed body has ended. The client leaves: the connection to the
other side is aborted, which cannot take half a body for a whole one. The other side answers: that
answer is the client's, and its connection is closed behind it, for nobody wants the rest of the
body. The other side takes no more for a minute: the client is told 503.

`Expect: 100-continue` is the other side's to answer where a body will be streamed. So a server that
refuses five gigabytes by their length refuses them before they are sent.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Final

from inservice.errors import ServiceUnavailable
from inservice.gateway.front import GatewayConnection
from inservice.gateway.relay import PASSING_SECONDS, Relay
from inservice.transport.client import Pool
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request
from inservice.transport.source import SOURCE, source_line
from inservice.transport.tokens import EXCHANGE
from inservice.transport.upstream import Failure

COLLECT_BYTES: Final = 64 * 1024
"""Bodies up to here are kept until they are whole. As much as strangers' headers may make us keep;
of control's requests only PutMetricData and PutLogEvents are ever longer."""

ANSWER_SECONDS: Final = 120.0
"""How long an answer may take once the request is whole: control's slowest are waits of a minute.
"""

PATIENCE_SECONDS = 5.0
"""How long a request waits for a server that cannot be reached: it is being started again."""

_RETRY_SECONDS: Final = 0.1

_THIS_HOPS: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"content-length",
        b"expect",
        b"upgrade",
        b"http2-settings",
        EXCHANGE,
        SOURCE,
    )
)


class Places:
    """How many bodies are streamed at once to the servers of one plane; the others wait in a row,
    their clients not read. Who has a place gives it back: a body that keeps no pace is refused, an
    upstream that takes nothing is given up, and an answer has an end."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Carried] = deque()

    def take(self, exchange: Carried) -> None:
        """`exchange` goes on at once, or when it is its turn."""
        if self._free:
            self._free -= 1
            exchange.placed()
        else:
            self._waiting.append(exchange)

    def leave(self, exchange: Carried) -> None:
        """It is over, whether it has had a place or not."""
        if not exchange.has_place:
            with contextlib.suppress(ValueError):
                self._waiting.remove(exchange)
            return
        exchange.has_place = False
        if self._waiting:
            self._waiting.popleft().placed()
        else:
            self._free += 1


class Carried(Relay):
    """A request on its way to the servers of a pool."""

    has_place = False
    """One of those for streamed bodies."""

    _expects = False
    """The other side is asked whether it wants the body."""
    _streaming = False
    """The body is passed on as it comes."""
    _whole = False
    """All of the body has come."""
    _collected = 0

    def __init__(
        self,
        connection: GatewayConnection,
        request: Request,
        request_id: bytes,
        pool: Pool,
        places: Places,
        away: str,
    ) -> None:
        """`away` is what the client hears when the servers cannot be reached."""
        super().__init__(connection, request, request_id)
        self.token_line = pool.client.tokens.next()
        self._pool = pool
        self._places = places
        self._away = away
        self._until = 0.0

    # ── the way there ──────────────────────────────────────────────────────────────────────────

    def body_begins(self, expects: bool) -> None:
        """Of a body that will be streamed the other side hears before it comes, and may refuse it.

        A client that would send chunks when it is told to is told by the other side as well: it has
        no length to be judged by, and no hurry.
        """
        if self.request.length > COLLECT_BYTES or (expects and self.request.chunked):
            self._expects = expects
            self._stream()
        elif expects:
            self.connection.say_continue()

    def body_part(self, part: bytes) -> None:
        """Keep it as long as the body may turn out to be small, then pass it on."""
        upstream = self.upstream
        if self._streaming and upstream is not None and not self.request.parts:
            self._send_part(part)
            return
        self.request.parts.append(part)
        self._collected += len(part)
        if not self._streaming and self._collected > COLLECT_BYTES:
            self._stream()

    def begin(self) -> None:
        """The body is whole: send the request, or what is left of it."""
        self._whole = True
        if not self._streaming:
            self._until = self._pool.client.now + PATIENCE_SECONDS
            self._send()
        elif self.upstream is not None:
            self._end()

    def _send(self) -> None:
        """In one piece, or wait a moment for the other side to be back."""
        if self.given_up:
            return
        request = self.request
        message = [self._head(), *request.parts]
        self._pool.send(self, message, ANSWER_SECONDS, headless=request.method == "HEAD")

    def _stream(self) -> None:
        """The head first. The client is not read before there is somebody to take it."""
        self._streaming = True
        self.connection.hold_body()
        self._places.take(self)

    def placed(self) -> None:
        """Places: it is its turn."""
        self.has_place = True
        self._until = self._pool.client.now + PATIENCE_SECONDS
        self._send_head()

    def _send_head(self) -> None:
        if not self.given_up:
            headless = self.request.method == "HEAD"
            self._pool.stream(self, self._head(), headless=headless)

    def _head(self) -> bytes:
        request = self.request
        lines = [b"%b %b HTTP/1.1%b" % (request.method.encode(), request.target, self.token_line)]
        lines += [b"%b: %b\r\n" % one for one in request.headers if one[0] not in _THIS_HOPS]
        lines.append(source_line(self.connection.transport.get_extra_info("peername")))
        if self._streaming and request.chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif request.length or request.method in ("POST", "PUT", "PATCH"):
            lines.append(b"content-length: %d\r\n" % request.length)
        if self._expects:
            lines.append(b"expect: 100-continue\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    # ── the body, once the head has left ───────────────────────────────────────────────────────

    def may_send(self) -> None:
        """Streamed: send what has come meanwhile, and read on."""
        parts, self.request.parts = self.request.parts, []
        for part in parts:
            if self.upstream is not None:
                self._send_part(part)
        if self.upstream is None:
            return
        if self._whole:
            self._end()
        elif self.upstream.writable:
            self.connection.release_body()

    def hold(self) -> None:
        """Streamed: the client has to wait."""
        self.connection.hold_body()

    def told_to_continue(self) -> None:
        """Streamed: so is the client."""
        if self._expects and not self.passing:
            self.connection.say_continue()

    def _send_part(self, part: bytes) -> None:
        assert self.upstream is not None
        if self.request.chunked:
            self.upstream.send_parts((b"%x\r\n" % len(part), part, b"\r\n"))
        else:
            self.upstream.send_parts((part,))

    def _end(self) -> None:
        assert self.upstream is not None
        ending = b"0\r\n\r\n" if self.request.chunked else b""
        self.upstream.end_request(ending, ANSWER_SECONDS)

    # ── the way back ───────────────────────────────────────────────────────────────────────────

    def answer_begins(self, head: ResponseHead) -> None:
        """It may be there before the body is: then nothing can follow it on its connection."""
        if not self._whole:
            self.request.keep_alive = False
        Relay.answer_begins(self, head)

    def part_received(self, part: bytes) -> None:
        """However long an answer is, it is at an end when nothing has come for so long."""
        if self.passing and self.upstream is not None:
            self.upstream.wait(PASSING_SECONDS)
        Relay.part_received(self, part)

    def answer_ended(self) -> None:
        """The other side is done with the request: its place is free."""
        self._places.leave(self)
        Relay.answer_ended(self)

    def give_up(self) -> None:
        """The client has left, and its place with it."""
        Relay.give_up(self)
        self._places.leave(self)

    def client_head(self, head: ResponseHead) -> bytes:
        """The other side's own headers, but for this hop's."""
        lines = [b"%b: %b\r\n" % one for one in head.headers if one[0] not in _THIS_HOPS]
        if self.request.method == "HEAD" and b"content-length" in head.fields:
            lines.append(b"content-length: %b\r\n" % head.fields[b"content-length"])
        return STATUS_LINES[head.status] + b"".join(lines)

    def bodiless(self, head: ResponseHead) -> bool:
        """Nor has an answer to HEAD, whose length is the one that GET would have had."""
        return self.request.method == "HEAD" or Relay.bodiless(self, head)

    def answer_failed(self, failure: Failure, why: str) -> None:  # noqa: ARG002 - the log has it
        """Try again as long as nothing was sent; else the client decides, who knows what it was."""
        client = self._pool.client
        if failure is Failure.NOT_SENT and client.now < self._until:
            again = self._send_head if self._streaming else self._send
            client.loop.call_later(_RETRY_SECONDS, again)
            return
        self._places.leave(self)
        if self.passing:
            self.connection.transport.abort()
        else:
            self.connection.answer_error(ServiceUnavailable(self._away), self.request_id)
