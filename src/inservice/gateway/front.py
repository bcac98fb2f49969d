"""A client's connection to the gateway, and the planes that serve what comes on it.

    the head of a request ──▶ the first plane that claims it ──▶ an exchange ──▶ the answer

What a worker serves is a table of planes, asked in order. A plane claims a request by its head
alone: it opens an exchange, which answers that one request, and says how long a body it takes. So
the connection knows of endpoints, of control and of what may come beside them nothing at all.

A request that came in one piece, as small ones do, is opened when it is whole and begins at once.
Any other is opened at its head, and hears of its body as it comes: an exchange keeps it until it is
whole, or passes it on and holds the client up while whoever gets it is behind.

This module is at the bottom of the gateway: planes and exchanges import it, it imports none of
them. Both are classes and not protocols, since what is compiled calls a method of a class by its
place in a table and one of a protocol by its name (docs/designs/0007).
"""

from __future__ import annotations

import logging
from typing import Final

from inservice.errors import AwsError, InternalFailure
from inservice.gateway.answers import error_answer, error_body
from inservice.transport.connection import BODY, Connection
from inservice.transport.framing import BLANK_LINE
from inservice.transport.listening import Server
from inservice.transport.messages import Refusal, Request
from inservice.transport.messages import error_body as refused_body

_log = logging.getLogger(__name__)

_UNCLAIMED: Final = "the last plane claims everything"
_BUG: Final = "An internal error occurred. It is in this server's log."


class Plane:
    """One of the things that are served on the port."""

    body_bytes_max: int
    """Of a request: beyond, the client is told 413."""

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        """Who answers the request, if by its head it is this plane's and no later one's; else None.

        Raises nothing: what is wrong with a request is said when it begins.
        """
        raise AssertionError(f"nobody claims {request.method} on {connection}")


class Exchange:
    """One request and its answer, as the client's connection sees it.

    Called in this order, the first two only for a request that did not come in one piece:
    `body_begins`, `body_part`…, `begin`. It ends with the first of `GatewayConnection.answered_by`,
    `GatewayConnection.answer_error` and `give_up`.
    """

    # Defaults live on the class: an exchange that meets no trouble sets none of them, and making
    # it costs half of what it would with slots.
    given_up = False
    """The client has left, or was refused."""
    passing = False
    """The head of the answer is out, parts go out as they come."""

    def __init__(self, connection: GatewayConnection, request: Request, request_id: bytes) -> None:
        self.connection = connection
        self.request = request
        self.request_id = request_id
        """What an error is told with."""

    def body_begins(self, expects: bool) -> None:
        """The head is there, the body has still to come. Raises AwsError to have none of it.

        A client that `expects` it sends the body when it hears `say_continue`, or grows tired of
        waiting.
        """
        if expects:
            self.connection.say_continue()

    def body_part(self, part: bytes) -> None:
        """A part of the body. The default keeps it."""
        self.request.parts.append(part)

    def begin(self) -> None:
        """The request is whole. Raises AwsError if that is the answer."""
        raise AssertionError(f"nobody answers {self.request.method}")

    def may_write(self) -> None:
        """The client has caught up with an answer that is being passed on."""

    def give_up(self) -> None:
        """The client has left, or was refused: nobody is waiting any more."""
        self.given_up = True

    def error_body(self, error: AwsError) -> bytes:
        """How an error is told in this API's form."""
        return error_body(error)

    def refusal_body(self, refusal: Refusal) -> bytes:
        """And how one of the transport's, for a request whose body kept no pace, say."""
        return refused_body(refusal.code, refusal.message)


class GatewayConnection(Connection):
    """Each of its requests is answered by an exchange of the first plane that claims it."""

    __slots__ = ("_exchange", "_planes")

    def __init__(self, server: Server, planes: tuple[Plane, ...]) -> None:
        """`planes` in the order in which they are asked; the last one claims whatever is left."""
        super().__init__(server)
        self._planes = planes
        self._exchange: Exchange | None = None

    # ── the request ────────────────────────────────────────────────────────────────────────────

    def body_limit(self, request: Request) -> int:
        """The plane's. Its exchange is there from now on."""
        for plane in self._planes:
            exchange = plane.claim(self, request)
            if exchange is not None:
                self._exchange = exchange
                return plane.body_bytes_max
        raise AssertionError(_UNCLAIMED)

    def body_begins(self, request: Request, expects: bool) -> None:  # noqa: ARG002 - it has it
        """It is not taken from just anybody: the exchange may want none of it. Raises Refusal."""
        exchange = self._exchange
        assert exchange is not None
        try:
            exchange.body_begins(expects)
        except AwsError as error:
            raise Refusal(error.status, error.code, error.message) from None

    def part_received(self, request: Request, part: bytes) -> None:
        """Keep what came with its head; what comes later is the exchange's."""
        if self._exchange is None:
            request.parts.append(part)
        else:
            self._exchange.body_part(part)

    def request_received(self, request: Request) -> None:
        """It is whole: answer it."""
        exchange = self._exchange
        if exchange is None:
            for plane in self._planes:
                claimed = plane.claim(self, request)
                if claimed is not None:
                    exchange = self._exchange = claimed
                    break
            assert exchange is not None, _UNCLAIMED
        try:
            exchange.begin()
        except AwsError as error:
            self.answer_error(error, exchange.request_id)
        except Exception:  # noqa: BLE001 - a bug costs one request, and is logged
            _log.exception("a request failed")
            self.answer_error(InternalFailure(_BUG), exchange.request_id)

    # ── the client ─────────────────────────────────────────────────────────────────────────────

    def may_write(self) -> None:
        """The client has caught up with an answer that is being passed on."""
        if self._exchange is not None:
            self._exchange.may_write()

    def client_left(self) -> None:
        """Nobody is waiting any more."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.give_up()

    def refusal_body(self, refusal: Refusal) -> bytes:
        """In the form of the API that was asked, where that is known."""
        exchange = self._exchange
        return super().refusal_body(refusal) if exchange is None else exchange.refusal_body(refusal)

    def refusing(self) -> bool:
        """Nobody is waiting any more either; there may be half an answer that they have got."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return True
        exchange.give_up()
        return not exchange.passing

    # ── the answer ─────────────────────────────────────────────────────────────────────────────

    def answered_by(self, exchange: Exchange, request: Request) -> None:
        """`exchange` has written the whole answer to `request`."""
        if self._exchange is exchange and self.request is request:
            self._exchange = None
            self.answered()

    def answer_error(self, error: AwsError, request_id: bytes, headers: bytes = b"") -> None:
        """Answer the request in hand with an error."""
        request, exchange = self.request, self._exchange
        if request is None or exchange is None:
            return
        self._exchange = None
        if self.state == BODY:
            request.keep_alive = False  # nobody reads the rest of it
        ending = headers + self.server.date + self.closing_header(request)
        answer = error_answer(error, exchange.error_body(error), request_id, ending)
        if request.method == "HEAD":
            answer = answer[: answer.index(BLANK_LINE) + len(BLANK_LINE)]
        self.write(answer)
        self.answered()
