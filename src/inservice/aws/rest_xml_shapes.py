"""Shapes of a REST-XML model as elements of XML, both ways.

Structures are elements by the names of their members, lists are elements around `<member>` or what
the model calls it; most of S3's lists are flattened, their elements stand where the list would.

What is read is held to the model: an element that it does not have, one that is there twice, a
value that is none of its type, is none of its values or is missing makes all of the document
MalformedXML, as on S3, which validates against its schema. Only a key that is too long has an
error of its own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from inservice.aws.aws_query import xml_text
from inservice.aws.s3_requests import KEY_BYTES_MAX
from inservice.aws.service_model import Member, Service, Shape, once_per_shape
from inservice.aws.wire import from_iso
from inservice.aws.xml_documents import Element
from inservice.s3_errors import KeyTooLongError, MalformedXML

Read = Callable[[Element], Any]
"""Turn an element into what operations are given."""

Write = Callable[[Any], str]
"""Turn what operations answer into XML, without the element around it. What `encoding-type=url` is
about has been encoded by the operation."""

OPEN_ENUMS = ("BucketLocationConstraint", "BucketCannedACL")
"""Of which AWS takes more values than its model has, and the operation knows which: regions, and
the ACLs that a bucket can be made with."""

_RANGES: Mapping[str, tuple[int, int]] = {
    "partNumber": (1, 10_000),
    "max-keys": (0, 2**31 - 1),
    "max-parts": (0, 2**31 - 1),
    "max-uploads": (0, 2**31 - 1),
    "part-number-marker": (0, 2**31 - 1),
    "x-amz-max-parts": (0, 2**31 - 1),
    "x-amz-part-number-marker": (0, 2**31 - 1),
}
"""Of parameters of which the model does not say it."""


def bounds(kind: Shape, at: str) -> tuple[float, float]:
    """Between what a number has to be, in a parameter or header of this name."""
    least, most = _RANGES.get(at, (-(2**63), 2**63 - 1))
    return (
        least if kind.least is None else kind.least,
        most if kind.most is None else kind.most,
    )


def iso_milliseconds(moment: float) -> str:
    """As S3 tells a moment in documents: 2026-11-28T14:05:00.000Z."""
    milliseconds = round(moment * 1000)
    return f"{_iso_seconds(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=256)
def _iso_seconds(seconds: int) -> str:
    """What was put together is listed together: many objects of a page are of one second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def compile_reader(service: Service, shape: Shape, root: str) -> Read:
    """A function from the outermost element, which must have this name, to a structure. It raises
    MalformedXML and KeyTooLongError."""

    @once_per_shape
    def reader_of(shape: Shape) -> Read:
        if shape.type == "structure":
            return _structure_reader(service, shape, reader_of)
        if shape.type == "list":
            assert shape.element is not None
            return _list_reader(shape, reader_of(service.shape_of(shape.element)))
        return _scalar_reader(shape)

    read = reader_of(shape)

    def read_root(element: Element) -> Any:
        if element.name != root:
            raise MalformedXML
        return read(element)

    return read_root


def _structure_reader(service: Service, shape: Shape, reader_of: Callable[[Shape], Read]) -> Read:
    members: dict[str, tuple[str, bool, Read]] = {}
    attributes: dict[str, tuple[str, Read]] = {}
    for name, member in shape.members.items():
        kind = service.shape_of(member)
        at = member.location_name or name
        if member.attribute:
            attributes[at.rpartition(":")[2]] = (name, reader_of(kind))
        elif kind.type == "list" and (member.flattened or kind.flattened):
            assert kind.element is not None
            element = reader_of(service.shape_of(kind.element))
            members[member.location_name or kind.element.location_name or name] = (
                name,
                True,
                element,
            )
        else:
            members[at] = (name, False, reader_of(kind))

    def read(element: Element) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if element.text.strip():
            raise MalformedXML
        for at, (name, read_value) in attributes.items():
            if at in element.attributes:
                value = Element(at, {})
                value.text = element.attributes[at]
                found[name] = read_value(value)
        for child in element.children:
            if child.name not in members:
                raise MalformedXML
            name, several, read_child = members[child.name]
            if several:
                found.setdefault(name, []).append(read_child(child))
            elif name in found:
                raise MalformedXML
            else:
                found[name] = read_child(child)
        if not shape.required <= found.keys() or (shape.union and len(found) != 1):
            raise MalformedXML
        return found

    return read


def _list_reader(shape: Shape, read_element: Read) -> Read:
    assert shape.element is not None
    at = shape.element.location_name or "member"

    def read(element: Element) -> list[Any]:
        if element.text.strip() or any(child.name != at for child in element.children):
            raise MalformedXML
        return [read_element(child) for child in element.children]

    return read


def _scalar_reader(shape: Shape) -> Read:
    convert = _CONVERSIONS[shape.type]
    values = frozenset(shape.enum) if shape.enum and shape.name not in OPEN_ENUMS else None
    least = shape.least if shape.type in ("integer", "long", "string") else None
    most = shape.most if shape.type in ("integer", "long", "string") else None
    is_text = shape.type == "string"

    def read(element: Element) -> Any:
        if element.children:
            raise MalformedXML
        try:
            value = convert(element.text)
            if shape.timestamp_format == "rfc822":
                value = parsedate_to_datetime(element.text).timestamp()
        except (ValueError, OverflowError):
            raise MalformedXML from None
        if shape.name == "ObjectKey" and len(value.encode()) > KEY_BYTES_MAX:
            size = len(value.encode())
            raise KeyTooLongError(Size=size, MaxSizeAllowed=KEY_BYTES_MAX)
        size = len(value) if is_text else value
        if (least is not None and size < least) or (most is not None and size > most):
            raise MalformedXML
        if values is not None and value not in values:
            raise MalformedXML
        return value

    return read


def _boolean(value: str) -> bool:
    word = value.strip().lower()
    if word not in ("true", "false", "1", "0"):
        raise ValueError(value)
    return word in ("true", "1")


def _whole_number(bits: int) -> Callable[[str], int]:
    def convert(value: str) -> int:
        word = value.strip()
        if not word.isascii() or not word.removeprefix("-").isdigit() or len(word) > 20:
            raise ValueError(value)
        number = int(word)
        if not -(1 << bits) <= number < 1 << bits:
            raise ValueError(value)
        return number

    return convert


def _moment(value: str) -> float:
    word = value.strip()
    return parsedate_to_datetime(word).timestamp() if "," in word else from_iso(word)


_CONVERSIONS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "boolean": _boolean,
    "integer": _whole_number(31),
    "long": _whole_number(63),
    "timestamp": _moment,
    "blob": lambda value: base64.b64decode(value, validate=True),
}


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def compile_writer(service: Service, shape: Shape) -> Callable[[Mapping[str, Any]], str]:
    """A function from a structure to what stands in its element."""

    @once_per_shape
    def writer_of(shape: Shape) -> Write:
        if shape.type == "structure":
            return _structure_writer(service, shape, writer_of)
        if shape.type == "list":
            assert shape.element is not None
            write = writer_of(service.shape_of(shape.element))
            at = shape.element.location_name or "member"
            return lambda value: "".join(f"<{at}>{write(item)}</{at}>" for item in value)
        return _SCALARS[shape.type]

    return writer_of(shape)


def _structure_writer(service: Service, shape: Shape, writer_of: Callable[[Shape], Write]) -> Write:
    rows = [
        (name, *_row(service, member, writer_of))
        for name, member in shape.members.items()
        if member.location is None and not member.attribute
    ]
    names = shape.members.keys()
    typed = {start for _, start, *_ in rows if start.endswith('"%s">')}

    def write(value: Mapping[str, Any]) -> str:
        if not value.keys() <= names:
            raise LookupError(f"{shape.name} has no members {sorted(value.keys() - names)}")
        parts = []
        for name, start, end, several, write_member in rows:
            item = value.get(name)
            if item is None:
                continue
            if several:
                parts += [f"{start}{write_member(each)}{end}" for each in item]
            else:
                opened = _opened(start, item) if start in typed else start
                parts.append(f"{opened}{write_member(item)}{end}")
        return "".join(parts)

    return write


def _row(
    service: Service, member: Member, writer_of: Callable[[Shape], Write]
) -> tuple[str, str, bool, Write]:
    """How a member begins and ends, whether it is a list without an element of its own, and what
    writes it, or each of them."""
    kind = service.shape_of(member)
    at = member.location_name or member.name
    if kind.type == "list" and (member.flattened or kind.flattened):
        assert kind.element is not None
        at = member.location_name or kind.element.location_name or member.name
        return f"<{at}>", f"</{at}>", True, writer_of(service.shape_of(kind.element))
    if kind.namespace is not None:
        prefix, uri = kind.namespace
        return (
            f'<{at} xmlns:{prefix}="{uri}" {prefix}:type="%s">',
            f"</{at}>",
            False,
            writer_of(kind),
        )
    return f"<{at}>", f"</{at}>", False, writer_of(kind)


def _opened(start: str, item: Any) -> str:
    """The beginning of an element; of S3's only one with an attribute, the type of who is granted
    something."""
    return start % xml_text(item["Type"]).replace('"', "&quot;")


_SCALARS: Mapping[str, Callable[[Any], str]] = {
    "string": xml_text,
    "boolean": lambda value: "true" if value else "false",
    "integer": str,
    "long": str,
    "timestamp": iso_milliseconds,
    "blob": lambda value: base64.b64encode(value).decode(),
}
