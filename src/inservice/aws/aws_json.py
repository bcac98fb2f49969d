"""AWS JSON 1.0 and 1.1: an operation in X-Amz-Target, a document in, a document out.

    POST / · X-Amz-Target: SageMaker.DescribeEndpoint · Content-Type: application/x-amz-json-1.1
    {"EndpointName": "demo"}

Moments are epoch seconds as numbers, blobs are base64. Types are not bent: a number is no string,
and a name that occurs twice in one object is refused, since two readers could choose differently.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from inservice.aws.constraints import Violations, joined
from inservice.aws.service_model import Operation, Service, Shape, camel, once_per_shape
from inservice.aws.wire import Headers, Reply, fault_of, milliseconds, within_years
from inservice.errors import AwsError, SerializationException

Read = Callable[[Any, str, Violations], Any]
"""Turn a JSON value that is not null, found at a path, into what operations are given."""

Write = Callable[[Any], Any]
"""Turn what operations answer into JSON values."""

_INTEGER_BITS = {"integer": 31, "long": 63}


def compile_parser(
    service: Service, operation: Operation
) -> Callable[[bytes, Violations], dict[str, Any]]:
    """A function from a request's body to its members.

    It raises SerializationException for what is no such document, and notes unknown members.
    """
    if operation.input is None:
        read: Read = _empty
    else:
        read = compile_reader(service, service.shapes[operation.input])

    def parse(body: bytes, violations: Violations) -> dict[str, Any]:
        try:
            members: dict[str, Any] = read(decode(body), "", violations)
        except RecursionError:
            raise SerializationException("The request body is nested too deeply.") from None
        return members

    return parse


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply.

    It raises LookupError for a member that the model does not have: that is a bug of ours.
    """
    content_type = f"application/x-amz-json-{service.json_version}".encode()
    write = compile_writer(service, service.shapes[operation.output]) if operation.output else None

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        headers = [(b"x-amzn-RequestId", request_id.encode()), (b"Content-Type", content_type)]
        return Reply(200, headers, b"" if write is None else msgspec.json.encode(write(output)))

    return serialize


def serialize_error(service: Service | None, error: AwsError, request_id: str) -> Reply:
    """An error, also for a service that is not known."""
    fault = fault_of(service, error)
    version = service.json_version if service else "1.1"
    headers: Headers = [
        (b"x-amzn-RequestId", request_id.encode()),
        (b"x-amzn-ErrorType", fault.name.encode()),
        (b"Content-Type", f"application/x-amz-json-{version}".encode()),
    ]
    if service is not None and service.query_compatible:
        side = "Sender" if fault.sender else "Receiver"
        headers.append((b"x-amzn-query-error", f"{fault.query_code};{side}".encode()))
    document = {"__type": fault.name, "message": fault.message, **fault.members}
    return Reply(fault.status, headers, msgspec.json.encode(document))


def decode(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no name twice in an object, no lone surrogates.

    An empty body is an empty document. Raises SerializationException, and RecursionError for a
    document that is nested too deeply.
    """
    if not body:
        return {}
    try:
        document = _decoder.decode(body.decode())
        if b"\\u" in body:
            json.dumps(document, ensure_ascii=False).encode()
    except ValueError as error:
        raise SerializationException(f"The request body is not JSON: {error}") from None
    return document


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_decoder = json.JSONDecoder(object_pairs_hook=_without_repetition, parse_constant=_no_constant)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def compile_reader(service: Service, shape: Shape) -> Read:
    """A function that reads values of this shape."""

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
        member.location_name or name: (name, camel(name), reader_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        if type(value) is not dict:
            _refuse(value, "Structure", path)
        found: dict[str, Any] = {}
        for key, item in value.items():
            if key not in members:
                violations.add_unknown(path, key, shape)
            elif item is not None:
                name, label, read_member = members[key]
                found[name] = read_member(item, joined(path, label), violations)
        return found

    return read


def _list_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> list[Any]:
        if type(value) is not list:
            _refuse(value, "List", path)
        return [
            None if item is None else read_element(item, f"{path}.{n}.member", violations)
            for n, item in enumerate(value, 1)
        ]

    return read


def _map_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        if type(value) is not dict:
            _refuse(value, "Map", path)
        return {
            key: None if item is None else read_element(item, f"{path}.{key}", violations)
            for key, item in value.items()
        }

    return read


def _empty(value: Any, path: str, _: Violations) -> dict[str, Any]:
    if type(value) is not dict:
        _refuse(value, "Structure", path)
    return {}


def _string(value: Any, path: str, _: Violations) -> str:
    if type(value) is not str:
        _refuse(value, "String", path)
    return value


def _boolean(value: Any, path: str, _: Violations) -> bool:
    if type(value) is not bool:
        _refuse(value, "Boolean", path)
    return value


def _whole_number(kind: str) -> Read:
    bound = 1 << _INTEGER_BITS[kind]

    def read(value: Any, path: str, _: Violations) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)  # 1.0 is the number 1 to JSON
        if type(value) is not int or not -bound <= value < bound:
            _refuse(value, kind.capitalize(), path)
        return value

    return read


def _number(value: Any, path: str, _: Violations) -> float:
    if type(value) is str and value in _WORDS:
        return _WORDS[value]
    if type(value) not in (int, float):
        _refuse(value, "Double", path)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # 1e999 is one to Python
        _refuse(value, "Double", path)
    return number


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How the protocol writes what JSON has no numbers for. What it means is an operation's to say."""


def _timestamp(value: Any, path: str, _: Violations) -> float:
    if type(value) not in (int, float):
        _refuse(value, "milliseconds since epoch", path)
    return within_years(value, path)


def _blob(value: Any, path: str, _: Violations) -> bytes:
    if type(value) is not str:
        _refuse(value, "Blob", path)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationException(f"Value at '{path}' is not base64.") from None


_SCALAR_READERS: dict[str, Read] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _whole_number("integer"),
    "long": _whole_number("long"),
    "float": _number,
    "double": _number,
    "timestamp": _timestamp,
    "blob": _blob,
}


def _refuse(value: Any, wanted: str, path: str) -> NoReturn:
    """AWS's words for a value of the wrong type, and the place, which AWS leaves to be guessed."""
    at = f" at '{path}'" if path else ""
    match value:
        case dict():
            words = "Start of structure or map found where not expected"
        case list():
            words = "Start of list found where not expected"
        case bool():
            words = f"{str(value).upper()}_VALUE can not be converted to {_a(wanted)}"
        case str():
            words = f"STRING_VALUE can not be converted to {_a(wanted)}"
        case None:
            words = f"NULL_VALUE can not be converted to {_a(wanted)}"
        case _:
            words = f"NUMBER_VALUE can not be converted to {_a(wanted)}"
    raise SerializationException(words + at)


def _a(noun: str) -> str:
    if noun[0].islower():
        return noun
    return f"an {noun}" if noun[0] in "AEIOU" else f"a {noun}"


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def compile_writer(service: Service, shape: Shape) -> Write:
    """A function that writes values of this shape. Members that are None are left out."""

    @once_per_shape
    def writer_of(shape: Shape) -> Write:
        if shape.type == "structure":
            return _structure_writer(service, shape, writer_of)
        if shape.type in ("list", "map"):
            assert shape.element is not None
            write = writer_of(service.shape_of(shape.element))
            if write is _as_it_is:
                return _as_it_is
            if shape.type == "list":
                return lambda value: [write(item) for item in value]
            return lambda value: {key: write(item) for key, item in value.items()}
        return _SCALAR_WRITERS.get(shape.type, _as_it_is)

    return writer_of(shape)


def _structure_writer(service: Service, shape: Shape, writer_of: Callable[[Shape], Write]) -> Write:
    members = {
        name: (member.location_name or name, writer_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for name, item in value.items():
            if item is not None:
                if name not in members:
                    raise LookupError(f"{shape.name} has no member {name!r}")
                key, write_member = members[name]
                written[key] = write_member(item)
        return written

    return write


def _as_it_is(value: Any) -> Any:
    return value


def _write_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _write_blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SCALAR_WRITERS: dict[str, Write] = {
    "timestamp": milliseconds,
    "float": _write_number,
    "double": _write_number,
    "blob": _write_blob,
}
