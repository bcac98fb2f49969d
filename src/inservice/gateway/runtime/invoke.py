"""One invocation: verify, route, forward, count.

Three things about it vary, and none of them knows the others. An `Invocation` is put together from
them, once for each request:

    dialect      how the client speaks: how it proves who it is, what an answer and an error look
                 like to it. One object for all requests, in `dialects/`
    selection    which instance gets the request
    tap          who hears of it: `taps/`

This is the hot path. From the request's last byte to the model's first there is no task, no timer,
no queue and no copy of the body; the whole of it reads from `begin` down, then from `answer_begins`
down. The body is whole before anything is sent: its signature covers its digest, and what nobody
has verified reaches no model; and a request of which nothing was sent yet can be sent elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from time import perf_counter
from typing import Final, Protocol

from inservice.errors import (
    AwsError,
    RuntimeAccessDenied,
    ServiceUnavailable,
    UnrecognizedClient,
    ValidationError,
)
from inservice.gateway.answers import error_body
from inservice.gateway.front import GatewayConnection
from inservice.gateway.relay import Relay
from inservice.gateway.runtime.errors import TIMED_OUT, ModelError
from inservice.gateway.runtime.requests import Target, model_request
from inservice.gateway.runtime.selection import CLOSED_SESSION, SESSION
from inservice.gateway.runtime.shared import Gateway
from inservice.gateway.runtime.taps.tap import Hearing
from inservice.identity.sigv4.claims import Claim, claim
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute, KeyRoute
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request
from inservice.transport.source import address_of
from inservice.transport.upstream import Failure

SERVICES: Final = ("sagemaker",)


INVOKE_SECONDS: Final = 60.0
"""How long a container may take to answer InvokeEndpoint."""

JOIN_BYTES: Final = 8 * 1024
"""Up to this size copying a body behind its head is cheaper than a second buffer for the kernel."""

_ERROR_KEPT_BYTES: Final = 16 * 1024
"""Of a model's error: more than fits into an answer's 2,048 characters whatever the encoding."""

_CLIENT_HEAD: Final = (
    STATUS_LINES[200] + b"x-amzn-requestid: %b\r\nx-Amzn-Invoked-Production-Variant: %b\r\n"
    b"%bcontent-type: %b\r\n"
)


class _Hash(Protocol):
    def update(self, part: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Dialect:
    """How a client speaks. What is here is InvokeEndpoint's way; the others say what they do
    differently. A dialect keeps nothing of a request: all of them share it."""

    seconds_max = INVOKE_SECONDS
    """How long the model may take until its answer has ended."""
    verbatim = False
    """The client hears the model itself: its status, whatever it is, and its head before its first
    byte. Else it gets 200, and anything but a success of the model's is an error of ours, which
    quotes it."""

    def authenticate(
        self, request: Request, target: Target, gateway: Gateway, body_sha256: str | None
    ) -> Claim[KeyRoute]:
        """Who has signed this; without the body's digest, who says so.

        Raises AuthenticationError.
        """
        claimed = claim(
            request.method,
            target.path,
            target.query,
            request.headers,
            keys=gateway.routes.table.key,
            now=gateway.clock.wall(),
            services=SERVICES,
            fields=request.fields,
        )
        if body_sha256 is not None:
            claimed.verify(body_sha256)
        return claimed

    def part_received(self, invocation: Invocation, part: bytes) -> None:
        """A part of the model's answer: collect it, or pass it on."""
        Relay.part_received(invocation, part)

    def empty_answer(self, invocation: Invocation) -> None:
        """The model's answer has ended, and nothing was in it."""

    def client_head(self, invocation: Invocation, head: ResponseHead) -> bytes:
        """Of the model's headers only those that the runtime API names reach the client."""
        content_type = head.fields.get(b"content-type", b"application/octet-stream")
        return invocation.head_lines(head, content_type)

    def broken_off(self, invocation: Invocation, failure: Failure) -> None:  # noqa: ARG002 - events
        """Half an answer is out: it must not look whole."""
        invocation.connection.transport.abort()

    def error_body(self, error: AwsError) -> bytes:
        """How an error is told."""
        return error_body(error)


class Asked(Relay):
    """A request below /endpoints/, which somebody has signed."""

    def __init__(
        self,
        connection: GatewayConnection,
        request: Request,
        target: Target,
        dialect: Dialect,
        gateway: Gateway,
    ) -> None:
        # Not by the classes above: making an invocation is a twentieth of what it costs.
        self.connection = connection
        self.request = request
        self.request_id = gateway.request_ids.next()
        self.parts = []
        self.target = target
        self.dialect = dialect
        self.gateway = gateway
        # Of a body that comes in several segments: hashed as they come, while we would wait. Not
        # on the class: what is compiled has no default there for what may be of any class.
        self._digest: _Hash | None = None

    def body_begins(self, expects: bool) -> None:
        """A head that names no key that we know is refused before its 25 MB are in our memory."""
        self._digest = sha256()
        try:
            self.dialect.authenticate(self.request, self.target, self.gateway, None)
        except UnrecognizedClient as error:
            raise self._about_a_stranger(error) from None
        Relay.body_begins(self, expects)

    def body_part(self, part: bytes) -> None:
        """Keep it, in as many pieces as it came in: it leaves for the model in the same."""
        self.request.parts.append(part)
        if self._digest is not None:
            self._digest.update(part)

    def _about_a_stranger(self, error: UnrecognizedClient) -> AwsError:
        """A worker that has no table yet knows no key at all, and may not call anybody a stranger:
        clients try again after a 503, after a 403 never."""
        if self.gateway.routes.table.version >= 0:
            return error
        return ServiceUnavailable("The gateway does not know yet where to send requests.")

    def verify(self) -> tuple[str, str]:
        """Account and region that the request is for. Raises AuthenticationError, or
        RuntimeAccessDenied for who may not do it."""
        request, target, digest = self.request, self.target, self._digest
        body_sha256 = sha256(request.body).hexdigest() if digest is None else digest.hexdigest()
        try:
            claim = self.dialect.authenticate(request, target, self.gateway, body_sha256)
        except UnrecognizedClient as error:
            raise self._about_a_stranger(error) from None
        key, region = claim.key, claim.region
        gateway = self.gateway
        why = gateway.allowed.denial(
            gateway.routes.table,
            key,
            region,
            target,
            request,
            self.connection.transport,
            gateway.clock,
        )
        if why is not None:
            self._tell_of_denial(key, region)
            raise RuntimeAccessDenied(why)
        return key.account, region

    def _tell_of_denial(self, key: KeyRoute, region: str) -> None:
        gateway, target = self.gateway, self.target
        gateway.refused.note(
            key,
            region,
            target.action,
            target.resource,
            at=gateway.clock.wall(),
            request_id=self.request_id,
            source=address_of(self.connection.transport.get_extra_info("peername")),
            agent=self.request.header(b"user-agent"),
        )

    def error_body(self, error: AwsError) -> bytes:
        """As the client expects errors."""
        return self.dialect.error_body(error)


class Invocation(Asked):
    """A request to a model, from the whole request to the whole answer."""

    failed = False
    """The model's status is an error: what it says is kept for a ModelError."""
    streaming = False
    """The first part of a stream is out."""
    tried: tuple[str, ...] = ()
    """Ids of instances that could not be reached."""
    route: EndpointRoute | None = None
    fleet: FleetRoute | None = None
    instance: InstanceRoute | None = None
    hearing: Hearing | None = None
    """Set while the request is under way."""
    message: Sequence[bytes] = ()
    began = 0.0
    sent_at = 0.0

    # ── the way there ──────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Verify, find the endpoint, send. Raises AwsError if the request cannot be sent at all."""
        self.began = perf_counter()
        request, target, gateway = self.request, self.target, self.gateway
        account, region = self.verify()
        route = gateway.routes.table.endpoints.get((account, region, target.endpoint))
        if route is None:
            words = f"Endpoint {target.endpoint} of account {account} not found."
            raise ValidationError(words)
        self.route = route
        self.token_line = gateway.client.tokens.next()
        head = model_request(request, target, self.request_id, self.token_line)
        parts = request.parts
        if request.length <= JOIN_BYTES and len(parts) == 1:
            self.message = (head + parts[0],)
        else:
            self.message = (head, *parts)
        self._send(route)

    def _send(self, route: EndpointRoute) -> None:
        """To an instance that was not tried yet. Raises AwsError if there is none."""
        gateway = self.gateway
        now = gateway.client.now
        try:
            choice = gateway.selection.choose(
                route, self.request.fields, self.tried, now, gateway.clock
            )
        except ServiceUnavailable:
            self._refused(route)
            raise
        if choice is None:
            self._wait(route)
            return
        fleet, instance = choice
        self.fleet, self.instance = fleet, instance
        hearing = self.hearing = gateway.tap.hear(route, fleet)
        hearing.begun(len(fleet.instances))
        gateway.instances.begun(instance.id, now)
        self.sent_at = perf_counter()
        gateway.client.pool(instance.address).send(self, self.message, self.dialect.seconds_max)

    def _wait(self, route: EndpointRoute) -> None:
        """All are full. Raises ServiceUnavailable if there is no room even to wait."""
        if not self.gateway.waiting.add((route.account, route.region, route.name), self):
            self._refused(route)
            raise ServiceUnavailable("The endpoint has more requests than it can work on.")

    def _refused(self, route: EndpointRoute) -> None:
        self.gateway.tap.refused(route, self.fleet or route.fleets[0])

    def go_on(self) -> None:
        """Waiter: there is room, or the instance that was tried is not there."""
        assert self.route is not None
        try:
            self._send(self.route)
        except AwsError as error:
            self.connection.answer_error(error, self.request_id)

    def turn_away(self) -> None:
        """Waiter: it took too long."""
        assert self.route is not None
        self._refused(self.route)
        words = "The endpoint has more requests than it can work on."
        self.connection.answer_error(ServiceUnavailable(words), self.request_id)

    # ── the way back ───────────────────────────────────────────────────────────────────────────

    def answer_begins(self, head: ResponseHead) -> None:
        """An error of the model becomes one of ours, so its body is kept and not passed on."""
        self.head = head
        self.length = head.length
        if not self.dialect.verbatim:
            self.failed = not 200 <= head.status < 300
        elif head.length is None:
            self.begin_passing()

    def part_received(self, part: bytes) -> None:
        """As the dialect has it; of an error only so much as is quoted."""
        if not self.failed:
            self.dialect.part_received(self, part)
        elif self.size < _ERROR_KEPT_BYTES:
            self.size += len(part)
            self.parts.append(part)

    def stream_begins(self) -> None:
        """Dialect: the first part of a stream is about to leave."""
        self.streaming = True
        if self.hearing is not None:
            self.hearing.first_part(perf_counter() - self.sent_at)

    def answer_ended(self) -> None:
        """The model has answered."""
        head = self.head
        assert head is not None
        if not self.size and not self.failed:
            self.dialect.empty_answer(self)
        self.count(head.status)
        if not self.failed:
            self.finish()
            return
        self.answer_model_error(head.status, self._said())

    def bodiless(self, head: ResponseHead) -> bool:
        """Only where the status is the model's: a 204 that becomes our 200 is an empty body."""
        return self.dialect.verbatim and Relay.bodiless(self, head)

    def client_head(self, head: ResponseHead) -> bytes:
        """As the dialect has it."""
        return self.dialect.client_head(self, head)

    def head_lines(self, head: ResponseHead, content_type: bytes) -> bytes:
        """What every answer of a model begins with; then what the model may say in headers."""
        fleet, fields = self.fleet, head.fields
        assert fleet is not None
        date = self.connection.server.date
        lines = _CLIENT_HEAD % (self.request_id, fleet.variant.encode(), date, content_type)
        attributes = fields.get(b"x-amzn-sagemaker-custom-attributes")
        if attributes is not None and attributes.isascii() and len(attributes) <= 1024:
            lines += b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n" % attributes
        if SESSION in fields or CLOSED_SESSION in fields:
            gateway, route, instance = self.gateway, self.route, self.instance
            assert route is not None
            assert instance is not None
            lines += gateway.selection.session_lines(
                route, instance.id, self.request.fields, fields, gateway.clock.wall()
            )
        return lines

    def answer_failed(self, failure: Failure, why: str) -> None:
        """Only what was never sent is sent again; anything else may have reached the model."""
        if failure is Failure.NOT_SENT:
            self._retry()
            return
        if self.streaming and self.length is None and self.hearing is not None:
            self.hearing.broken_off()
            self.count(0)  # after the first byte it is an error of the stream, not of the status
        status = self._status_of(failure)
        self.count(status, whole=False)
        if self.passing:
            self.dialect.broken_off(self, failure)
        elif failure is Failure.TIMED_OUT:
            self.answer_model_error(status, TIMED_OUT)
        elif self.failed:
            self.answer_model_error(status, self._said())
        elif self.head is not None:
            self.answer_model_error(status, f"The container's answer broke off: {why}.")
        else:
            self.answer_model_error(status, f"The container's answer was no answer: {why}.")

    def _status_of(self, failure: Failure) -> int:
        """What an answer that is not whole counts as. A model that fails behind its first words
        has failed like one that fails before them, whatever it said at first: 500. One that said
        nothing, or is not done in time, has no status: 0, as on AWS."""
        if self.head is None or failure is Failure.TIMED_OUT:
            return 0
        return self.head.status if self.failed else 500

    def _said(self) -> str:
        """What a model said of its error."""
        return b"".join(self.parts)[:_ERROR_KEPT_BYTES].decode("utf-8", "replace")

    def give_up(self) -> None:
        """The client has left; the model, once asked, works on for nobody."""
        if self.hearing is not None:
            self.count(0 if self.head is None else self.head.status, heard=False)
        Relay.give_up(self)

    def _retry(self) -> None:
        gateway, instance, hearing = self.gateway, self.instance, self.hearing
        if hearing is None or instance is None:
            return  # given up meanwhile
        self.hearing = None
        gateway.instances.ended(instance.id)
        gateway.instances.connect_failed(instance.id, gateway.client.now)
        hearing.unsent()
        self.tried = (*self.tried, instance.id)
        self.go_on()

    def count(self, status: int, *, heard: bool = True, whole: bool = True) -> None:
        """The model is done with the request, well or badly, or the client is. An instance whose
        answer is not whole may be ill, whatever the status that this counts as."""
        now = perf_counter()
        gateway, route = self.gateway, self.route
        instance, hearing = self.instance, self.hearing
        if hearing is None or instance is None or self.fleet is None or route is None:
            return
        self.hearing = None
        gateway.instances.ended(instance.id)
        if heard:
            known = status if whole else 0
            gateway.instances.heard(instance, self.fleet, known, gateway.client.now)
            hearing.answered(status, now - self.sent_at, self.sent_at - self.began)
        else:
            hearing.abandoned()
        if gateway.waiting.queues:
            gateway.waiting.room((route.account, route.region, route.name))

    def answer_model_error(self, status: int, said: str) -> None:
        """424, with what the model said."""
        assert self.route is not None
        assert self.fleet is not None
        variant = b"x-Amzn-Invoked-Production-Variant: %b\r\n" % self.fleet.variant.encode()
        error = ModelError(self.route, status, said)
        self.connection.answer_error(error, self.request_id, variant)
