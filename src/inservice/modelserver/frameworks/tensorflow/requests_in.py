"""What the container's front makes of an invocation: TensorFlow Serving's JSON, and its path.

On AWS it is a script in nginx. It knows four types, exactly as they are written here, and chooses
the model by a header:

    X-Amzn-SageMaker-Custom-Attributes: tfs-model-name=a,tfs-model-version=2,tfs-method=classify
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CUSTOM_ATTRIBUTES: Final = b"x-amzn-sagemaker-custom-attributes"

JSON: Final = "application/json"
LINES: Final = "application/jsonlines"
_OF_JSON: Final = (JSON, LINES, "application/jsons")
_CSV: Final = "text/csv"

_ATTRIBUTE: Final = re.compile(r"(tfs-[a-z\-]+)=([^,=]+)")
_SHAPED: Final = re.compile(r'"(instances|inputs|examples)"\s*:')
_SEVERAL: Final = re.compile(r"[}\]]\s*[\[{]")
_ROWS: Final = re.compile(r"\s*\[\s*\[")
_NUMERIC: Final = re.compile(r'\s*("|[\d.Ee+\-])')


class Unsupported(Exception):
    """A type that is not one of the four."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Which model of the instance's is meant, and what it is to do."""

    model: str
    version: str | None  # None: the newest
    method: str

    @property
    def path(self) -> str:
        """As TensorFlow Serving has it."""
        version = "" if self.version is None else f"/versions/{self.version}"
        return f"/v1/models/{self.model}{version}:{self.method}"


def attributes_of(header: str) -> Mapping[str, str]:
    """The attributes of TensorFlow's in a header; others are somebody else's."""
    return {name: value.strip() for name, value in _ATTRIBUTE.findall(header)}


def aim_of(attributes: Mapping[str, str], default_model: str) -> Aim:
    """What a request is for."""
    return Aim(
        attributes.get("tfs-model-name") or default_model,
        attributes.get("tfs-model-version"),
        attributes.get("tfs-method") or "predict",
    )


def as_serving_json(body: str, content_type: str | None) -> str:
    """A body as TensorFlow Serving takes it. Raises Unsupported. What is no JSON stays none: it is
    for TensorFlow Serving to say so."""
    if content_type in _OF_JSON:
        if _SHAPED.search(body):
            return body
        if _SEVERAL.search(body):
            return _instances(_values(body))
        return '{"instances":' + (body if _ROWS.match(body) else f"[{body}]") + "}"
    if content_type == _CSV:
        return _instances(_rows(body))
    raise Unsupported(f"Unsupported Media Type: {content_type or 'Unknown'}")


def _instances(values: list[str]) -> str:
    return '{"instances":[' + ",".join(values) + "]}"


def _values(body: str) -> list[str]:
    """JSON values that are separated by whitespace alone; a list of lists is one that is not
    wrapped again."""
    if _ROWS.match(body) and _is_json(body):
        return [text.strip() for text in _members(body)]
    found: list[str] = []
    at, decoder = 0, json.JSONDecoder()
    text = body.strip()
    while at < len(text):
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return [*found, text[at:]]
        found.append(text[at:end])
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _members(body: str) -> list[str]:
    members: list[Any] = json.loads(body)
    return [json.dumps(member) for member in members]


def _rows(body: str) -> list[str]:
    """Each line a list, or the value of its one column; words in quotes, if the first field of all
    is one."""
    words = _NUMERIC.match(body) is None
    rows = []
    for line in filter(None, map(str.strip, body.strip().splitlines())):
        fields = line.split(",")
        if words:
            line = ",".join(json.dumps(field, ensure_ascii=False) for field in fields)
        rows.append(f"[{line}]" if len(fields) > 1 else line)
    return rows


def answer_type(accept: str) -> tuple[str, bool]:
    """The type of an answer, and whether it is to be in one line: the first that is asked for,
    where JSON or lines of it are among them."""
    kinds = [kind.strip() for kind in accept.split(",")]
    if JSON in kinds or LINES in kinds:
        return kinds[0], True
    return JSON, False
