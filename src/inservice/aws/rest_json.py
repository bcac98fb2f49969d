"""REST with JSON: members in the path, in headers and in the body. SageMaker Runtime speaks it.

    POST /endpoints/demo/invocations · X-Amzn-SageMaker-Target-Variant: AllTraffic · the payload

The gateway writes and reads these requests by hand, on its hot path; this page says from the model
where each member belongs, and is what the gateway's own tables are held against.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from inservice.aws import aws_json
from inservice.aws.constraints import Violations
from inservice.aws.service_model import Operation, Service, Shape
from inservice.aws.wire import Headers, Reply, fault_of
from inservice.errors import AwsError, SerializationException

_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Bindings:
    """Where the members of one direction of an operation belong."""

    headers: Mapping[bytes, str]  # lower-case header name → member
    path: Mapping[str, str]  # label of the path → member
    payload: str | None  # the member that is the body, raw; None: the rest is a JSON document
    document: frozenset[str]  # members of that document


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What `compile_parser` reads. Names of headers are in lower case."""

    path: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


def bindings(service: Service, shape_name: str | None) -> Bindings:
    """The bindings of an input or output shape."""
    members = service.shapes[shape_name].members if shape_name else {}
    payload = service.shapes[shape_name].payload if shape_name else None
    at = {name: member.location for name, member in members.items()}
    names = {name: member.location_name or name for name, member in members.items()}
    return Bindings(
        headers={names[m].lower().encode(): m for m, where in at.items() if where == "header"},
        path={names[m]: m for m, where in at.items() if where == "uri"},
        payload=payload,
        document=frozenset(m for m, where in at.items() if where is None and m != payload),
    )


def compile_parser(
    service: Service, operation: Operation
) -> Callable[[HttpRequest, Violations], dict[str, Any]]:
    """A function from a request to an operation's members. Raises SerializationException."""
    bound = bindings(service, operation.input)
    shape = service.shapes[operation.input] if operation.input else None
    path = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.request_uri))
    read = aws_json.compile_reader(service, shape) if shape else None

    def parse(request: HttpRequest, violations: Violations) -> dict[str, Any]:
        match = path.fullmatch(request.path.decode("latin-1"))
        if match is None:
            raise SerializationException(f"The path is not one of {operation.name}.")
        found: dict[str, Any] = {}
        for label, member in bound.path.items():
            found[member] = unquote(match[label], errors="strict")
        for name, value in request.headers.items():
            if name in bound.headers:
                member = bound.headers[name]
                found[member] = _from_header(service, shape, member, value.decode("latin-1"))
        if bound.payload is not None:
            found[bound.payload] = request.body
        elif read is not None and request.body:
            found.update(read(aws_json.decode(request.body), "", violations))
        return found

    return parse


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply."""
    bound = bindings(service, operation.output)
    names = {member: name for name, member in bound.headers.items()}
    shape = service.shapes[operation.output] if operation.output else None
    write = aws_json.compile_writer(service, shape) if shape else None

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        headers: Headers = [(b"x-amzn-RequestId", request_id.encode())]
        for member, name in names.items():
            if output.get(member) is not None:
                headers.append((name, str(output[member]).encode("latin-1")))
        if bound.payload is not None:
            return Reply(operation.status, headers, output.get(bound.payload) or b"")
        members = {key: value for key, value in output.items() if key in bound.document}
        body = msgspec.json.encode(write(members)) if write else b""
        return Reply(operation.status, [*headers, (b"Content-Type", _JSON)], body)

    return serialize


def serialize_error(service: Service | None, error: AwsError, request_id: str) -> Reply:
    """An error: the code in a header, the rest in the body."""
    fault = fault_of(service, error)
    headers = [
        (b"x-amzn-RequestId", request_id.encode()),
        (b"x-amzn-ErrorType", fault.name.encode()),
        (b"Content-Type", _JSON),
    ]
    document = {"Message": fault.message, **fault.members}
    return Reply(fault.status, headers, msgspec.json.encode(document))


def _from_header(service: Service, shape: Shape | None, member: str, text: str) -> Any:
    assert shape is not None
    kind = service.shape_of(shape.members[member]).type
    if kind in ("integer", "long"):
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise SerializationException(f"'{text}' can not be converted to a number.")
        return int(text)
    return text
