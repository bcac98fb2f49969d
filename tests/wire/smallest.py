"""The smallest request that an operation's model lets through: what is required, and no more."""

from __future__ import annotations

import re
from typing import Any

from inservice.aws.service_model import Service, Shape

CANDIDATES = (
    *("a", "aaa", "v1", "/", "/a/", "s3://a/a", "0" * 12),
    "arn:aws:iam::000000000000:role/a",
    "arn:aws:sagemaker:us-east-1:000000000000:model/a",
)


def smallest(service: Service, shape_name: str | None) -> Any:
    """A value of a shape. Raises LookupError for a pattern that no candidate fits."""
    return _value(service, service.shapes[shape_name]) if shape_name else {}


def as_form(members: Any, name: str = "") -> dict[str, str]:
    """The members of a request as the fields of the query protocol."""
    dot = f"{name}." if name else ""
    if isinstance(members, dict):
        parts = [as_form(value, f"{dot}{key}") for key, value in members.items()]
    elif isinstance(members, list):
        parts = [as_form(one, f"{dot}member.{at}") for at, one in enumerate(members, 1)]
    else:
        return {name: str(members).lower() if isinstance(members, bool) else str(members)}
    return {key: value for part in parts for key, value in part.items()}


def _value(service: Service, shape: Shape) -> Any:
    if shape.enum:
        return shape.enum[0]
    match shape.type:
        case "structure":
            wanted = shape.required or (set(list(shape.members)[:1]) if shape.union else set())
            return {name: smallest(service, shape.members[name].shape_name) for name in wanted}
        case "list":
            assert shape.element is not None
            one = smallest(service, shape.element.shape_name)
            return [one] * max(int(shape.least or 0), 1)
        case "map":
            assert shape.key is not None
            assert shape.element is not None
            return {
                smallest(service, shape.key.shape_name): smallest(service, shape.element.shape_name)
            }
        case "string":
            return _text(shape)
        case "integer" | "long" | "double" | "float":
            return int(shape.least or 1)
        case "boolean":
            return False
        case "timestamp":
            return 1_000
    raise LookupError(f"{shape.name} is a {shape.type}")


def _text(shape: Shape) -> str:
    least, most = int(shape.least or 0), shape.most or 100_000
    fits = re.compile(_python(shape.pattern or r"(?s).*")).fullmatch
    for candidate in CANDIDATES:
        text = candidate if len(candidate) >= least else candidate * least
        if len(text) <= most and fits(text):
            return text
    raise LookupError(f"nothing fits {shape.pattern} of {shape.name}")


def _python(pattern: str) -> str:
    """Java's classes, as far as these models use them."""
    return (
        pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s")
        .replace(r"\p{Print}", r"\x20-\x7e")
        .replace(r"\p{IsAlphabetic}", "a-zA-Z")
    )
