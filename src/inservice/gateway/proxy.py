"""Everything that is not an invocation, carried to control and back unchanged.

Control verifies signatures itself, so the request keeps its line, its Host and every header that
could be signed; only what belongs to this hop is taken off. Nothing is added that control would
have to trust.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inservice.errors import ServiceUnavailable
from inservice.gateway.relay import Relay
from inservice.transport.client import Failure
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request
from inservice.transport.tokens import EXCHANGE

if TYPE_CHECKING:
    from inservice.gateway.connection import GatewayConnection

CONTROL_SECONDS: Final = 120.0
"""How long control may take: its slowest answers are waits of a minute."""

PATIENCE_SECONDS = 5.0
"""How long a request waits for a control that cannot be reached: it is being started again."""

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
    )
)


class Proxied(Relay):
    """A request on its way to control."""

    def __init__(self, connection: GatewayConnection, request: Request) -> None:
        super().__init__(connection, request)
        self.token_line = connection.gateway.client.tokens.next()
        self._message = [_head(request, self.token_line), *request.parts]
        self._until = connection.gateway.client.now + PATIENCE_SECONDS

    def begin(self) -> None:
        """Send it, or wait a moment for control to be back."""
        if self.given_up:
            return
        self.connection.gateway.control.send(
            self, self._message, CONTROL_SECONDS, headless=self.request.method == "HEAD"
        )

    def client_head(self, head: ResponseHead) -> bytes:
        """Control's own headers, but for this hop's."""
        lines = [b"%b: %b\r\n" % one for one in head.headers if one[0] not in _THIS_HOPS]
        if self.request.method == "HEAD" and b"content-length" in head.fields:
            lines.append(b"content-length: %b\r\n" % head.fields[b"content-length"])
        return STATUS_LINES[head.status] + b"".join(lines)

    def bodiless(self, head: ResponseHead) -> bool:
        """Nor has an answer to HEAD, whose length is the one that GET would have had."""
        return self.request.method == "HEAD" or Relay.bodiless(self, head)

    def answer_failed(self, failure: Failure, why: str) -> None:  # noqa: ARG002 - the log has it
        """Try again as long as nothing was sent; else the client decides, who knows what it was."""
        gateway = self.connection.gateway
        if self.passing:
            self.connection.transport.abort()
        elif failure is Failure.NOT_SENT and gateway.client.now < self._until:
            gateway.client.loop.call_later(_RETRY_SECONDS, self.begin)
        else:
            words = "The control plane is not available just now."
            self.connection.answer_error(ServiceUnavailable(words), gateway.request_ids.next())


def _head(request: Request, token_line: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1%b" % (request.method.encode(), request.target, token_line)]
    lines += [b"%b: %b\r\n" % one for one in request.headers if one[0] not in _THIS_HOPS]
    if request.length or request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d\r\n" % request.length)
    lines.append(b"\r\n")
    return b"".join(lines)
