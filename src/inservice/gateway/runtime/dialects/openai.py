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
from typing import Final

import msgspec

from inservice.errors import (
    AwsError,
    IncompleteSignature,
    UnknownOperationException,
    ValidationError,
)
from inservice.gateway.relay import Relay
from inservice.gateway.runtime.dialects.response_stream import STREAM_SECONDS
from inservice.gateway.runtime.invoke import SERVICES, Asked, Dialect, Invocation
from inservice.gateway.runtime.requests import Target
from inservice.gateway.runtime.shared import Gateway
from inservice.identity.sigv4.claims import EMPTY_SHA256, Claim, claim
from inservice.routing.table import KeyRoute
from inservice.transport.framing import ResponseHead
from inservice.transport.messages import STATUS_LINES, Request

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


class OpenAi(Dialect):
    """OpenAI's way: the model's own words, and errors as OpenAI's clients expect them."""

    seconds_max = STREAM_SECONDS
    verbatim = True

    def authenticate(
        self, request: Request, target: Target, gateway: Gateway, body_sha256: str | None
    ) -> Claim[KeyRoute]:
        """A signature, or a bearer key."""
        if request.fields.get(b"authorization", b"")[:7].lower() != b"bearer ":
            return Dialect.authenticate(self, request, target, gateway, body_sha256)
        bearer = read_bearer(request.fields[b"authorization"])
        if bearer is None:
            raise IncompleteSignature("The bearer token is not a SageMaker API key.")
        host, query = bearer
        claimed = claim(
            "POST",
            b"/",
            query,
            [(b"host", host)],
            keys=gateway.routes.table.key,
            now=gateway.clock.wall(),
            services=SERVICES,
            expires_seconds_max=KEY_SECONDS_MAX,
        )
        if body_sha256 is not None:  # the key was signed without a body, so it says nothing of it
            claimed.verify(EMPTY_SHA256)
        return claimed

    def part_received(self, invocation: Invocation, part: bytes) -> None:
        """Pass it on, or collect it with a length."""
        if not invocation.size:
            invocation.stream_begins()
        Relay.part_received(invocation, part)

    def client_head(self, invocation: Invocation, head: ResponseHead) -> bytes:
        """The model's status and type."""
        content_type = head.fields.get(b"content-type", b"application/json")
        lines = invocation.head_lines(head, content_type)
        return STATUS_LINES[head.status] + lines[len(STATUS_LINES[200]) :]

    def error_body(self, error: AwsError) -> bytes:
        """Our own errors, as OpenAI's clients expect errors."""
        kind = "invalid_request_error" if error.fault == "Sender" else "server_error"
        return msgspec.json.encode(
            {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}
        )


class Question(Asked):
    """What is not POSTed. To OpenAI's clients an endpoint is one model, of the endpoint's name."""

    def begin(self) -> None:
        """Answer from the table. Raises AwsError for all that is not there."""
        request, target, connection = self.request, self.target, self.connection
        account, region = self.verify()
        name, asked = target.endpoint, target.model_path
        if request.method != "GET" or not (asked + b"/").startswith(_MODELS + b"/"):
            raise UnknownOperationException("No operation has this method and path.")
        if (account, region, name) not in self.gateway.routes.table.endpoints:
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
