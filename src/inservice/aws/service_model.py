"""AWS's service models, as botocore ships them, cut down to what a server needs.

botocore's model of SageMaker alone is 2.6 MB of JSON, most of it documentation, for 425 operations.
`load` reads the file once, keeps the names of all operations but the shapes of only those that are
asked for, and drops the rest, so that an idle server pays for what it serves. What is dropped is
never parsed: control reads seven models before it answers. The file is read directly: botocore's
own loader would bring its HTTP client along, 15 MB in each process.

A Shape is immutable and refers to others by name, so recursive shapes need no care here; whoever
compiles shapes into functions takes it (`once_per_shape`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec

_GZIP = zlib.MAX_WBITS | 16
"""A header and a checksum around what zlib compressed."""


class UnknownService(LookupError):
    """botocore has no model of this name."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure, or what a list or map is made of."""

    name: str  # as the model spells it; empty for elements, keys and values
    shape_name: str
    location: str | None = None  # REST: uri, header, querystring, headers, statusCode
    location_name: str | None = None  # its name there, or in XML
    flattened: bool = False  # in XML: the elements of the list stand where it would
    attribute: bool = False  # in XML: of the element around it


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of a model, with the constraints that bind its values."""

    name: str
    type: str  # structure, list, map, or a scalar: string, integer, timestamp, blob …
    members: Mapping[str, Member]
    required: frozenset[str]
    element: Member | None  # of a list, or the value of a map
    key: Member | None  # of a map
    enum: tuple[str, ...]
    pattern: str | None  # in Java's dialect
    least: float | None  # length, size or value
    most: float | None
    sensitive: bool
    union: bool
    payload: str | None  # the member that is the whole body
    code: str | None  # of an error, where it differs from the name
    status: int | None  # HTTP status of an error, where the model gives one
    sender_fault: bool
    flattened: bool  # as of a member, wherever the shape is used
    timestamp_format: str | None  # iso8601 or rfc822, where it is not what the protocol uses
    namespace: tuple[str, str] | None  # in XML: a prefix, and what it stands for


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    input: str | None  # shape name
    output: str | None
    result_wrapper: str | None  # query protocol: the element around the output
    errors: tuple[str, ...]
    method: str
    request_uri: str
    status: int
    deprecated: bool  # another operation is asked for in the same way


class Model(msgspec.Struct, frozen=True):
    """A file in botocore's format, of which only the names are read yet."""

    metadata: dict[str, Any]
    operations: dict[str, msgspec.Raw]
    shapes: dict[str, msgspec.Raw]

    def operation(self, name: str) -> dict[str, Any]:
        """An operation, as the file has it."""
        return _document(self.operations[name])

    def shape(self, name: str) -> dict[str, Any]:
        """A shape, as the file has it."""
        return _document(self.shapes[name])


class Service:
    """A service: what it is called, what it can do, the shapes of the operations that were kept."""

    def __init__(
        self,
        name: str,
        metadata: Mapping[str, Any],
        operation_names: frozenset[str],
        operations: Mapping[str, Operation],
        shapes: Mapping[str, Shape],
    ) -> None:
        self.name = name
        """botocore's name: "sagemaker"."""
        self.operation_names = operation_names
        """All that AWS has, also those that were not kept."""
        self.operations = operations
        self.shapes = shapes
        self.signing_name: str = metadata.get("signingName", metadata["endpointPrefix"])
        """What stands in the scope of a signature."""
        self.protocols: tuple[str, ...] = tuple(metadata["protocols"])
        self.target_prefix: str | None = metadata.get("targetPrefix")
        """The JSON protocols' X-Amz-Target before the dot; the service in CBOR's path."""
        self.json_version: str = metadata.get("jsonVersion", "1.0")
        self.api_version: str = metadata["apiVersion"]
        self.xml_namespace: str = metadata.get("xmlNamespace", "")
        self.query_compatible = "awsQueryCompatible" in metadata
        """Errors also carry the code they had when the service spoke query."""

    def shape_of(self, member: Member) -> Shape:
        """The shape of a member."""
        return self.shapes[member.shape_name]

    @cached_property
    def errors(self) -> Mapping[str, Shape]:
        """Modelled errors of the kept operations, by shape name, else by code: names are unique,
        while three errors of CloudWatch have the code ResourceNotFound."""
        named = {name: self.shapes[name] for op in self.operations.values() for name in op.errors}
        return {shape.code: shape for shape in named.values() if shape.code} | named


def load(name: str, keep: Collection[str] | None = None) -> Service:
    """Read botocore's newest model of a service, with the operations in `keep` (None: all).

    Raises UnknownService. Names in `keep` that the model lacks are not there in the result.
    """
    return service_of(name, read(name), keep)


def read(name: str) -> Model:
    """botocore's newest model of a service. Raises UnknownService."""
    return decode(zlib.decompress(_newest_model(name).read_bytes(), wbits=_GZIP))


def decode(document: bytes) -> Model:
    """The model that a document in botocore's format is. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(document, type=Model)


def service_of(name: str, model: Model, keep: Collection[str] | None = None) -> Service:
    """The service that a model in botocore's format describes, with the operations in `keep`."""
    operations = {
        key: _operation(key, model.operation(key))
        for key in model.operations
        if keep is None or key in keep
    }
    shapes: dict[str, Shape] = {}
    wanted = [n for op in operations.values() for n in (op.input, op.output, *op.errors) if n]
    while wanted:
        shape_name = wanted.pop()
        if shape_name not in shapes:
            shapes[shape_name] = shape = _shape(shape_name, model.shape(shape_name))
            wanted += (member.shape_name for member in _parts(shape))
    names = frozenset(model.operations)
    return Service(name, model.metadata, names, operations, shapes)


F = TypeVar("F", bound=Callable[..., Any])


def once_per_shape(build: Callable[[Shape], F]) -> Callable[[Shape], F]:
    """Wrap a compiler of shapes, so that each shape is compiled once and may contain itself.

    While a shape is being compiled, a reference back to it is a function that looks the finished
    one up when it is called.
    """
    compiled: dict[str, F] = {}

    def of(shape: Shape) -> F:
        if shape.name not in compiled:

            def later(*args: Any) -> Any:
                return compiled[shape.name](*args)

            compiled[shape.name] = later  # type: ignore[assignment]
            compiled[shape.name] = build(shape)
        return compiled[shape.name]

    return of


def camel(name: str) -> str:
    """A member's name in a violation's path: EndpointName is endpointName there."""
    return name[:1].lower() + name[1:]


def _newest_model(name: str) -> Path:
    spec = find_spec("botocore")
    assert spec is not None
    assert spec.origin is not None
    versions = sorted((Path(spec.origin).parent / "data" / name).glob("*/service-2.json.gz"))
    if not versions:
        raise UnknownService(name)
    return versions[-1]


def _document(raw: msgspec.Raw) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(raw)
    return document


def _parts(shape: Shape) -> Iterator[Member]:
    yield from shape.members.values()
    yield from (part for part in (shape.key, shape.element) if part is not None)


def _operation(name: str, document: Mapping[str, Any]) -> Operation:
    http = document.get("http", {})
    return Operation(
        name=name,
        input=document.get("input", {}).get("shape"),
        output=document.get("output", {}).get("shape"),
        result_wrapper=document.get("output", {}).get("resultWrapper"),
        errors=tuple(error["shape"] for error in document.get("errors", ())),
        method=http.get("method", "POST"),
        request_uri=http.get("requestUri", "/"),
        status=http.get("responseCode", 200),
        deprecated=document.get("deprecated", False),
    )


def _member(document: Mapping[str, Any], name: str = "") -> Member:
    return Member(
        name=name,
        shape_name=document["shape"],
        location=document.get("location"),
        location_name=document.get("locationName"),
        flattened=document.get("flattened", False),
        attribute=document.get("xmlAttribute", False),
    )


def _shape(name: str, document: Mapping[str, Any]) -> Shape:
    element = document.get("member") or document.get("value")
    error = document.get("error", {})
    space = document.get("xmlNamespace")
    return Shape(
        name=name,
        type=document["type"],
        members={key: _member(value, key) for key, value in document.get("members", {}).items()},
        required=frozenset(document.get("required", ())),
        element=_member(element) if element else None,
        key=_member(document["key"]) if "key" in document else None,
        enum=tuple(document.get("enum", ())),
        pattern=document.get("pattern"),
        least=document.get("min"),
        most=document.get("max"),
        sensitive=document.get("sensitive", False),
        union=document.get("union", False),
        payload=document.get("payload"),
        code=error.get("code"),
        status=error.get("httpStatusCode"),
        sender_fault=error.get("senderFault", not document.get("fault", False)),
        flattened=document.get("flattened", False),
        timestamp_format=document.get("timestampFormat"),
        namespace=(space["prefix"], space["uri"]) if space and "prefix" in space else None,
    )
