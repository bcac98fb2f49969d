"""Words of the command line into parameters of an operation.

file://path, fileb://path   the contents of a file, for any option
{...} or [...]              JSON, for structures, maps and lists
Key=a,Value=b               shorthand, for structures, maps and lists of them
anything else               text, a number or base64, as the shape says
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape

from inservice.cli.aws import shorthand
from inservice.cli.aws.failures import BadParameter

_SCALARS: Final = frozenset(
    ("string", "float", "integer", "long", "boolean", "double", "blob", "timestamp")
)
_NESTED: Final = ("structure", "list", "map")


class InvalidBase64(Exception):
    """A blob that is not base64. Exit code 255: the AWS CLI finds it out after its validation."""


class _Unreadable(Exception):
    """A file named by file:// or fileb:// that cannot be read."""


def read_paramfile(value: Any) -> str | bytes | None:
    """The contents of the file that the value names, or None when it names none.

    Environment variables and ~ in the path are expanded.
    """
    if not isinstance(value, str):
        return None
    for prefix, binary in (("file://", False), ("fileb://", True)):
        if value.startswith(prefix):
            path = os.path.expandvars(value.removeprefix(prefix))
            return _contents(os.path.expanduser(path), value, binary=binary)  # noqa: PTH111
    return None


def _contents(path: str, written: str, *, binary: bool) -> str | bytes:
    # No Path: the Path of no name is the current directory, and the message would be about that.
    encoding = None if binary else os.environ.get("AWS_CLI_FILE_ENCODING") or "utf-8"
    try:
        with open(path, "rb" if binary else "r", encoding=encoding) as file:  # noqa: PTH123
            contents: str | bytes = file.read()
            return contents
    except UnicodeDecodeError as error:
        raise _Unreadable(
            f"Unable to load paramfile ({path}), text contents could not be decoded.  If this is "
            "a binary file, please use the fileb:// prefix instead of the file:// prefix."
        ) from error
    except OSError as error:
        raise _Unreadable(f"Unable to load paramfile {written}: {error}") from error


def load_option(value: Any, option: str) -> Any:
    """The value of an option, or the contents of the file that it names.

    Raises BadParameter when the file cannot be read.
    """
    named = value[0] if isinstance(value, list) and len(value) == 1 else value
    try:
        contents = read_paramfile(named)
    except _Unreadable as error:
        raise BadParameter(option, str(error)) from error
    return value if contents is None else contents


def parse_value(value: Any, shape: Shape, option: str) -> Any:
    """What an option's value means for its shape.

    Raises BadParameter; ValueError for text that is no number.
    """
    if _is_shorthand(value, shape):
        if list(getattr(shape, "members", ())) == ["Value"] and "=" not in value:
            return {"Value": value}
        return _parse_shorthand(value, shape, option)
    return _parse_plain(value, shape, option)


def _is_shorthand(value: Any, shape: Shape) -> bool:
    if shape.type_name not in _NESTED:
        return False
    if isinstance(shape, ListShape) and shape.member.type_name not in _NESTED:
        return False
    first = value[0] if isinstance(value, list) and value else value
    return not (isinstance(first, str) and first.strip().startswith(("[", "{")))


def _parse_shorthand(value: Any, shape: Shape, option: str) -> Any:
    try:
        if isinstance(value, list):
            parsed = [shorthand.parse(text, read_paramfile) for text in value]
            return shorthand.fit(parsed, shape)
        one = shorthand.parse(value, read_paramfile)
        # A whole list read from one file stays what it is: the model's validation names it.
        return one if isinstance(shape, ListShape) else shorthand.fit(one, shape)
    except (shorthand.ShorthandError, _Unreadable) as error:
        raise BadParameter(option, str(error)) from error


def _parse_plain(value: Any, shape: Shape, option: str) -> Any:
    if isinstance(shape, (StructureShape, MapShape)):
        if value.lstrip()[:1] == "{":
            return _parse_json(value, option)
        raise BadParameter(option, f"Invalid JSON:\n{value}")
    if isinstance(shape, ListShape):
        return _parse_list(value, shape, option)
    if shape.type_name in _SCALARS:
        return _parse_scalar(value, shape)
    return str(value)


def _parse_list(value: Any, shape: ListShape, option: str) -> Any:
    text = value if isinstance(value, str) else value[0].strip() if len(value) == 1 else ""
    if text.lstrip()[:1] == "[":
        return _parse_json(text, option)
    try:
        return [_parse_plain(item, shape.member, option) for item in value]
    except (ValueError, TypeError) as error:
        # A member has no name of its own; the AWS CLI shows the first of them.
        raise BadParameter(option, value[0]) from error


def _parse_json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadParameter(option, f"Invalid JSON: {error}\nJSON received: {text}") from error


def _parse_scalar(value: Any, shape: Shape) -> Any:
    kind = shape.type_name
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return value.lower() != "false" if isinstance(value, str) else bool(value)
    return value


def decode_blobs(value: Any, shape: Shape | None) -> Any:
    """The same parameters with every blob that is text decoded from base64.

    Raises InvalidBase64.
    """
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = shape.members
        return {
            key: decode_blobs(item, members[key]) if key in members else item
            for key, item in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [decode_blobs(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: decode_blobs(item, shape.value) for key, item in value.items()}
    if shape is not None and shape.type_name == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value)
        except (binascii.Error, ValueError) as error:
            raise InvalidBase64(f'Invalid base64: "{value}"') from error
    return value
