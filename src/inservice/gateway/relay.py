"""An answer on its way from an upstream to a client.

Small answers are collected and leave in one write, so that a model whose answer breaks in the
middle can still be told of as an error. Larger ones are passed on part by part, and the upstream is
not read while the client is behind: the memory of one answer is bounded whatever its size.
"""

from __future__ import annotations

from typing import Final

from inservice.gateway.front import Exchange, GatewayConnection
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import LENGTHLESS, Request
from inservice.transport.upstream import Failure, Upstream

COLLECT_BYTES: Final = 256 * 1024
"""Answers up to here are collected. Four times the watermark of a connection: below it a client
costs no pausing, above it a slow one cannot make us keep more."""


PASSING_SECONDS: Final = 480.0
"""How long passing on an answer may take, whatever its model was given to begin it: 25 MB over an
uplink of 1 Mbit/s take 200 s. A client that takes nothing at all is cut off much sooner."""


class Relay(Exchange):
    """An exchange with a client whose answer comes from an upstream, so that it is an exchange with
    that one too. Subclasses say what the client's head is."""

    token_line = b""
    """What the upstream is to say back."""
    upstream: Upstream | None = None
    head: ResponseHead | None = None
    length: int | None = None
    """Of the body as the client gets it; None: only its end tells."""
    size = 0
    """Bytes of body received so far."""
    paused = False
    """The upstream is not read, since the client is behind."""

    def __init__(self, connection: GatewayConnection, request: Request, request_id: bytes) -> None:
        super().__init__(connection, request, request_id)
        self.parts: list[bytes] = []
        """What was collected and not sent yet."""

    # ── what subclasses say ────────────────────────────────────────────────────────────────────

    def client_head(self, head: ResponseHead) -> bytes:
        """Status line and headers for the client, but for framing, Connection and blank line."""
        raise AssertionError(f"nobody knows what to make of a {head.status}")

    def answer_failed(self, failure: Failure, why: str) -> None:
        """There is no answer, or no more of it."""
        raise AssertionError(f"nobody hears of {failure}: {why}")

    def bodiless(self, head: ResponseHead) -> bool:
        """The status that the client gets has no body, and so no length of one."""
        return head.status in LENGTHLESS

    # ── the upstream's side ────────────────────────────────────────────────────────────────────

    def answer_begins(self, head: ResponseHead) -> None:
        """Keep the head until it is known how the body will be framed."""
        self.head = head
        self.length = head.length

    def part_received(self, part: bytes) -> None:
        """Collect, or pass on."""
        self.size += len(part)
        if self.passing:
            self.pass_on(part)
            return
        self.parts.append(part)
        if self.size > COLLECT_BYTES:
            self.begin_passing()

    def answer_ended(self) -> None:
        """The upstream has said all."""
        self.finish()

    def finish(self) -> None:
        """Send what was collected, or end what was passed on."""
        connection, request = self.connection, self.request
        if not self.passing:
            self._send_whole()
        elif self._chunked:
            connection.write(b"0\r\n\r\n")
        connection.answered_by(self, request)

    # ── the client's side ──────────────────────────────────────────────────────────────────────

    def may_write(self) -> None:
        """The client has caught up."""
        if self.paused and self.upstream is not None:
            self.paused = False
            self.upstream.resume()

    def give_up(self) -> None:
        """The client has left."""
        self.given_up = True
        if self.upstream is not None:
            self.upstream.give_up()

    @property
    def _chunked(self) -> bool:
        """The client is sent chunks: the length of the body is not known beforehand."""
        return self.length is None and self.request.version == 1

    def _send_whole(self) -> None:
        head, connection = self.head, self.connection
        assert head is not None
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        framing = b"content-length: %d\r\n" % len(body)
        if self.bodiless(head):
            framing = b""
        connection.write(
            b"%b%b%b\r\n%b"
            % (
                self.client_head(head),
                framing,
                connection.closing_header(self.request),
                body,
            )
        )

    def begin_passing(self) -> None:
        """Send the head and what was collected; from now on parts go out as they come."""
        head, connection = self.head, self.connection
        assert head is not None
        self.passing = True
        if self.upstream is not None:
            self.upstream.wait(PASSING_SECONDS)
        if self.length is not None:
            framing = b"content-length: %d\r\n" % self.length
        elif self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing, self.request.keep_alive = b"", False
        closing = connection.closing_header(self.request)
        connection.write(self.client_head(head) + framing + closing + b"\r\n")
        collected, self.parts = self.parts, []
        for part in collected:
            self.pass_on(part)

    def pass_on(self, part: bytes) -> None:
        """Send a part, and stop reading the model while the client is behind."""
        if self._chunked:
            self.connection.transport.writelines((b"%x\r\n" % len(part), part, b"\r\n"))
        else:
            self.connection.write(part)
        if not self.connection.writable and not self.paused and self.upstream is not None:
            self.paused = True
            self.upstream.pause()
