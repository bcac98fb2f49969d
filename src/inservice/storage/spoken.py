"""S3's wire, as the storage process uses it: compiled from AWS's model, operation by operation.

Most servers are asked for a dozen of S3's hundred operations, so each is compiled when it is first
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from inservice.aws import service_model, xml_errors
from inservice.aws.rest_xml import Parser, compile_serializer
from inservice.aws.s3_requests import Asked, Routes
from inservice.aws.wire import Headers, Reply
from inservice.errors import AwsError, NotImplementedYet
from inservice.objects.addressing import bucket_of_host
from inservice.storage import operations as operations  # registers them
from inservice.storage.calls import OPERATIONS, Answer
from inservice.transport.messages import Request
from inservice.transport.source import SOURCE
from inservice.transport.tokens import EXCHANGE

SERVICE: Final = "s3"

_OF_THIS_HOP: Final = (EXCHANGE, SOURCE)
"""Headers that the gateway adds, in the place of any that a client sent."""

Serializer = Callable[[Mapping[str, Any], str], Reply]


class Performed(NamedTuple):
    """One operation on the wire."""

    parser: Parser
    serializer: Serializer


class Wire:
    """Reads requests, and writes answers. Safe for threads."""

    def __init__(self) -> None:
        model = service_model.read(SERVICE)
        self._routes = Routes(model)
        self._service = service_model.service_of(SERVICE, model, OPERATIONS.keys())
        self._compiled = lru_cache(maxsize=None)(self._compile)

    def _compile(self, name: str) -> Performed:
        operation = self._service.operations[name]
        return Performed(
            Parser(self._service, operation), compile_serializer(self._service, operation)
        )

    def asked(
        self,
        request: Request,
        pairs: Sequence[tuple[bytes, bytes]],
        fields: Mapping[bytes, bytes],
    ) -> Asked:
        """What a request asks for, by the pairs of its query and its headers. Raises S3's errors,
        and NotImplementedYet."""
        asked = self._routes.asked(
            request.method,
            request.path,
            pairs,
            fields,
            bucket_of_host((request.header(b"host") or b"").decode("latin-1")),
        )
        if asked.operation not in OPERATIONS:
            raise NotImplementedYet(f"{asked.operation} of S3")
        return asked

    def parser(self, operation: str) -> Parser:
        """What reads the members of an operation."""
        return self._compiled(operation).parser

    def reply(self, operation: str, answer: Answer, request_id: str) -> Reply:
        """The answer, but for a body that streams."""
        made = self._compiled(operation).serializer(answer.members, request_id)
        headers = [
            *made.headers,
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
        ]
        body = answer.body if isinstance(answer.body, bytes) else made.body
        return Reply(answer.status or made.status, headers, body)


def failure(request: Request, error: AwsError, request_id: str) -> Reply:
    """The answer that tells an error."""
    resource = request.path.decode("latin-1")
    return xml_errors.s3(resource, error, request_id, bodiless=request.method == "HEAD")


def clients_headers(request: Request) -> Headers:
    """The headers that came from the client."""
    return [each for each in request.headers if each[0] not in _OF_THIS_HOP]
