"""The runtime plane: claims /endpoints/…, and puts together what answers a request."""

from __future__ import annotations

from typing import Final

from inservice.errors import NotImplementedYet, UnknownOperationException
from inservice.gateway.front import Exchange, GatewayConnection, Plane
from inservice.gateway.runtime.dialects.invoke_endpoint import InvokeEndpoint
from inservice.gateway.runtime.dialects.openai import OpenAi, Question
from inservice.gateway.runtime.dialects.response_stream import ResponseStream
from inservice.gateway.runtime.invoke import Asked, Dialect, Invocation
from inservice.gateway.runtime.requests import Api, read_target
from inservice.gateway.runtime.shared import Gateway
from inservice.transport.messages import Request


class Unanswered(Asked):
    """A path below /endpoints/ that leads nowhere: said to those alone who may know."""

    def begin(self) -> None:
        """Verify, then say so. Raises AwsError always."""
        self.verify()
        if self.target.api is Api.ASYNC:
            raise NotImplementedYet(f"sagemaker-runtime:{self.target.api.value}")
        raise UnknownOperationException("No operation has this method and path.")


_INVOKE_ENDPOINT: Final = InvokeEndpoint()
_OPENAI: Final = OpenAi()

_POSTED: Final[dict[Api, tuple[type[Asked], Dialect]]] = {
    Api.INVOKE: (Invocation, _INVOKE_ENDPOINT),
    Api.STREAM: (Invocation, ResponseStream()),
    Api.OPENAI: (Invocation, _OPENAI),
    Api.ASYNC: (Unanswered, _INVOKE_ENDPOINT),
    Api.UNKNOWN: (Unanswered, _INVOKE_ENDPOINT),
}
"""Who answers what is POSTed, and how it speaks. A dialect is a file and a line here."""


class RuntimePlane(Plane):
    """Invocations. Their bodies are kept until they are whole: `invoke` tells why."""

    def __init__(self, gateway: Gateway, body_bytes_max: int) -> None:
        self.gateway = gateway
        self.body_bytes_max = body_bytes_max

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        """By its path alone: a path below /endpoints/ that leads nowhere is nobody else's."""
        if not request.target.startswith(b"/endpoints/"):
            return None
        target = read_target(request.target)
        if request.method == "POST":
            kind, dialect = _POSTED[target.api]
        elif target.api is Api.OPENAI:
            kind, dialect = Question, _OPENAI
        else:
            kind, dialect = Unanswered, _INVOKE_ENDPOINT
        return kind(connection, request, target, dialect, self.gateway)
