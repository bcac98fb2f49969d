"""Smithy's RPC v2 with CBOR: what the newer SDKs speak to CloudWatch.

    POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    smithy-protocol: rpc-v2-cbor · Content-Type: application/cbor · a map in, a map out

Moments are tag 1 with epoch seconds; blobs are byte strings; nothing is bent into another type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import cbor2

from inservice.aws.constraints import Violations, joined
from inservice.aws.service_model import Operation, Service, Shape, camel, once_per_shape
from inservice.aws.wire import Headers, Reply, fault_of, milliseconds, within_years
from inservice.errors import AwsError, SerializationException

Read = Callable[[Any, str, Violations], Any]
"""Turn a CBOR value that is not null, found at a path, into what operations are given."""

Write = Callable[[Any], Any]
"""Turn what operations answer into what cbor2 writes."""

_DEPTH_MAX = 64
"""How deep a body may be nested. The deepest shape of these models has 8 levels."""

_EPOCH_TAG = 1

_OTHER_TAGS = (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000)
"""What cbor2 would decode as well. Shared references (28, 29) let a kilobyte stand for gigabytes, a
regular expression (35) would be compiled, and none of them has a place in this protocol."""


def compile_parser(
    service: Service, operation: Operation
) -> Callable[[bytes, Violations], dict[str, Any]]:
    """A function from a request's body to its members.

    It raises SerializationException for what is no such document, and notes unknown members.
    """
    read = _reader(service, service.shapes[operation.input]) if operation.input else None

    def parse(body: bytes, violations: Violations) -> dict[str, Any]:
        document = _decode(body) if body else {}
        if type(document) is not dict:
            _refuse(document, "structure", "")
        if read is None:
            return {}
        members: dict[str, Any] = read(document, "", violations)
        return members

    return parse


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply.

    It raises LookupError for a member that the model does not have: that is a bug of ours.
    """
    write = _writer(service, service.shapes[operation.output]) if operation.output else None

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        body = b"" if write is None else cbor2.dumps(write(output))
        headers = _headers(request_id)
        if write is not None:
            headers.append((b"Content-Type", b"application/cbor"))
        return Reply(200, headers, body)

    return serialize


def serialize_error(service: Service | None, error: AwsError, request_id: str) -> Reply:
    """An error, also for a service that is not known."""
    fault = fault_of(service, error)
    headers = [*_headers(request_id), (b"Content-Type", b"application/cbor")]
    if service is not None and service.query_compatible:
        side = "Sender" if fault.sender else "Receiver"
        headers.append((b"x-amzn-query-error", f"{fault.query_code};{side}".encode()))
    document = {"__type": fault.name, "message": fault.message, **fault.members}
    return Reply(fault.status, headers, cbor2.dumps(document))


def _headers(request_id: str) -> Headers:
    return [(b"x-amzn-RequestId", request_id.encode()), (b"smithy-protocol", b"rpc-v2-cbor")]


def _refuse_tag(*_: Any) -> NoReturn:
    raise ValueError("a tag that is not a moment's")


_TAG_DECODERS = dict.fromkeys(_OTHER_TAGS, _refuse_tag)


def _decode(body: bytes) -> Any:
    try:
        return cbor2.loads(
            body,
            max_depth=_DEPTH_MAX,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=_TAG_DECODERS,
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise SerializationException(f"The request body is not CBOR: {error}") from None


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _reader(service: Service, shape: Shape) -> Read:
    @once_per_shape
    def reader_of(shape: Shape) -> Read:
        if shape.type == "structure":
            return _structure_reader(service, shape, reader_of)
        if shape.type == "list":
            assert shape.element is not None
            return _list_reader(reader_of(service.shape_of(shape.element)))
        if shape.type == "map":
            assert shape.element is not None
            return _map_reader(reader_of(service.shape_of(shape.element)))
        return _SCALAR_READERS[shape.type]

    return reader_of(shape)


def _structure_reader(service: Service, shape: Shape, reader_of: Callable[[Shape], Read]) -> Read:
    members = {
        name: (camel(name), reader_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        if type(value) is not dict:
            _refuse(value, "structure", path)
        found: dict[str, Any] = {}
        for name, item in value.items():
            if type(name) is not str:
                _refuse(name, "string", path)
            if name not in members:
                violations.add_unknown(path, name, shape)
            elif item is not None:
                label, read_member = members[name]
                found[name] = read_member(item, joined(path, label), violations)
        return found

    return read


def _list_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> list[Any]:
        if type(value) is not list:
            _refuse(value, "list", path)
        return [
            None if item is None else read_element(item, f"{path}.{n}.member", violations)
            for n, item in enumerate(value, 1)
        ]

    return read


def _map_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        if type(value) is not dict or not all(type(key) is str for key in value):
            _refuse(value, "map", path)
        return {
            key: None if item is None else read_element(item, f"{path}.{key}", violations)
            for key, item in value.items()
        }

    return read


def _exactly(kind: type, name: str) -> Read:
    def read(value: Any, path: str, _: Violations) -> Any:
        if type(value) is not kind:
            _refuse(value, name, path)
        return value

    return read


def _whole_number(bits: int) -> Read:
    def read(value: Any, path: str, _: Violations) -> int:
        if type(value) is not int or not -(1 << bits) <= value < 1 << bits:
            _refuse(value, "integer", path)
        return value

    return read


def _number(value: Any, path: str, _: Violations) -> float:
    if type(value) is int and abs(value) > 2**1023:
        _refuse(value, "double", path)
    if type(value) not in (int, float):
        _refuse(value, "double", path)
    return float(value)


def _timestamp(value: Any, path: str, _: Violations) -> float:
    if not isinstance(value, datetime) or value.tzinfo is None:
        _refuse(value, "timestamp", path)
    return within_years(value.timestamp(), path)


_SCALAR_READERS: dict[str, Read] = {
    "string": _exactly(str, "string"),
    "boolean": _exactly(bool, "boolean"),
    "blob": _exactly(bytes, "blob"),
    "integer": _whole_number(31),
    "long": _whole_number(63),
    "float": _number,
    "double": _number,
    "timestamp": _timestamp,
}


def _refuse(value: Any, wanted: str, path: str) -> NoReturn:
    at = f" at '{path}'" if path else ""
    raise SerializationException(
        f"{type(value).__name__.upper()}_VALUE can not be converted to {wanted}{at}"
    )


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def _writer(service: Service, shape: Shape) -> Write:
    @once_per_shape
    def writer_of(shape: Shape) -> Write:
        if shape.type == "structure":
            return _structure_writer(service, shape, writer_of)
        if shape.type in ("list", "map"):
            assert shape.element is not None
            write = writer_of(service.shape_of(shape.element))
            if shape.type == "list":
                return lambda value: [write(item) for item in value]
            return lambda value: {key: write(item) for key, item in value.items()}
        return _SCALAR_WRITERS.get(shape.type, _as_it_is)

    return writer_of(shape)


def _structure_writer(service: Service, shape: Shape, writer_of: Callable[[Shape], Write]) -> Write:
    members = {name: writer_of(service.shape_of(member)) for name, member in shape.members.items()}

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        unknown = value.keys() - members.keys()
        if unknown:
            raise LookupError(f"{shape.name} has no members {sorted(unknown)}")
        return {name: members[name](item) for name, item in value.items() if item is not None}

    return write


def _as_it_is(value: Any) -> Any:
    return value


_SCALAR_WRITERS: dict[str, Write] = {
    "string": str,  # an enum member is its value
    "float": float,
    "double": float,
    "timestamp": lambda moment: cbor2.CBORTag(_EPOCH_TAG, milliseconds(moment)),
}
