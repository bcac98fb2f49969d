"""What a handler may return, and the answer that it becomes.

bytes and str are the body; a *tuple* is a body and its content type; an iterator is streamed; a
response object (of Flask, Werkzeug, SageMaker's older toolkits: anything with data, a status and a
mimetype) passes as it is, as does an Answer of a framework's plug; anything else is encoded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from inservice.modelserver import encoding
from inservice.modelserver.awaiting import Parts, streams
from inservice.modelserver.context import RequestProcessor
from inservice.transport.messages import BODILESS

_WHOLE = (bytes, str)
"""What most answers are, and nothing is to be found out about."""

_PYTHONS = (dict, list, tuple, int, float, type(None))
"""What the standard library makes JSON of."""

_OF_ARRAYS = (encoding.CSV, encoding.NPY)

_FRAMING = frozenset(
    ("content-length", "transfer-encoding", "connection", "content-type", "date", "keep-alive")
)
"""Headers of a response object that say how it travels, which the server says itself."""


class Answer(NamedTuple):
    """What goes back."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | Parts


def answer_of(returned: Any, accept: str, request: RequestProcessor | None) -> Answer:
    """The answer that a handler's result is; `request` is what a context said of it.

    Parts have still to be begun. Raises TypeError, naming the type, for what cannot be encoded.
    """
    if request is None and type(returned) in _WHOLE:
        body = returned.encode() if isinstance(returned, str) else returned
        return Answer(200, [_content_type_line(accept)], body)
    if isinstance(returned, Answer):
        return returned
    content_type, status, headers = accept, 200, dict[str, str]()
    if request is not None:
        status, headers = request.get_response_status_code(), dict(request.get_response_headers())
        content_type = headers.pop("content-type", accept)
    if isinstance(returned, tuple) and len(returned) > 1 and isinstance(returned[1], str):
        returned, content_type = returned[0], returned[1]
    elif is_response(returned):
        status, content_type = _status_of(returned), _content_type_of(returned) or content_type
        headers |= _headers_of(returned)
        returned = _data_of(returned)
    body = _body_of(returned, content_type)
    lines = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    lines.append(_content_type_line(content_type))
    return Answer(status, lines, b"" if status in BODILESS else body)


@lru_cache(maxsize=128)
def _content_type_line(content_type: str) -> tuple[bytes, bytes]:
    return b"content-type", _in_one_line(content_type).encode()


def _body_of(returned: Any, content_type: str) -> bytes | Parts:
    match returned:
        case bytes():
            return bytes(returned)
        case str():
            return returned.encode()
        case bytearray() | memoryview():
            return bytes(returned)
    if streams(returned):
        return Parts(returned)
    # Of Python's own values the toolkits write JSON here, whatever the type that was asked for.
    if not isinstance(returned, _PYTHONS) and encoding.media_type(content_type) in _OF_ARRAYS:
        return encoding.encode(returned, content_type)[0]
    return encoding.to_json(returned)


def _in_one_line(content_type: str) -> str:
    if not (content_type.isprintable() and content_type.isascii()):
        raise ValueError(f"{content_type!r} is not a content type")
    return content_type


# ── response objects ─────────────────────────────────────────────────────────────────────────────


def is_response(returned: Any) -> bool:
    """Whether it has what a response object has. Its class is looked at and not it itself: a
    Mock, or anything else that has every attribute, is none."""
    kind = type(returned)
    return (
        (hasattr(kind, "mimetype") or hasattr(kind, "media_type"))
        and (hasattr(kind, "data") or hasattr(kind, "get_data") or hasattr(returned, "body"))
        and (hasattr(kind, "status_code") or hasattr(returned, "status_code"))
    )


def _status_of(response: Any) -> int:
    status = response.status_code
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is not a status to answer with")
    return int(status)


def _content_type_of(response: Any) -> str | None:
    for name in ("content_type", "mimetype", "media_type"):
        if isinstance(said := getattr(response, name, None), str):
            return said
    return None


def _headers_of(response: Any) -> dict[str, str]:
    fields = getattr(response, "headers", None)
    items = fields.items() if fields is not None and hasattr(fields, "items") else ()
    return {
        str(name).lower(): _in_one_line(str(value))
        for name, value in items
        if str(name).lower() not in _FRAMING
    }


def _data_of(response: Any) -> Any:
    if getattr(response, "is_streamed", False) and hasattr(response, "iter_encoded"):
        return response.iter_encoded()
    if hasattr(response, "get_data"):
        return response.get_data()
    return response.data if hasattr(response, "data") else response.body
