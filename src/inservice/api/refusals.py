"""A refusal, in the protocol of the request and the words of its service."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from inservice.api.compiled import WIRES
from inservice.api.elsewhere import Elsewhere, elsewhere
from inservice.api.identify import Directory, protocol_of
from inservice.aws.wire import Reply
from inservice.errors import AwsError
from inservice.transport.messages import Request, Response


def service_elsewhere(directory: Directory, request: Request) -> Elsewhere | None:
    """The service that is asked for, when it is one that is not here."""
    if directory.service_of(request) is not None:
        return None
    return elsewhere(request, directory.names)


def refusal(directory: Directory, request: Request, error: AwsError, request_id: str) -> Response:
    """The answer about an error, in the form of the request's service if that is known."""
    if (away := service_elsewhere(directory, request)) is not None:
        return response_of(away.serialize_error(error, request_id))
    service = directory.service_of(request)
    return response_of(WIRES[protocol_of(request)].serialize_error(service, error, request_id))


def response_of(reply: Reply) -> Response:
    """What a wire wrote, as what the transport sends."""
    return Response(reply.status, reply.headers, reply.body)


def refuse_all(directory: Directory, error: AwsError) -> Callable[[Request], Response]:
    """Answers every request with one error, whoever asks and for what: nothing is looked at."""
    return lambda request: refusal(directory, request, error, str(uuid.uuid4()))
