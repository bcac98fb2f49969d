"""The query protocol: a form in, XML out. CloudWatch's older clients, IAM and STS.

    Action=PutMetricAlarm&Version=2010-08-01&AlarmName=errors&Dimensions.member.1.Name=EndpointName

Members are paths: structures by name, lists `.member.1`, maps `.entry.1.key` and `.entry.1.value`.
An empty list is its name with an empty value. Moments are ISO 8601, blobs base64. None of the
models that we serve flattens or renames a member; a test holds that.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from inservice.aws.constraints import Violations, joined
from inservice.aws.service_model import Operation, Service, Shape, camel, once_per_shape
from inservice.aws.wire import Reply, fault_of, from_iso, iso, within_years
from inservice.errors import AwsError, SerializationException

Tree = dict[str, Any]
"""A form by the parts of its names: {"Dimensions": {"member": {"1": {"Name": "EndpointName"}}}}."""

Read = Callable[[Any, str, Violations], Any]
"""Turn a leaf or a branch of the tree, found at a path, into what operations are given."""

Write = Callable[[Any], str]
"""Turn what operations answer into XML, without the element around it."""

_DEPTH_MAX = 32
"""How deep a name may go. The deepest shape of these models needs 11 parts."""

_FIELDS_MAX = 50_000
"""How many fields a form may have. 1,000 metrics of 30 dimensions each are more than a megabyte."""

_GAP_MAX = 10
"""From one number of a list to the next: AWS was seen to take no more."""

_ENVELOPE = ("Action", "Version")
"""Fields that are about the request; a presigned one adds its X-Amz-… parameters."""

_NUMBER = re.compile("0*[1-9][0-9]{0,8}")

_CONTENT_TYPE = b"text/xml"

# XML 1.0 has no way to write these, escaped or not.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What cannot stay as it is. Most texts have none of it, and are looked through once.
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def action_of(form: bytes) -> tuple[str, str]:
    """The Action and the Version of a form; empty where it has none.

    Raises SerializationException for what is no form.
    """
    fields = _fields(form)
    return fields.get("Action", ""), fields.get("Version", "")


def compile_parser(
    service: Service, operation: Operation
) -> Callable[[bytes, Violations], dict[str, Any]]:
    """A function from a form to an operation's members.

    It raises SerializationException for what is no such form, and notes unknown members.
    """
    return form_parser(
        _reader(service, service.shapes[operation.input]) if operation.input else None
    )


def form_parser(read: Read | None) -> Callable[[bytes, Violations], dict[str, Any]]:
    """The same, where it is known how the members of the form are read; None: there are none."""

    def parse(form: bytes, violations: Violations) -> dict[str, Any]:
        tree: Tree = {}
        for name, value in _fields(form).items():
            if name not in _ENVELOPE and not name.startswith("X-Amz-"):
                _plant(tree, name, value)
        if read is None:
            return {}
        members: dict[str, Any] = read(tree, "", violations)
        return members

    return parse


def compile_serializer(
    service: Service, operation: Operation
) -> Callable[[Mapping[str, Any], str], Reply]:
    """A function from an operation's answer and the request id to a reply.

    It raises LookupError for a member that the model does not have: that is a bug of ours.
    """
    write = _writer(service, service.shapes[operation.output]) if operation.output else None
    wrapper = operation.result_wrapper
    start = f'<{operation.name}Response xmlns="{service.xml_namespace}">'
    end = f"</{operation.name}Response>"

    def serialize(output: Mapping[str, Any], request_id: str) -> Reply:
        result = "" if write is None else write(output)
        if wrapper is not None:
            result = f"<{wrapper}>{result}</{wrapper}>"
        request = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        return _reply(200, request_id, f"{start}{result}{request}{end}")

    return serialize


def serialize_error(service: Service | None, error: AwsError, request_id: str) -> Reply:
    """An error, also for a service that is not known."""
    fault = fault_of(service, error)
    namespace = f' xmlns="{service.xml_namespace}"' if service else ""
    side = "Sender" if fault.sender else "Receiver"
    members = "".join(f"<{k}>{xml_text(str(v))}</{k}>" for k, v in fault.members.items())
    text = (
        f"<ErrorResponse{namespace}><Error><Type>{side}</Type><Code>{fault.query_code}</Code>"
        f"<Message>{xml_text(fault.message)}</Message>{members}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return _reply(fault.query_status, request_id, text)


def _reply(status: int, request_id: str, text: str) -> Reply:
    headers = [(b"x-amzn-RequestId", request_id.encode()), (b"Content-Type", _CONTENT_TYPE)]
    return Reply(status, headers, text.encode())


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


def _fields(form: bytes) -> dict[str, str]:
    """A form, by the names in it. Raises SerializationException for what is none."""
    try:
        pairs = parse_qsl(
            form.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError as error:
        raise SerializationException(f"The request body is not a form: {error}") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise SerializationException("The request body is not a form: a name occurs twice")
    return fields


def _plant(tree: Tree, name: str, value: str) -> None:
    """Put a leaf where its name says. Raises SerializationException if something is there."""
    *branches, leaf = name.split(".", _DEPTH_MAX)
    for part in branches:
        tree = tree.setdefault(part, {})
        if type(tree) is not dict:
            raise SerializationException(f"'{part}' in '{name}' is a value and a structure.")
    if leaf in tree:
        raise SerializationException(f"'{name}' is a value and a structure.")
    tree[leaf] = value


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
        return scalar_reader(shape.type)

    return reader_of(shape)


def _structure_reader(service: Service, shape: Shape, reader_of: Callable[[Shape], Read]) -> Read:
    members = {
        name: (camel(name), reader_of(service.shape_of(member)))
        for name, member in shape.members.items()
    }

    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, item in branches(value, path).items():
            if name not in members:
                violations.add_unknown(path, name, shape)
            else:
                label, read_member = members[name]
                found[name] = read_member(item, joined(path, label), violations)
        return found

    return read


def _list_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> list[Any]:
        return [
            None if item is None else read_element(item, f"{path}.{n}.member", violations)
            for n, item in enumerate(_numbered(value, "member", path), 1)
        ]

    return read


def _map_reader(read_element: Read) -> Read:
    def read(value: Any, path: str, violations: Violations) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in _numbered(value, "entry", path):
            entry = branches(item, path) if item is not None else {}
            if entry.keys() != {"key", "value"} or type(entry["key"]) is not str:
                raise SerializationException(f"An entry at '{path}' needs a key and a value.")
            key = entry["key"]
            if key in found:
                raise SerializationException(f"The key '{key}' at '{path}' is given twice.")
            found[key] = read_element(entry["value"], f"{path}.{key}", violations)
        return found

    return read


def branches(value: Any, path: str) -> Tree:
    """What is within something that has to be a structure. Raises SerializationException."""
    if type(value) is not dict:
        if value == "":
            return {}
        raise SerializationException(f"A value was found where a structure was expected: '{path}'.")
    return value


def _numbered(value: Any, word: str, path: str) -> list[Any]:
    """The branches .member.1, .member.2 … in the order of their numbers, and None where one is left
    out. As AWS reads them: 01 is 1, and nobody leaves out more than a few."""
    outer = branches(value, path)
    if outer.keys() - {word}:
        raise SerializationException(f"Elements at '{path}' must be named '{word}.1' and so on.")
    return counted(outer.get(word, ""), f"{word}.1", path)


def counted(value: Any, first: str, path: str) -> list[Any]:
    """The branches 1, 2 … of a list, of which the first is to be called so."""
    inner = branches(value, path)
    found = {int(key): item for key, item in inner.items() if _NUMBER.fullmatch(key)}
    numbers = sorted(found)
    if len(found) != len(inner) or any(
        after - before > _GAP_MAX for before, after in pairwise([0, *numbers])
    ):
        raise SerializationException(f"Elements at '{path}' must be named '{first}' and so on.")
    return [found.get(number) for number in range(1, numbers[-1] + 1)] if numbers else []


def scalar_reader(kind: str) -> Read:
    """Of a value that is no structure, by its type in the model."""
    convert = _CONVERSIONS[kind]

    def read(value: Any, path: str, _: Violations) -> Any:
        if type(value) is not str:
            raise SerializationException(
                f"A structure was found where a value was expected: '{path}'."
            )
        try:
            converted = convert(value)
        except (ValueError, binascii.Error):
            raise SerializationException(
                f"'{value[:100]}' at '{path}' can not be converted to {kind}."
            ) from None
        return within_years(converted, path) if kind == "timestamp" else converted

    return read


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("true", "1")


def _whole_number(bits: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise ValueError(text)
        number = int(text)
        if not -(1 << bits) <= number < 1 << bits:
            raise ValueError(text)
        return number

    return convert


def _number(text: str) -> float:
    if text.lower() in _WORDS:  # botocore writes nan, Java NaN
        return _WORDS[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
        raise ValueError(text)  # float() also takes underscores and blanks
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_WORDS = {
    sign + word: float(sign + word)
    for word in ("nan", "inf", "infinity")
    for sign in ("", "-")
    if word != "nan" or not sign
}

_CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "boolean": _boolean,
    "integer": _whole_number(31),
    "long": _whole_number(63),
    "float": _number,
    "double": _number,
    "timestamp": from_iso,
    "blob": lambda text: base64.b64decode(text, validate=True),
}


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def _writer(service: Service, shape: Shape) -> Write:
    @once_per_shape
    def writer_of(shape: Shape) -> Write:
        if shape.type == "structure":
            return _structure_writer(service, shape, writer_of)
        if shape.type == "list":
            assert shape.element is not None
            element = writer_of(service.shape_of(shape.element))
            return lambda value: "".join(f"<member>{element(item)}</member>" for item in value)
        if shape.type == "map":
            assert shape.element is not None
            entry = writer_of(service.shape_of(shape.element))
            return lambda value: "".join(
                f"<entry><key>{xml_text(key)}</key><value>{entry(item)}</value></entry>"
                for key, item in value.items()
            )
        return SCALAR_WRITERS[shape.type]

    return writer_of(shape)


def _structure_writer(service: Service, shape: Shape, writer_of: Callable[[Shape], Write]) -> Write:
    members = {name: writer_of(service.shape_of(member)) for name, member in shape.members.items()}

    def write(value: Mapping[str, Any]) -> str:
        unknown = value.keys() - members.keys()
        if unknown:
            raise LookupError(f"{shape.name} has no members {sorted(unknown)}")
        return "".join(
            f"<{name}>{members[name](item)}</{name}>"
            for name, item in value.items()
            if item is not None
        )

    return write


_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
"""A carriage return would be read back as a line feed if it were not escaped."""


def xml_text(value: str) -> str:
    """Text as it stands between tags; what XML cannot write at all becomes U+FFFD."""
    if _SPECIAL.search(value) is None:
        return value
    return _UNWRITABLE.sub("\ufffd", value.translate(_ESCAPES))


def _write_number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


SCALAR_WRITERS: dict[str, Write] = {
    "string": xml_text,
    "boolean": lambda value: "true" if value else "false",
    "integer": str,
    "long": str,
    "float": _write_number,
    "double": _write_number,
    "timestamp": iso,
    "blob": lambda value: base64.b64encode(value).decode(),
}
