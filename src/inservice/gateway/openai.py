"""The OpenAI-compatible path: `/endpoints/<name>/openai/v1/…`.

What is POSTed goes to the model; `GET …/v1/models` is answered here, since clients ask it first.

Bodies go through untouched both ways, server-sent events included, with the model's own status: an
OpenAI client understands what an OpenAI-compatible model says. Callers sign as usual, or bring a
bearer key, which is a presigned request in disguise:

    sagemaker-api-key-<base64 of "sagemaker.amazonaws.com/?Action=CallWithBearerToken&X-Amz-…">

It is made offline from an access key, lives up to twelve hours, and is verified as any presigned
request is. It may only call this path.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from functools import lru_cache
from hashlib import sha256
from time import perf_counter
from typing import Final

import msgspec

from inservice.errors import (
    AwsError,
    IncompleteSignature,
    UnknownOperationException,
    ValidationError,
)
from inservice.gateway.invoke import SERVICES, Invocation
from inservice.gateway.relay import Relay
from inservice.gateway.streaming import STREAM_SECONDS
from inservice.identity.sigv4 import EMPTY_SHA256, Claim, claim
from inservice.routing import KeyRoute
from inservice.transport.client import Failure
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES

KEY_SECONDS_MAX: Final = 12 * 3600
"""The longest life of a bearer key."""

_KEY_BYTES_MAX: Final = 8 * 1024

_KEY: Final = re.compile(rb"(?i:bearer) +sagemaker-api-key-([A-Za-z0-9+/=_-]+)")
_PRESIGNED: Final = re.compile(rb"(sagemaker(?:\.[a-z0-9-]+)?\.amazonaws\.com)/\?(.+)&Version=1")
_MODELS: Final = b"v1/models"
_ACTION: Final = re.compile(rb"(?:^|&)Action=CallWithBearerToken(?:&|$)")


@lru_cache(maxsize=1024)
def read_bearer(authorization: bytes) -> tuple[bytes, bytes] | None:
    """(host, query) of the presigned request in a bearer key; None if it is none."""
    match = _KEY.fullmatch(authorization)
    if match is None or len(authorization) > _KEY_BYTES_MAX:
        return None
    try:
        presigned = _PRESIGNED.fullmatch(b64decode(match[1], altchars=b"-_", validate=False))
    except binascii.Error:
        return None
    if presigned is None or _ACTION.search(presigned[2]) is None:
        return None
    return presigned[1], presigned[2]


class OpenAiInvocation(Invocation):
    """An invocation in OpenAI's dialect."""

    seconds_max = STREAM_SECONDS

    def claim(self) -> Claim[KeyRoute]:
        """A signature, or a bearer key."""
        if not self._has_bearer:
            return Invocation.claim(self)
        bearer = read_bearer(self.request.fields[b"authorization"])
        if bearer is None:
            raise IncompleteSignature("The bearer token is not a SageMaker API key.")
        host, query = bearer
        gateway = self.connection.gateway
        return claim(
            "POST",
            b"/",
            query,
            [(b"host", host)],
            keys=gateway.routes.table.keys.get,
            now=gateway.clock.wall(),
            services=SERVICES,
            expires_seconds_max=KEY_SECONDS_MAX,
        )

    def verify(self, body_sha256: str) -> tuple[str, str]:
        """A bearer key was signed without a body, so it says nothing about this one."""
        return Invocation.verify(self, EMPTY_SHA256 if self._has_bearer else body_sha256)

    @property
    def _has_bearer(self) -> bool:
        return self.request.fields.get(b"authorization", b"")[:7].lower() == b"bearer "

    def answer_begins(self, head: ResponseHead) -> None:
        """Whatever the model says, it says it itself. Its head is out before its first token."""
        self.head = head
        self.length = head.length
        if head.length is None:
            self.begin_passing()

    def part_received(self, part: bytes) -> None:
        """Pass it on, or collect it with a length."""
        if not self.size and self.tally is not None:
            self.tally.first_chunks.append(perf_counter() - self.sent_at)
        Relay.part_received(self, part)

    def answer_failed(self, failure: Failure, why: str) -> None:
        """After the first byte it is an error of the stream as well."""
        if self.size and self.length is None and self.tally is not None:
            self.tally.mid_stream_errors += 1
        Invocation.answer_failed(self, failure, why)

    def bodiless(self, head: ResponseHead) -> bool:
        """Here the model's status is the client's."""
        return Relay.bodiless(self, head)

    def client_head(self, head: ResponseHead) -> bytes:
        """The model's status and type."""
        content_type = head.fields.get(b"content-type", b"application/json")
        lines = self.head_lines(content_type) + self.model_lines(head)
        return STATUS_LINES[head.status] + lines[len(STATUS_LINES[200]) :]

    def error_body(self, error: AwsError) -> bytes:
        """Our own errors, as OpenAI's clients expect errors."""
        kind = "invalid_request_error" if error.fault == "Sender" else "server_error"
        return msgspec.json.encode(
            {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}
        )


class OpenAiQuestion(OpenAiInvocation):
    """What is not POSTed. To OpenAI's clients an endpoint is one model, of the endpoint's name."""

    def begin(self, body_sha256: str | None) -> None:
        """Answer from the table. Raises AwsError for all that is not there."""
        request, target, connection = self.request, self.target, self.connection
        account, region = self.verify(body_sha256 or sha256(request.body).hexdigest())
        name, asked = target.endpoint, target.model_path
        if request.method != "GET" or not (asked + b"/").startswith(_MODELS + b"/"):
            raise UnknownOperationException("No operation has this method and path.")
        if (account, region, name) not in connection.gateway.routes.table.endpoints:
            raise ValidationError(f"Endpoint {name} of account {account} not found.")
        model = {"id": name, "object": "model", "created": 0, "owned_by": account}
        if asked == _MODELS:
            body = msgspec.json.encode({"object": "list", "data": [model]})
        elif asked == _MODELS + b"/" + name.encode():
            body = msgspec.json.encode(model)
        else:
            raise UnknownOperationException(f"This endpoint has one model, {name}.")
        connection.write(
            b"%bx-amzn-requestid: %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n%b%b\r\n%b"
            % (
                STATUS_LINES[200],
                self.request_id,
                len(body),
                connection.server.date,
                connection.closing_header(request),
                body,
            )
        )
        connection.answered_by(self, request)
