"""EC2's protocol: the query protocol's form in, with names of its own, and XML out that is nobody
else's.

    Action=DescribeInstanceTypes&Version=2016-11-15&InstanceType.1=m5.large&Filter.1.Value.1=true

Elements of a list are numbered right after its name; there are no maps. In a form the names of
members begin with a capital; in an answer mostly not, and each element of a list is an `item`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inservice.aws.aws_query import (
    SCALAR_WRITERS,
    Read,
    Write,
    branches,
    counted,
    form_parser,
    scalar_reader,
    xml_text,
)
from inservice.aws.constraints import Violations, joined
from inservice.aws.service_model import Member, Operation, Service, Shape, camel, once_per_shape
from inservice.aws.wire import Reply, fault_of
from inservice.aws.xml_errors import DECLARATION
from inservice.errors import AwsError


def compile_parser(
    service: Service, operation: Operation
) -> Callable[[bytes, Violations], dict[str, Any]]:
    """A function from a form to an operation's members. See `aws_query`."""
    return form_parser(
        _reader(service, service.shapes[operation.input]) if operation.input else None
    )


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply.

    It raises LookupError for a member that the model does not have: that is a bug of ours.
    """
    write = _writer(service, service.shapes[operation.output]) if operation.output else None
    start = f'<{operation.name}Response xmlns="{service.xml_namespace}/">'
    end = f"</{operation.name}Response>"

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        result = "" if write is None else write(output)
        text = f"{start}<requestId>{request_id}</requestId>{result}{end}"
        return _reply(200, request_id, text)

    return serialize


def serialize_error(service: Service | None, error: AwsError, request_id: str) -> Reply:
    """An error, in EC2's words for who asks and in the form that is nobody else's."""
    fault = fault_of(service, error)
    code, status = _WORDS.get(fault.query_code, (fault.query_code, fault.query_status))
    text = (
        f"<Response><Errors><Error><Code>{code}</Code>"
        f"<Message>{xml_text(fault.message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
    return _reply(status, request_id, text)


_WORDS: Mapping[str, tuple[str, int]] = {
    "AccessDenied": ("UnauthorizedOperation", 403),
    "InvalidClientTokenId": ("AuthFailure", 401),
    "SignatureDoesNotMatch": ("AuthFailure", 401),
    "ExpiredToken": ("RequestExpired", 400),
    "Throttling": ("RequestLimitExceeded", 503),
}
"""By the code of the other query services, EC2's own and its status."""


def _reply(status: int, request_id: str, text: str) -> Reply:
    headers = [
        (b"x-amzn-RequestId", request_id.encode()),
        (b"Content-Type", b"text/xml;charset=UTF-8"),
    ]
    return Reply(status, headers, (DECLARATION + text).encode())


def _asked_as(name: str, member: Member) -> str:
    """What a member is called in a form."""
    label = member.location_name or name
    return label[:1].upper() + label[1:]


def _reader(service: Service, shape: Shape) -> Read:
    @once_per_shape
    def reader_of(shape: Shape) -> Read:
        if shape.type == "structure":
            return _structure_reader(service, shape, reader_of)
        if shape.type == "list":
            assert shape.element is not None
            return _list_reader(reader_of(service.shape_of(shape.element)))
        return scalar_reader(shape.type)

    return reader_of(shape)


def _structure_reader(service: Service, shape: Shape, reader_of: Callable[[Shape], Read]) -> Read:
    members = {
        _asked_as(name, member): (name, reader_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for label, item in branches(value, path).items():
            if label not in members:
                violations.add_unknown(path, label, shape)
            else:
                name, read_member = members[label]
                found[name] = read_member(item, joined(path, camel(name)), violations)
        return found

    return read


def _list_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> list[Any]:
        return [
            None if item is None else read_element(item, f"{path}.{n}", violations)
            for n, item in enumerate(counted(value, "1", path), 1)
        ]

    return read


def _writer(service: Service, shape: Shape) -> Write:
    @once_per_shape
    def writer_of(shape: Shape) -> Write:
        if shape.type == "structure":
            return _structure_writer(service, shape, writer_of)
        if shape.type == "list":
            assert shape.element is not None
            element = writer_of(service.shape_of(shape.element))
            return lambda value: "".join(f"<item>{element(item)}</item>" for item in value)
        return SCALAR_WRITERS[shape.type]

    return writer_of(shape)


def _structure_writer(service: Service, shape: Shape, writer_of: Callable[[Shape], Write]) -> Write:
    members = {
        name: (member.location_name or name, writer_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def write(value: Mapping[str, Any]) -> str:
        if unknown := value.keys() - members.keys():
            raise LookupError(f"{shape.name} has no members {sorted(unknown)}")
        said = ((*members[name], item) for name, item in value.items() if item is not None)
        return "".join(f"<{label}>{write_it(item)}</{label}>" for label, write_it, item in said)

    return write
