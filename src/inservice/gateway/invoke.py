"""One invocation: verify, route, forward, count.

This is the hot path. From the request's last byte to the model's first there is no task, no timer,
no queue and no copy of the body; the whole of it reads from `begin` down. CPU per request of
512 bytes here, median of five runs on 2 shared cores: see benchmarks/gateway.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING

from inservice.errors import ServiceUnavailable, ValidationError
from inservice.gateway.answers import TIMED_OUT, ModelError
from inservice.gateway.counting import Tally
from inservice.gateway.relay import Relay
from inservice.gateway.requests import Target, model_request
from inservice.identity.sigv4 import claim
from inservice.routing import EndpointRoute, FleetRoute, InstanceRoute, NoSuchVariant, choose
from inservice.transport.client import Failure
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request

if TYPE_CHECKING:
    from inservice.gateway.connection import GatewayConnection

SERVICES = ("sagemaker",)

INVOKE_SECONDS = 60.0
"""How long a container may take to answer InvokeEndpoint."""

_ERROR_KEPT_BYTES = 16 * 1024
"""Of a model's error: more than fits into an answer's 2,048 characters whatever the encoding."""

_CLIENT_HEAD = (
    STATUS_LINES[200] + b"x-amzn-requestid: %b\r\nx-Amzn-Invoked-Production-Variant: %b\r\n"
    b"%bcontent-type: %b\r\n"
)


class Invocation(Relay):
    """InvokeEndpoint, from the whole request to the whole answer."""

    __slots__ = (
        "began",
        "failed",
        "fleet",
        "instance",
        "message",
        "request_id",
        "route",
        "sent_at",
        "tally",
        "target",
        "tried",
    )

    def __init__(self, connection: GatewayConnection, request: Request, target: Target) -> None:
        super().__init__(connection, request)
        self.target = target
        self.began = time.perf_counter()
        self.sent_at = self.began
        self.failed = False
        """The model's status is an error: what it says is kept for a ModelError."""
        self.request_id = connection.gateway.request_ids.next()
        self.tried: tuple[str, ...] = ()
        self.route: EndpointRoute | None = None
        self.fleet: FleetRoute | None = None
        self.instance: InstanceRoute | None = None
        self.tally: Tally | None = None
        self.message: list[bytes] = []

    # ── the way there ──────────────────────────────────────────────────────────────────────────

    def begin(self, body_sha256: str | None) -> None:
        """Verify, find the endpoint, send. Raises AwsError if the request cannot be sent at all."""
        gateway, request = self.connection.gateway, self.request
        table = gateway.routes.table
        if body_sha256 is None:
            body_sha256 = sha256(request.body).hexdigest()
        target = self.target
        verdict = claim(
            request.method,
            target.path,
            target.query,
            request.headers,
            keys=table.keys.get,
            now=gateway.clock.now(),
            services=SERVICES,
        ).verify(body_sha256)
        account = verdict.key.account
        route = table.endpoints.get((account, verdict.region, target.endpoint))
        if route is None:
            words = f"Endpoint {target.endpoint} of account {account} not found."
            raise ValidationError(words)
        self.route = route
        self.message = [model_request(request, target.api, self.request_id), *request.parts]
        self._send()

    def _send(self) -> None:
        """To an instance that was not tried yet. Raises AwsError if there is none."""
        gateway, route = self.connection.gateway, self.route
        assert route is not None
        named = self.request.fields.get(b"x-amzn-sagemaker-target-variant")
        instances = gateway.instances
        avoid = instances.avoided(self.connection.server.now)
        if self.tried or avoid:
            avoid = {*avoid, *self.tried}
        try:
            choice = choose(
                route,
                gateway.draws.next(route),
                target_variant=None if named is None else named.decode(),
                outstanding=instances.outstanding,
                avoid=avoid,
            )
        except NoSuchVariant as variant:
            words = f"Variant {variant} of endpoint {route.name} not found."
            raise ValidationError(words) from None
        if choice is None:
            if self.tally is None:
                gateway.counting.tally(route, route.fleets[0]).gateway_errors += 1
            raise ServiceUnavailable("No instance of the endpoint is ready to take the request.")
        fleet, instance = choice
        self.fleet, self.instance = fleet, instance
        self.tally = gateway.counting.tally(route, fleet)
        self.tally.begun(len(fleet.instances))
        instances.begun(instance.id)
        self.sent_at = time.perf_counter()
        gateway.client.pool(instance.address).send(self, self.message, INVOKE_SECONDS)

    # ── the way back ───────────────────────────────────────────────────────────────────────────

    def answer_begins(self, head: ResponseHead) -> None:
        """An error of the model becomes one of ours, so its body is kept and not passed on."""
        self.head = head
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
        self._count(head.status)
        if self.failed:
            said = b"".join(self.parts)[:_ERROR_KEPT_BYTES].decode("utf-8", "replace")
            self._answer_model_error(head.status, said)
        else:
            Relay.answer_ended(self)

    def client_head(self, head: ResponseHead) -> bytes:
        """Of the model's headers only those that the runtime API names reach the client."""
        fleet = self.fleet
        assert fleet is not None
        fields = head.fields
        lines = _CLIENT_HEAD % (
            self.request_id,
            fleet.variant.encode(),
            self.connection.server.date,
            fields.get(b"content-type", b"application/octet-stream"),
        )
        attributes = fields.get(b"x-amzn-sagemaker-custom-attributes")
        if attributes is not None and attributes.isascii() and len(attributes) <= 1024:
            lines += b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n" % attributes
        return lines

    def answer_failed(self, failure: Failure, why: str) -> None:
        """Only what was never sent is sent again; anything else may have reached the model."""
        instance, tally = self.instance, self.tally
        assert instance is not None
        assert tally is not None
        if failure is Failure.NOT_SENT:
            self._retry(instance, tally)
            return
        self._count(0)
        if self.passing:
            self.connection.transport.abort()  # half an answer is out: it must not look whole
        elif failure is Failure.TIMED_OUT:
            self._answer_model_error(0, TIMED_OUT)
        else:
            self._answer_model_error(0, f"The container's answer was no answer: {why}.")

    def give_up(self) -> None:
        """The client has left; the model, once asked, works on for nobody."""
        if self.upstream is not None:
            self._count(200)
        Relay.give_up(self)

    def _retry(self, instance: InstanceRoute, tally: Tally) -> None:
        gateway = self.connection.gateway
        gateway.instances.ended(instance.id)
        gateway.instances.unreachable(instance.id, self.connection.server.now)
        tally.unsent()
        self.tried = (*self.tried, instance.id)
        try:
            self._send()
        except ServiceUnavailable as error:
            tally.gateway_errors += 1
            self.connection.answer_error(error, self.request_id)

    def _count(self, status: int) -> None:
        """The model is done with the request, well or badly."""
        now = time.perf_counter()
        instance, tally = self.instance, self.tally
        assert instance is not None
        assert tally is not None
        self.connection.gateway.instances.ended(instance.id)
        tally.answered(status, now - self.sent_at, self.sent_at - self.began)

    def _answer_model_error(self, status: int, said: str) -> None:
        assert self.route is not None
        assert self.fleet is not None
        variant = b"x-Amzn-Invoked-Production-Variant: %b\r\n" % self.fleet.variant.encode()
        error = ModelError(self.route, status, said)
        self.connection.answer_error(error, self.request_id, variant)
