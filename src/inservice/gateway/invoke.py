"""One invocation: verify, route, forward, count.

This is the hot path. From the request's last byte to the model's first there is no task, no timer,
no queue and no copy of the body; the whole of it reads from `begin` down, then from `answer_begins`
down. `streaming` and `openai` are this with other answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Final

from inservice.errors import (
    AwsError,
    RuntimeAccessDenied,
    ServiceUnavailable,
    ValidationError,
)
from inservice.gateway.answers import TIMED_OUT, ModelError
from inservice.gateway.counting import Tally
from inservice.gateway.relay import Relay
from inservice.gateway.requests import Api, Target, model_request
from inservice.gateway.sessions import NEW_SESSION, Session, new_session_header, read_header
from inservice.identity.authorization import denial
from inservice.identity.principal import Principal
from inservice.identity.sigv4 import Claim, claim
from inservice.routing import (
    Choice,
    EndpointRoute,
    FleetRoute,
    InstanceRoute,
    KeyRoute,
    choose,
)
from inservice.transport.client import Failure
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request

if TYPE_CHECKING:
    from inservice.gateway.connection import GatewayConnection

SERVICES: Final = ("sagemaker",)

_ACTIONS: Final = {
    api: "sagemaker:" + (Api.INVOKE if api in (Api.OPENAI, Api.UNKNOWN) else api).value
    for api in Api
}
"""IAM's name for each operation. Of a path that leads nowhere those alone hear who may invoke."""


@lru_cache(maxsize=1024)
def _denial(account: str, arn: str, action: str, region: str, resource: str) -> str | None:
    """What `denial` says. Clients repeat what they ask: asking again costs 0.2 µs."""
    return denial(Principal(account, arn), action, region, resource)


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


class Invocation(Relay):
    """InvokeEndpoint, from the whole request to the whole answer."""

    seconds_max = INVOKE_SECONDS

    failed = False
    """The model's status is an error: what it says is kept for a ModelError."""
    tried: tuple[str, ...] = ()
    """Ids of instances that could not be reached."""
    route: EndpointRoute | None = None
    fleet: FleetRoute | None = None
    instance: InstanceRoute | None = None
    tally: Tally | None = None
    """Set while the request is counted as under way."""
    message: Sequence[bytes] = ()
    sent_at = 0.0

    def __init__(self, connection: GatewayConnection, request: Request, target: Target) -> None:
        self.connection = connection
        self.request = request
        self.parts = []
        self.target = target
        self.began = perf_counter()
        self.request_id = connection.gateway.request_ids.next()

    # ── the way there ──────────────────────────────────────────────────────────────────────────

    def begin(self, body_sha256: str | None) -> None:
        """Verify, find the endpoint, send. Raises AwsError if the request cannot be sent at all."""
        request = self.request
        if body_sha256 is None:
            body_sha256 = sha256(request.body).hexdigest()
        account, region = self.verify(body_sha256)
        name = self.target.endpoint
        route = self.connection.gateway.routes.table.endpoints.get((account, region, name))
        if route is None:
            raise ValidationError(f"Endpoint {name} of account {account} not found.")
        self.route = route
        self.token_line = self.connection.gateway.client.tokens.next()
        head = model_request(request, self.target, self.request_id, self.token_line)
        parts = request.parts
        if request.length <= JOIN_BYTES and len(parts) == 1:
            self.message = (head + parts[0],)
        else:
            self.message = (head, *parts)
        self._send()

    def claim(self) -> Claim[KeyRoute]:
        """Who says to have signed this, by the head alone. Raises AuthenticationError."""
        gateway, target = self.connection.gateway, self.target
        return claim(
            self.request.method,
            target.path,
            target.query,
            self.request.headers,
            keys=gateway.routes.table.keys.get,
            now=gateway.clock.wall(),
            services=SERVICES,
            fields=self.request.fields,
        )

    def verify(self, body_sha256: str) -> tuple[str, str]:
        """Account and region that the request is for. Raises AuthenticationError, or
        RuntimeAccessDenied for who may not do it."""
        claim = self.claim()
        claim.verify(body_sha256)
        key, target = claim.key, self.target
        action, what = _ACTIONS[target.api], "endpoint/" + target.endpoint
        why = _denial(key.account, key.principal, action, claim.region, what)
        if why is not None:
            raise RuntimeAccessDenied(why)
        return key.account, claim.region

    def _send(self) -> None:
        """To an instance that was not tried yet. Raises AwsError if there is none."""
        gateway, route = self.connection.gateway, self.route
        assert route is not None
        instances, now = gateway.instances, gateway.client.now
        session = self.request.fields.get(b"x-amzn-sagemaker-session-id")
        if session is not None and session != NEW_SESSION:
            choice: Choice | None = self._session_choice(route, session)
        else:
            avoid = instances.avoided(now)
            choice = self._choose(route, {*avoid, *self.tried} if self.tried else avoid)
            if choice is None:
                choice = self._choose_anyway(route)
        if choice is None:
            return  # it waits for room
        fleet, instance = choice
        self.fleet, self.instance = fleet, instance
        tally = self.tally = gateway.counting.tally(route, fleet)
        tally.begun(len(fleet.instances))
        instances.begun(instance.id, now)
        self.sent_at = perf_counter()
        gateway.client.pool(instance.address).send(self, self.message, self.seconds_max)

    def _choose(self, route: EndpointRoute, avoid: object) -> Choice | None:
        gateway = self.connection.gateway
        return choose(
            route,
            gateway.draws.next(route),
            target_variant=self._target_variant(route),
            outstanding=gateway.instances.outstanding,
            avoid=avoid,  # type: ignore[arg-type]
        )

    def _target_variant(self, route: EndpointRoute) -> str | None:
        """The variant that was asked for, if one was. Raises ValidationError."""
        asked = self.request.fields.get(b"x-amzn-sagemaker-target-variant")
        if asked is None:
            return None
        variant = asked.decode()
        if all(fleet.variant != variant for fleet in route.fleets):
            raise ValidationError(f"Variant {variant} of endpoint {route.name} not found.")
        return variant

    def _choose_anyway(self, route: EndpointRoute) -> Choice | None:
        """Nobody is at their best: ask the ejected, else wait for the full. None while waiting."""
        gateway = self.connection.gateway
        out = {*self.tried, *gateway.instances.unreachable(gateway.client.now)}
        choice = self._choose(route, {*out, *gateway.instances.full})
        if choice is not None:
            return choice
        if self._choose(route, out) is None:
            self._refused(route)
            raise ServiceUnavailable("No instance of the endpoint is ready to take the request.")
        if not gateway.waiting.add((route.account, route.region, route.name), self):
            self._refused(route)
            raise ServiceUnavailable("The endpoint has more requests than it can work on.")
        return None

    def _session_choice(self, route: EndpointRoute, session: bytes) -> Choice:
        """The instance that holds the session, and no other. Raises ValidationError."""
        gateway = self.connection.gateway
        variant = self._target_variant(route)
        key = (route.account, route.region, route.name)
        holder = gateway.sessions.find(key, session, gateway.clock.wall()).instance_id
        for fleet in route.fleets:
            for instance in fleet.instances:
                if instance.id == holder and holder not in self.tried:
                    if variant is not None and fleet.variant != variant:
                        words = f"Session {session.decode()} is not of variant {variant}."
                        raise ValidationError(words)
                    return fleet, instance
        gateway.sessions.close(key, session)
        raise ValidationError(f"Session {session.decode()} is over: its instance is gone.")

    def _refused(self, route: EndpointRoute) -> None:
        gateway = self.connection.gateway
        gateway.counting.tally(route, self.fleet or route.fleets[0]).gateway_errors += 1

    def go_on(self) -> None:
        """Waiter: there is room, or the instance that was tried is not there."""
        try:
            self._send()
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
        self.failed = not 200 <= head.status < 300

    def part_received(self, part: bytes) -> None:
        """As Relay; of an error only so much as is quoted."""
        if not self.failed:
            Relay.part_received(self, part)
        elif self.size < _ERROR_KEPT_BYTES:
            self.size += len(part)
            self.parts.append(part)

    def answer_ended(self) -> None:
        """The model has answered."""
        head = self.head
        assert head is not None
        self.count(head.status)
        if self.failed:
            said = b"".join(self.parts)[:_ERROR_KEPT_BYTES].decode("utf-8", "replace")
            self.answer_model_error(head.status, said)
        else:
            Relay.answer_ended(self)

    def bodiless(self, head: ResponseHead) -> bool:  # noqa: ARG002 - whatever the model's was
        """Never: the API knows one success, 200. A 204 of the model's is an empty body."""
        return False

    def client_head(self, head: ResponseHead) -> bytes:
        """Of the model's headers only those that the runtime API names reach the client."""
        content_type = head.fields.get(b"content-type", b"application/octet-stream")
        return self.head_lines(content_type) + self.model_lines(head)

    def head_lines(self, content_type: bytes) -> bytes:
        """What every answer of a model begins with."""
        fleet = self.fleet
        assert fleet is not None
        date = self.connection.server.date
        return _CLIENT_HEAD % (self.request_id, fleet.variant.encode(), date, content_type)

    def model_lines(self, head: ResponseHead) -> bytes:
        """What the model says in headers, where it may say something."""
        lines = b""
        fields = head.fields
        attributes = fields.get(b"x-amzn-sagemaker-custom-attributes")
        if attributes is not None and attributes.isascii() and len(attributes) <= 1024:
            lines = b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n" % attributes
        if (
            b"x-amzn-sagemaker-session-id" in fields
            or b"x-amzn-sagemaker-closed-session-id" in fields
        ):
            lines += self._session_lines(fields)
        return lines

    def _session_lines(self, fields: dict[bytes, bytes]) -> bytes:
        """Remember what the model says of sessions, and tell the client in its words."""
        gateway, route, instance = self.connection.gateway, self.route, self.instance
        assert route is not None
        assert instance is not None
        key = (route.account, route.region, route.name)
        asked = self.request.fields.get(b"x-amzn-sagemaker-session-id")
        lines = b""
        opened = fields.get(b"x-amzn-sagemaker-session-id")
        if opened is not None and asked == NEW_SESSION:
            session = read_header(opened, gateway.clock.wall())
            if session is not None:
                id_, expires_at = session
                gateway.sessions.open(key, id_, Session(instance.id, expires_at))
                lines = new_session_header(id_, expires_at)
        closed = fields.get(b"x-amzn-sagemaker-closed-session-id")
        if (
            closed is not None and closed == asked
        ):  # a model may end only the session it was asked in
            gateway.sessions.close(key, closed)
            lines += b"X-Amzn-SageMaker-Closed-Session-Id: %b\r\n" % closed
        return lines

    def answer_failed(self, failure: Failure, why: str) -> None:
        """Only what was never sent is sent again; anything else may have reached the model."""
        if failure is Failure.NOT_SENT:
            self._retry()
            return
        self.count(0)
        if self.passing:
            self.broken_off(failure)
        elif failure is Failure.TIMED_OUT:
            self.answer_model_error(0, TIMED_OUT)
        else:
            self.answer_model_error(0, f"The container's answer was no answer: {why}.")

    def broken_off(self, failure: Failure) -> None:  # noqa: ARG002 - streams tell it
        """Half an answer is out: it must not look whole."""
        self.connection.transport.abort()

    def give_up(self) -> None:
        """The client has left; the model, once asked, works on for nobody."""
        if self.tally is not None:
            self.count(0 if self.head is None else self.head.status, heard=False)
        Relay.give_up(self)

    def _retry(self) -> None:
        gateway, instance, tally = self.connection.gateway, self.instance, self.tally
        if tally is None or instance is None:
            return  # given up meanwhile
        self.tally = None
        gateway.instances.ended(instance.id)
        gateway.instances.connect_failed(instance.id, gateway.client.now)
        tally.unsent()
        self.tried = (*self.tried, instance.id)
        self.go_on()

    def count(self, status: int, *, heard: bool = True) -> None:
        """The model is done with the request, well or badly, or the client is."""
        now = perf_counter()
        gateway, route = self.connection.gateway, self.route
        instance, tally = self.instance, self.tally
        if tally is None or instance is None or self.fleet is None or route is None:
            return
        self.tally = None
        gateway.instances.ended(instance.id)
        if heard:
            gateway.instances.heard(instance, self.fleet, status, gateway.client.now)
            tally.answered(status, now - self.sent_at, self.sent_at - self.began)
        else:
            tally.abandoned()
        if gateway.waiting.queues:
            gateway.waiting.room((route.account, route.region, route.name))

    def answer_model_error(self, status: int, said: str) -> None:
        """424, with what the model said."""
        assert self.route is not None
        assert self.fleet is not None
        variant = b"x-Amzn-Invoked-Production-Variant: %b\r\n" % self.fleet.variant.encode()
        error = ModelError(self.route, status, said)
        self.connection.answer_error(error, self.request_id, variant)
