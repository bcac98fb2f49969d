"""A client's connection to the gateway: which of its requests is answered how."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from inservice.clock import Clock
from inservice.errors import (
    AwsError,
    InternalFailure,
    NotImplementedYet,
    ServiceUnavailable,
    UnknownOperationException,
    UnrecognizedClient,
)
from inservice.gateway.answers import RequestIds, error_answer
from inservice.gateway.counting import Counting
from inservice.gateway.front import Readiness, open_answer
from inservice.gateway.instances import Instances
from inservice.gateway.invoke import Invocation
from inservice.gateway.openai import OpenAiInvocation, OpenAiQuestion
from inservice.gateway.proxy import Proxied
from inservice.gateway.relay import Relay
from inservice.gateway.requests import Api, read_target
from inservice.gateway.sessions import Sessions
from inservice.gateway.streaming import StreamedInvocation
from inservice.gateway.waiting import Waiting
from inservice.routing import EndpointRoute, RoutingTable
from inservice.transport.client import Client, Pool
from inservice.transport.connection import Connection
from inservice.transport.framing import BLANK_LINE
from inservice.transport.limits import MIB
from inservice.transport.messages import Refusal, Request
from inservice.transport.server import Server

_log = logging.getLogger(__name__)


class _Hash(Protocol):
    def update(self, part: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Routes(Protocol):
    table: RoutingTable


class Draws:
    """Chance, dealt evenly: of each hundred requests of an endpoint, each hundredth gets one.

    Independent draws let a 10 % canary of the first hundred requests get anything between 4 and 17;
    a shuffled deck of hundredths gives it exactly 10, in an order that nobody can foresee.
    """

    __slots__ = ("_decks",)

    def __init__(self) -> None:
        self._decks: dict[tuple[str, str, str], list[int]] = {}

    def next(self, route: EndpointRoute) -> float:
        """Uniform in [0, 1). Not asked of chance at all where there is nothing to choose."""
        if len(route.fleets) == 1 and len(route.fleets[0].instances) < 2:
            return 0.0
        key = (route.account, route.region, route.name)
        deck = self._decks.get(key)
        if not deck:
            deck = self._decks[key] = list(range(100))
            random.shuffle(deck)
        return (deck.pop() + random.random()) / 100  # noqa: S311 - traffic is no secret


@dataclass
class Gateway:
    """What all connections of one worker share."""

    routes: _Routes
    client: Client
    control: Pool
    clock: Clock
    sessions: Sessions
    counting: Counting = field(default_factory=Counting)
    instances: Instances = field(default_factory=Instances)
    request_ids: RequestIds = field(default_factory=RequestIds)
    draws: Draws = field(default_factory=Draws)
    waiting: Waiting = field(default_factory=Waiting)
    readiness: Readiness = field(default_factory=Readiness)


class Unanswered(Invocation):
    """A path below /endpoints/ that leads nowhere: said to those alone who may know."""

    def begin(self, body_sha256: str | None) -> None:
        """Verify, then say so. Raises AwsError always."""
        self.verify(body_sha256 or sha256(self.request.body).hexdigest())
        if self.target.api is Api.ASYNC:
            raise NotImplementedYet(f"sagemaker-runtime:{self.target.api.value}")
        raise UnknownOperationException("No operation has this method and path.")


_INVOCATIONS: Final[dict[Api, type[Invocation]]] = {
    Api.INVOKE: Invocation,
    Api.STREAM: StreamedInvocation,
    Api.OPENAI: OpenAiInvocation,
    Api.ASYNC: Unanswered,
    Api.UNKNOWN: Unanswered,
}

_QUESTIONS: Final[dict[Api, type[Invocation]]] = {
    api: OpenAiQuestion if api is Api.OPENAI else Unanswered for api in Api
}
"""What is not POSTed."""

_BUG: Final = "An internal error occurred. It is in this server's log."


CONTROL_BODY_BYTES: Final = 4 * MIB
"""Of a request to control, which checks the signature and not we. The largest of its requests,
PutMetricData and PutLogEvents, are 1 MB. Beyond: 413."""


def _bound_control_body(request: Request) -> None:
    if request.length > CONTROL_BODY_BYTES:
        words = f"HTTP content length exceeded {CONTROL_BODY_BYTES} bytes."
        raise Refusal(413, "RequestEntityTooLargeException", words)


class GatewayConnection(Connection):
    """Invocations are answered here; everything else is carried to control."""

    __slots__ = ("_digest", "_relay", "gateway")

    def __init__(self, server: Server, gateway: Gateway) -> None:
        super().__init__(server)
        self.gateway = gateway
        self._relay: Relay | None = None
        self._digest: _Hash | None = None

    def body_begins(self, request: Request) -> None:
        """A body that comes in several segments is hashed as they come, while we would wait.

        It is not taken from just anybody: a head that names no key that we know is refused before
        its 25 MB are in our memory. Raises Refusal.
        """
        if not request.target.startswith(b"/endpoints/"):
            _bound_control_body(request)
            return
        self._digest = sha256()
        try:
            self._invocation(request).claim()
        except AwsError as error:
            error = self._as_we_know(error)
            raise Refusal(error.status, error.code, error.message) from None

    def part_received(self, request: Request, part: bytes) -> None:
        """Keep it, in as many pieces as it came in: it leaves for the model in the same."""
        request.parts.append(part)
        if self._digest is not None:
            self._digest.update(part)
        elif request.chunked:
            _bound_control_body(request)

    def request_received(self, request: Request) -> None:
        """Answer an invocation, or send the request on to control."""
        if not request.target.startswith(b"/endpoints/"):
            self._answer_or_carry(request)
            return
        digest, self._digest = self._digest, None
        invocation = self._relay = self._invocation(request)
        try:
            invocation.begin(None if digest is None else digest.hexdigest())
        except AwsError as error:
            self.answer_error(self._as_we_know(error), invocation.request_id)
        except Exception:  # noqa: BLE001 - a bug costs one request, and is logged
            _log.exception("an invocation failed")
            self.answer_error(InternalFailure(_BUG), invocation.request_id)

    def _answer_or_carry(self, request: Request) -> None:
        """A request that is no invocation: one that anybody may make, or control's."""
        said = open_answer(request, self.gateway, self.server.draining)
        if said is None:
            proxied = self._relay = Proxied(self, request)
            proxied.begin()
            return
        head, body = said
        head += self.server.date + self.closing_header(request) + b"\r\n"
        self.write(head if request.method == "HEAD" else head + body)
        self.answered()

    def _invocation(self, request: Request) -> Invocation:
        target = read_target(request.target)
        kinds = _INVOCATIONS if request.method == "POST" else _QUESTIONS
        return kinds[target.api](self, request, target)

    def _as_we_know(self, error: AwsError) -> AwsError:
        """A worker that has no table yet knows no key at all, and may not call anybody a stranger:
        clients try again after a 503, after a 403 never."""
        if isinstance(error, UnrecognizedClient) and self.gateway.routes.table.version < 0:
            return ServiceUnavailable("The gateway does not know yet where to send requests.")
        return error

    def may_write(self) -> None:
        """The client has caught up with an answer that is being passed on."""
        if self._relay is not None:
            self._relay.may_write()

    def client_left(self) -> None:
        """Nobody is waiting any more."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.give_up()

    def answered_by(self, relay: Relay, request: Request) -> None:
        """`relay` has written the whole answer to `request`."""
        if self._relay is relay and self.request is request:
            self._relay = None
            self.answered()

    def answer_error(self, error: AwsError, request_id: bytes, headers: bytes = b"") -> None:
        """Answer the request in hand with an error."""
        request, relay = self.request, self._relay
        if request is None or relay is None:
            return
        self._relay = None
        ending = headers + self.server.date + self.closing_header(request)
        answer = error_answer(error, relay.error_body(error), request_id, ending)
        if request.method == "HEAD":
            answer = answer[: answer.index(BLANK_LINE) + len(BLANK_LINE)]
        self.write(answer)
        self.answered()
