"""A connection to a model or to control: one request at a time, closed on any doubt.

What is on the other end may be hostile, or merely confused: a server that gives up on a request and
answers it all the same, later, on a connection that serves another one by then. HTTP/1.1 matches
answers to requests by their order alone, so nothing about such an answer looks wrong. This is what
is promised here, whatever the other end sends, in whatever pieces, at whatever moment:

    no byte of one request's answer is ever taken for another's.

It rests on one rule. Each request carries a token that nobody can know who has not seen it, and our
own servers say it back in the head of the answer. **An answer is taken on a connection's first
request, or if it says the token back**; the first is safe because no other request was ever on that
connection, the second because no other answer has that token. So a connection whose answer said
nothing back (a server that is not ours) is used once, and any server that says the header
back is kept like our own.

Beside it, a connection goes back to its pool only after an answer that ended exactly where it said
it would, with nothing behind it, to a request that had left to its last byte; after a wrong length,
an extra byte, a timeout or a request that was given up it is closed, and so it is when anything at
all comes while it is idle. That spares requests: what is seen to be broken is not tried.

Nothing is ever sent twice by this module. `Failure.NOT_SENT` is its promise that not one byte of a
request has left, and that the caller may try elsewhere.

There is no task and no timer for a request: an `Exchange` is called from `data_received`.

A request is sent whole, or `Streamed`: its head first, then its body as it comes. An answer may
come before such a request has ended; it is taken, and the connection is closed after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Final, Protocol, cast

from inservice.transport.framing import BLANK_LINE, Chunks, ResponseHead, read_response_head
from inservice.transport.limits import Limits
from inservice.transport.messages import Refusal, malformed
from inservice.transport.tokens import EXCHANGE

INTERIM_MAX: Final = 8
"""Answers of the 1xx kind before the real one. A flood of them is not an answer."""

SEND_STALL_SECONDS = 60.0
"""How long the other side may take nothing of a body that is on its way: as long as a client may
take nothing of an answer."""

_READ_BYTES: Final = 64 * 1024
_NEVER: Final = float("inf")


class Failure(Enum):
    """Why there is no answer. Only after NOT_SENT may the request be sent again."""

    NOT_SENT = "not sent"
    TIMED_OUT = "timed out"
    BROKEN = "the connection broke"
    MALFORMED = "the answer is not HTTP"


class Exchange(Protocol):
    """Whoever sent a request, as its connection sees it. Called in this order, the middle one any
    number of times; `answer_failed` may come instead of any of them, and is then the last."""

    given_up: bool
    """Nobody waits for the answer any more."""
    token_line: bytes
    """What only this request knows: from `Client.tokens`, and sent with it."""
    upstream: Upstream | None
    """The connection that the request is on, set by it."""

    def answer_begins(self, head: ResponseHead) -> None:
        """The head of the answer has come."""
        ...

    def part_received(self, part: bytes) -> None:
        """A part of its body has come."""
        ...

    def answer_ended(self) -> None:
        """It is whole; the connection serves others already."""
        ...

    def answer_failed(self, failure: Failure, why: str) -> None:
        """There will be no answer, or no more of it."""
        ...


class Streamed(Exchange, Protocol):
    """Whoever sends the body of a request as it comes, on `upstream`."""

    def may_send(self) -> None:
        """The head has left, or the other side has caught up: parts may be sent now."""
        ...

    def hold(self) -> None:
        """The other side is behind: send nothing until `may_send`."""
        ...

    def told_to_continue(self) -> None:
        """The other side has said 100: it wants the body."""
        ...


class Home:
    """The pool that a connection belongs to, as the connection sees it."""

    limits: Limits
    connections: set[Upstream]

    def deadline(self, timeout_seconds: float) -> float:
        """The watched time before which a request of now must not be timed out."""
        raise AssertionError(f"nobody watches {timeout_seconds} s")

    def give_back(self, upstream: Upstream) -> None:
        """A connection's answer ended well."""
        raise AssertionError(f"nobody keeps {upstream}")

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        raise AssertionError(f"nobody knows {upstream}")


class Upstream:
    """One connection: an asyncio.Protocol in all but name, as `connection.Connection` is."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_descriptor",
        "_echo",
        "_head",
        "_interim",
        "_keep",
        "_left",
        "_paused",
        "_poll",
        "_streamed",
        "_used",
        "deadline",
        "exchange",
        "headless",
        "idle_since",
        "pool",
        "transport",
        "writable",
    )

    def __init__(self, pool: Home) -> None:
        self.pool = pool
        self.exchange: Exchange | None = None
        self.deadline = _NEVER
        self.idle_since = 0.0
        self.headless = False
        """The request was HEAD: its answer has no body whatever its headers say."""
        self._head: ResponseHead | None = None
        self._chunks: Chunks | None = None
        self._buffer = b""
        self._echo = b""  # the header line that the answer must hold
        self._left = 0
        self._interim = 0
        self._keep = False  # the answer in hand does not speak against another request
        self._paused = False
        self._used = False  # for another request before this one
        self._streamed: Streamed | None = None  # whose body has not ended yet
        self.writable = True
        """The other side takes what is sent; False while more than a watermark of it lies here."""

    @property
    def fresh(self) -> bool:
        """Open, and nothing has come on it while it was idle, not even its end.

        The loop may not have been told yet that the other side has closed; asking the kernel costs
        0.5 µs and makes a model that closes kept-alive connections at random cost no request.
        """
        return not (self.transport.is_closing() or self._poll.poll(0))

    def send(self, exchange: Exchange, message: Sequence[bytes], deadline: float) -> None:
        """Send a whole request. `deadline` is when its answer must have ended, in watched time."""
        self.exchange, exchange.upstream = exchange, self
        self.deadline = deadline
        self._echo = exchange.token_line
        if len(message) == 1:
            self.transport.write(message[0])
        else:
            self.transport.writelines(message)

    def stream(self, exchange: Streamed, head: bytes) -> None:
        """Send the head of a request whose body follows in `send_part`, as it comes.

        Until the body has ended whoever it comes from is who is waited for, so there is no
        deadline; but while it lies here because the other side does not take it there is one.
        """
        self.exchange, exchange.upstream = exchange, self
        self._streamed = exchange
        self.deadline = _NEVER
        self._echo = exchange.token_line
        self.transport.write(head)
        exchange.may_send()

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Send some of the body. Who goes on while it is not `writable` has it kept here."""
        self.transport.writelines(parts)

    def end_request(self, ending: bytes, timeout_seconds: float) -> None:
        """The body has been sent; `ending` is what its framing asks for behind it."""
        self._streamed = None
        if ending:
            self.transport.write(ending)
        self.wait(timeout_seconds)

    def wait(self, timeout_seconds: float) -> None:
        """From now on the answer has so long to end."""
        self.deadline = self.pool.deadline(timeout_seconds)

    def give_up(self) -> None:
        """Nobody waits for the answer: close, since it would be taken for the next one's."""
        exchange, self.exchange = self.exchange, None
        self._streamed = None
        if exchange is not None:
            exchange.upstream = None
        self.transport.abort()

    def pause(self) -> None:
        """Read no more of the answer for now: whoever it is for is slower than the model."""
        self._paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        self._paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def fail(self, failure: Failure, why: str) -> None:
        """Close, and tell whoever waits."""
        exchange, self.exchange = self.exchange, None
        self._streamed = None
        self.transport.abort()
        if exchange is not None:
            exchange.upstream = None
            exchange.answer_failed(failure, why)

    # ── asyncio ────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast("asyncio.Transport", transport)
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self.pool.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self.pool.forget(self)
        if exc is not None and self.exchange is not None and self._read_rest():
            exc = None
        if self.exchange is None:
            return
        head = self._head
        if exc is None and head is not None and head.length is None and not head.chunked:
            self._head = None
            self._tell_end()  # such a body ends with its connection
        else:
            self.fail(Failure.BROKEN, str(exc) if exc else "closed before the answer was whole")

    def eof_received(self) -> bool:
        """asyncio: nothing more will come. Close: `connection_lost` says what that means."""
        return False

    def pause_writing(self) -> None:
        """asyncio: a large request is on its way. What is not streamed is in our memory already."""
        self.writable = False
        if self._streamed is not None:
            self.wait(SEND_STALL_SECONDS)
            self._streamed.hold()

    def resume_writing(self) -> None:
        """asyncio: most of it has left."""
        self.writable = True
        if self._streamed is not None:
            self.deadline = _NEVER
            self._streamed.may_send()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        if self.exchange is None:
            self.transport.abort()  # nobody asked
            return
        try:
            if self._head is None:
                self._receive_head(data)
            else:
                self._receive_body(data, 0)
        except Refusal as refusal:
            self.fail(Failure.MALFORMED, refusal.message)

    def _read_rest(self) -> bool:
        """Read what the other side said before it would take no more of a request: a server may
        answer 413 and close. The loop drops the connection with the first write that fails, but its
        descriptor is open until `connection_lost` returns. Says whether it was all there is."""
        with contextlib.suppress(OSError):
            while self.exchange is not None:
                data = os.read(self._descriptor, _READ_BYTES)
                if not data:
                    return True
                self.data_received(data)
        return False

    def _receive_head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        start = 0
        while True:
            end = data.find(BLANK_LINE, start)
            if end < 0:
                if len(data) - start > self.pool.limits.header_bytes:
                    raise malformed("headers without an end")
                self._buffer = data[start:]
                return
            # Half the head of another answer may stand before the one that says the token back: two
            # heads that were run together are not ours.
            ours = data.find(self._echo, start, end + 2)
            if ours < 0 or data.find(b"HTTP/", start + 1, ours) >= 0:
                ours = -1
                head = read_response_head(data[start : end + 4])
            else:  # without the token it is the same as the last one, and known
                rest = ours + len(self._echo) - 2
                head = read_response_head(data[start:ours] + data[rest : end + 4])
            start = end + 4
            if head.status >= 200:
                break
            if head.status == 100 and self._streamed is not None:
                self._streamed.told_to_continue()
            self._interim += 1
            if head.status == 101 or self._interim > INTERIM_MAX:
                raise malformed(f"{self._interim} answers of status {head.status}")
        exchange = self.exchange
        assert exchange is not None
        if ours < 0 and (self._used or not _may_be_ours(head, exchange)):
            raise malformed("it is the answer to another request")
        self._keep = (
            ours >= 0
            and head.keep_alive
            and self._streamed is None
            and not self.transport.get_write_buffer_size()
        )
        if self.headless:
            head = replace(head, length=0, chunked=False)
        exchange.answer_begins(head)
        if self.exchange is not exchange:
            return
        self._head = head
        if head.chunked:
            self._chunks = Chunks(self.pool.limits)
        self._left = -1 if head.length is None else head.length
        if self._left == 0:
            self._end(len(data) - start)
        elif start < len(data):
            self._receive_body(data, start)

    def _receive_body(self, data: bytes, start: int) -> None:
        exchange = self.exchange
        assert exchange is not None
        if self._chunks is not None:
            parts, used = self._chunks.feed(data, start)
            for part in parts:
                exchange.part_received(part)
                if self.exchange is not exchange:
                    return
            if self._chunks.done:
                self._chunks = None
                self._end(len(data) - used)
            return
        part = data[start:] if start else data
        extra = 0
        if self._left >= 0:
            extra = len(part) - self._left
            if extra > 0:
                part = part[: self._left]
            self._left -= len(part)
        exchange.part_received(part)
        if self._left == 0 and self.exchange is exchange:
            self._end(max(extra, 0))

    def _end(self, extra: int) -> None:
        """The answer is whole. Keep the connection if nothing at all speaks against it."""
        self._head, self._interim = None, 0
        self.headless = False
        if self._paused:  # with the last part; unread, the next answer would never come
            self.resume()
        if self._keep and not extra:
            self._used = True
            self.pool.give_back(self)
        else:
            self.transport.abort()
        self._tell_end()

    def _tell_end(self) -> None:
        exchange, self.exchange = self.exchange, None
        self._streamed, self.deadline = None, _NEVER
        if exchange is not None:
            exchange.upstream = None
            exchange.answer_ended()


def _may_be_ours(head: ResponseHead, exchange: Exchange) -> bool:
    """Whether an answer on a connection's first request says no other token."""
    said = head.fields.get(EXCHANGE)
    return said is None or exchange.token_line.endswith(b": %b\r\n" % said)
