"""One client connection: bytes in, whole requests out, answers in their order.

    IDLE ──first byte──▶ HEAD ──blank line──▶ BODY ──last byte──▶ ANSWERING ──▶ IDLE
                            └───── refused ─────┴──▶ LINGERING ──▶ closed

At most one request of a connection is being answered. What a client sends meanwhile (pipelining)
stays unread bytes: reading stops with the first such segment, so a client can make us keep one
segment and no more, however many requests it pipelines.

A body is kept until it is whole, or passed on as it comes, which is the subclass's to choose: who
passes it on says how long it may be (`body_limit`), and holds it up while whoever gets it is behind
(`hold_body`). Then nothing is read, and the client, whose bytes nobody takes, waits. An answer may
come before such a body has ended. It is sent, and then the connection is closed: what would be read
next is the rest of the body.

No timer and no task belongs to a connection. The server looks at all connections once a second and
closes those whose deadline has passed: a timer per request cost 0.8 µs and a task 4.5,
the look costs 0.1 µs per connection and second.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from inservice.transport.framing import (
    BLANK_LINE,
    Chunks,
    RequestHeads,
    refuse_unfinished_head,
    too_large,
)
from inservice.transport.listening import NEVER, Peer, Server
from inservice.transport.messages import Refusal, Request, encode_head, error_body, malformed

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
ANSWERING: Final = 3
LINGERING: Final = 4

_PARTS_MAX: Final = 8
"""Of one segment of a chunked body; more are joined. Kept one by one, chunks of two bytes took 28
times the memory of the body that they are."""


class Connection(Peer):
    """What a server's connection does whoever answers. Subclasses answer in `request_received`.

    The hooks are called from `data_received` itself, with no task in between; a subclass that
    answers inside `request_received` costs nothing but its own work.

    It is an asyncio.Protocol in all but name: a base class that is not compiled would keep mypyc
    from laying this one out as a C struct (docs/designs/0007).
    """

    __slots__ = (
        "_advancing",
        "_at",
        "_began",
        "_buffer",
        "_chunks",
        "_heads",
        "_held",
        "_left",
        "_limit",
        "_paced",
        "_reading",
        "request",
        "server",
        "state",
    )

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.state = IDLE
        self.request: Request | None = None
        self._heads: RequestHeads | None = None  # made with the first byte: idle costs 1.3 KB
        self._chunks: Chunks | None = None
        self._buffer = b""
        self._at = 0  # where in the buffer the unread bytes begin
        self._left = 0  # bytes of a counted body still to come
        self._limit = 0  # bytes that the body may have
        self._began = 0.0  # when the body began, for its pace
        self._paced = 0  # bytes of the body that had come by then
        self._held = False  # whoever gets the body is behind
        self._reading = True
        self._advancing = False

    @property
    def idle(self) -> bool:
        """Nothing of a request has come since the last answer."""
        return self.state == IDLE

    # ── hooks ──────────────────────────────────────────────────────────────────────────────────

    def body_limit(self, request: Request) -> int:  # noqa: ARG002 - the same for all of them
        """How many bytes of body this request may have. Asked before `body_begins`."""
        return self.server.limits.body_bytes

    def body_begins(self, request: Request, expects: bool) -> None:  # noqa: ARG002 - a subclass's
        """The head is accepted and its body has not all come yet. May raise Refusal.

        A client that `expects` it waits for a word before it sends the body: `say_continue`, now or
        later.
        """
        if expects:
            self.say_continue()

    def part_received(self, request: Request, part: bytes) -> None:
        """A part of the body arrived. The default keeps it."""
        request.parts.append(part)

    def request_received(self, request: Request) -> None:
        """The request is whole. Sooner or later `write` its answer and call `answered`."""
        raise AssertionError(f"nobody answers {request.method}")

    def client_left(self) -> None:
        """The connection is gone, perhaps while its request was being answered."""

    def refusing(self) -> bool:
        """The request in hand, whose body was still coming, is about to be refused by us. False if
        its answer has begun, so that nothing else can be said any more."""
        return True

    def refusal_body(self, refusal: Refusal) -> bytes:
        """How a refusal is told: as JSON, or as XML."""
        return error_body(refusal.code, refusal.message)

    def may_write(self) -> None:
        """The client has taken enough of what was written to go on."""

    def opening(self) -> bytes:
        """Header lines that a refusal of the request in hand begins with."""
        return b""

    # ── answering ──────────────────────────────────────────────────────────────────────────────

    def closing_header(self, request: Request) -> bytes:
        """The Connection header line that this answer must carry, mostly none."""
        if not request.keep_alive or self.server.draining:
            return b"connection: close\r\n"
        return b"" if request.version else b"connection: keep-alive\r\n"

    def write(self, message: bytes) -> None:
        """Send bytes of the answer. Whole answers in one piece leave in one system call."""
        self.transport.write(message)

    @property
    def writable(self) -> bool:
        """False while the client is slow to take what was written."""
        return self.stalled_since == NEVER

    def say_continue(self) -> None:
        """Tell a client that waits for it to send the body of its request."""
        if self.state == BODY:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def hold_body(self) -> None:
        """Whoever gets the body is behind: read no more of it. What was read already is told."""
        if self.state == BODY and not self._held:
            self._held = True
            self.deadline = NEVER  # the client is not to blame for this wait
            self._pause()

    def release_body(self) -> None:
        """Go on reading the body."""
        if not self._held:
            return
        self._held = False
        if self.state == BODY:
            self._begin_pace()
            if not self._advancing:
                self._advance()

    def answered(self) -> None:
        """The answer has been written to its end: on to the next request, or close."""
        request, self.request = self.request, None
        if self.state == BODY:
            self._answered_early()
            return
        self.state = IDLE
        self.deadline = self.server.now + self.server.limits.idle_seconds
        if request is None or not request.keep_alive or self.server.draining:
            self.close()
        elif self._buffer and not self._advancing and self.stalled_since == NEVER:
            self._advance()
        elif not self._reading:
            self._resume()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error of the transport, and close: nothing after it can be trusted."""
        opening = b"" if self.request is None else self.opening()
        body = self.refusal_body(refusal)
        asked_for_head = self.request is not None and self.request.method == "HEAD"
        self.server.refused += 1
        if self.request is not None and not self.refusing():
            self.transport.abort()
            return
        self.state, self.request = LINGERING, None
        self._buffer, self._at = b"", 0
        kind = b"application/xml" if body.startswith(b"<") else b"application/json"
        headers = (
            (b"content-type", kind),
            (b"x-amzn-errortype", refusal.code.encode()),
            (b"content-length", b"%d" % len(body)),
        )
        head = encode_head(refusal.status, headers, b"connection: close\r\n", opening)
        self.transport.write(head if asked_for_head else head + body)
        self.linger()

    def linger(self) -> None:
        """Close our half and discard what comes, until the client closes or the linger ends."""
        self.state, self._held = LINGERING, False
        self.deadline = self.server.now + self.server.limits.linger_seconds
        if not self._reading:
            self._resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Send what was written, then close."""
        self.transport.close()

    def _answered_early(self) -> None:
        """The body is still coming, and nobody wants it any more."""
        self._buffer, self._at, self._chunks = b"", 0, None
        self.linger()

    # ── receiving ──────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client connected."""
        self.transport = cast("asyncio.Transport", transport)
        limits = self.server.limits
        self.deadline = self.server.now + limits.idle_seconds
        self.transport.set_write_buffer_limits(high=limits.write_high_bytes)
        self.server.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """asyncio: the connection is gone."""
        self.server.remove(self)
        self.state = LINGERING
        self._buffer = b""
        self.client_left()
        self.request = None

    def pause_writing(self) -> None:
        """asyncio: more than the watermark is unsent."""
        self.stalled_since = self.server.now

    def resume_writing(self) -> None:
        """asyncio: the client has taken what was over the watermark."""
        self.stalled_since = NEVER
        if BODY <= self.state <= ANSWERING:
            self.may_write()
        if self._buffer and self.state < ANSWERING and not self._advancing:
            self._advance()

    def eof_received(self) -> bool:
        """asyncio: the client will send no more. It may still read: finish its answer first."""
        if self.state == ANSWERING and self.request is not None:
            self.request.keep_alive = False
            return True
        return False

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        if self.state == LINGERING:
            return
        if self._buffer:
            data = self._buffer[self._at :] + data
        self._buffer, self._at = data, 0
        if self.state == ANSWERING:
            self._pause()
        elif not self._advancing:
            self._advance()

    def deadline_passed(self, now: float) -> None:
        """The server's sweep found `deadline` in the past."""
        if self.state == HEAD:
            self.refuse(Refusal(408, "RequestTimeoutException", "The headers took too long."))
        elif self.state == BODY:
            self._judge_pace(now)
        elif self.state == LINGERING:
            self.transport.abort()
        else:
            self.close()

    def _advance(self) -> None:
        """Read requests from the buffer until one is being answered or more bytes are needed."""
        self._advancing = True
        try:
            while self._buffer and self.state < ANSWERING and self.stalled_since == NEVER:
                if self.state == BODY:
                    self._read_body()
                elif not self._read_head():
                    break
        except Refusal as refusal:
            self.refuse(refusal)
        finally:
            self._advancing = False
        if self._buffer and (self.state == ANSWERING or self.stalled_since != NEVER):
            self._pause()
        elif not self._reading and self.state < ANSWERING and not self._held:
            self._resume()

    def _read_head(self) -> bool:
        """One head from the buffer; False if it is not all there yet."""
        server, data, start = self.server, self._buffer, self._at
        limits = server.limits
        if data.startswith(b"\r\n", start):
            start = self._skip_blank_lines(data, start, limits.leading_crlfs_max)
        end = data.find(BLANK_LINE, start)
        if end < 0:
            if len(data) == start:
                return False  # blank lines only: kept, so that they go on being counted
            refuse_unfinished_head(data, start, limits)
            if self.state == IDLE:
                self.state = HEAD
                self.deadline = server.now + limits.header_seconds
            return False
        end += 4
        heads = self._heads
        if heads is None:
            heads = self._heads = RequestHeads(limits)
        request = heads.read(data[start:end])
        self.request, self._at = request, end
        length = request.length
        if not request.chunked and len(data) - end >= length and length <= limits.body_bytes:
            if length:  # it came with its head, as small ones do
                part = data[end : end + length]
                heads.skip_body(part)
                self._at = end + length
                self.part_received(request, part)
            self._whole(request)
            return True
        self.state, self._left = BODY, length
        if request.chunked:
            self._chunks = Chunks(limits)
        self._begin_pace()
        self._limit = self.body_limit(request)
        if length > self._limit:
            raise too_large(self._limit)
        expects = b"expect" in request.fields and request.version == 1
        self.body_begins(request, expects and end == len(data))
        if end == len(data):
            self._buffer, self._at = b"", 0
        return True

    def _skip_blank_lines(self, data: bytes, start: int, count_max: int) -> int:
        for _ in range(count_max + 1):
            if not data.startswith(b"\r\n", start):
                return start
            start += 2
        raise malformed("Blank lines instead of a request.")

    def _read_body(self) -> None:
        request, data, start = self.request, self._buffer, self._at
        assert request is not None
        assert self._heads is not None
        if self._chunks is not None:
            parts, used = self._chunks.feed(data, start)
            if len(parts) > _PARTS_MAX:
                parts = [b"".join(parts)]
            done, self._at = self._chunks.done, used
            for part in parts:
                request.length += len(part)
                if request.length > self._limit:
                    raise too_large(self._limit)
                self.part_received(request, part)
                if self.request is not request:
                    return  # answered already
            if done:
                self._chunks = None
                self._heads.start_over()
        else:
            whole = start == 0 and len(data) <= self._left
            part = data if whole else data[start : start + self._left]
            self._heads.skip_body(part)
            self._left -= len(part)
            self._at = start + len(part)
            self.part_received(request, part)
            if self.request is not request:
                return
            done = self._left == 0
        if self._at == len(data):
            self._buffer, self._at = b"", 0
        if done:
            self._held = False  # not read on, it could not be seen that the client leaves
            self._whole(request)
            if not self._reading and not self._buffer:
                self._resume()

    def _whole(self, request: Request) -> None:
        self.state, self.deadline = ANSWERING, NEVER
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
        self.server.requests += 1
        self.request_received(request)

    @property
    def _received(self) -> int:
        """Bytes of body so far."""
        request = self.request
        assert request is not None
        return request.length if request.chunked else request.length - self._left

    def _begin_pace(self) -> None:
        self._began, self._paced = self.server.now, self._received
        self.deadline = self._began + self.server.limits.body_seconds

    def _judge_pace(self, now: float) -> None:
        """Give a body that keeps its pace the seconds it has earned, refuse any other.

        One that is longer than a body that is kept may be is paced as several of those: nobody can
        earn hours of silence by sending quickly for a minute.
        """
        limits, received = self.server.limits, self._received - self._paced
        if received > limits.body_bytes:
            self._begin_pace()
            return
        earned = limits.body_seconds + received / limits.body_bytes_per_second_min
        if now < self._began + earned:
            self.deadline = self._began + earned
        else:
            self.refuse(Refusal(408, "RequestTimeoutException", "The body took too long."))

    def _pause(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()
