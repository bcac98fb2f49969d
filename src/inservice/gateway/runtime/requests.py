"""What of a client's request a model gets to see.

The request to the model is written anew, never passed on: its line, its Host and its length are
ours, and of the client's headers only those that InvokeEndpoint's model names get through, each
checked against the pattern that the model gives it. Whatever a client smuggles in is not there any
more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from inservice.errors import ValidationError
from inservice.transport.messages import Request


class Api(StrEnum):
    """The operations of the runtime API. The values are what the model is told was called.

    Strings, since the hash of any other enum is computed in Python.
    """

    INVOKE = "InvokeEndpoint"
    STREAM = "InvokeEndpointWithResponseStream"
    ASYNC = "InvokeEndpointAsync"
    OPENAI = "OpenAI"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path below /endpoints/ asks for."""

    endpoint: str
    api: Api
    path: bytes
    query: bytes
    model_path: bytes
    """For OPENAI: what follows /openai/ in the path, for example `v1/chat/completions`."""
    action: str
    """IAM's name of it. Of a path that leads nowhere those alone hear who may invoke."""
    resource: str
    """What it is done to, as it ends the ARN: `endpoint/digits`."""


_PATH: Final = re.compile(
    rb"/endpoints/([^/]+)/([a-z-]+)"
    rb"(?:/(v1/models/[A-Za-z0-9-]{1,63}|v1/[a-z0-9/_-]+))?"
)
_APIS: Final = {
    b"invocations": Api.INVOKE,
    b"invocations-response-stream": Api.STREAM,
    b"async-invocations": Api.ASYNC,
    b"openai": Api.OPENAI,
}


_KEPT_BYTES: Final = 256
"""Longer targets are presigned and never come twice; strangers made 4,096 of them cost 64 MB."""


def read_target(target: bytes) -> Target:
    """The raw target of a request, taken apart. Clients repeat theirs: looking one up is 0.1 µs."""
    return _known_target(target) if len(target) <= _KEPT_BYTES else _read_target(target)


def _read_target(target: bytes) -> Target:
    path, _, query = target.partition(b"?")
    match = _PATH.fullmatch(path)
    if match is None:
        return _target("", Api.UNKNOWN, path, query, b"")
    name = unquote_to_bytes(match[1]).decode("latin-1")
    api = _APIS.get(match[2], Api.UNKNOWN)
    if (api is Api.OPENAI) != (match[3] is not None):
        api = Api.UNKNOWN
    return _target(name, api, path, query, match[3] or b"")


def _target(endpoint: str, api: Api, path: bytes, query: bytes, model_path: bytes) -> Target:
    called = Api.INVOKE if api in (Api.OPENAI, Api.UNKNOWN) else api
    action, resource = f"sagemaker:{called.value}", f"endpoint/{endpoint}"
    return Target(endpoint, api, path, query, model_path, action, resource)


_known_target = lru_cache(maxsize=4096)(_read_target)


@dataclass(frozen=True, slots=True)
class Field:
    """A request header of the runtime API."""

    member: str
    """As AWS's validation messages call it."""
    line: bytes
    """How the model sees it; empty if it does not."""
    length_max: int
    length_min: int = 0
    pattern: str = r"[\x20-\x7e]*"
    """In Python's words, always matched in full."""
    refused: str = ""
    """What is said to a well-formed one, if it cannot be meant; `%s` is the endpoint's name."""
    error_code: str = ""
    """The ErrorCode that goes with it, where AWS's is known."""


_NAME: Final = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_PRINTABLE: Final = r"[\x21-\x7e][\x20-\x7e]*"

FIELDS: Final[dict[bytes, Field]] = {
    b"content-type": Field("contentType", b"Content-Type", 1024),
    b"accept": Field("accept", b"Accept", 1024),
    b"x-amzn-sagemaker-accept": Field("accept", b"Accept", 1024),
    b"x-amzn-sagemaker-custom-attributes": Field(
        "customAttributes", b"X-Amzn-SageMaker-Custom-Attributes", 1024
    ),
    b"x-amzn-sagemaker-target-model": Field(
        "targetModel",
        b"",
        1024,
        1,
        _PRINTABLE,
        "Endpoint %s is not a multi-model endpoint and does not support target model header.",
        "TARGET_MODEL_HEADER_NOT_SUPPORTED",
    ),
    b"x-amzn-sagemaker-target-container-hostname": Field(
        "targetContainerHostname",
        b"",
        63,
        0,
        _NAME,
        "TargetContainerHostname is not allowed: endpoint %s has no containers that are invoked "
        "directly.",
    ),
    b"x-amzn-sagemaker-inference-component": Field(
        "inferenceComponentName",
        b"",
        63,
        0,
        r"[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?",
        "Inference Component Name header is not allowed for endpoints to which you dont plan to "
        "deploy inference components. Please remove the Inference Component Name header and try "
        "again.",
    ),
    b"x-amzn-sagemaker-target-variant": Field("targetVariant", b"", 63, 0, _NAME),
    b"x-amzn-sagemaker-inference-id": Field(
        "inferenceId", b"X-Amzn-SageMaker-Inference-Id", 64, 1, _PRINTABLE
    ),
    b"x-amzn-sagemaker-enable-explanations": Field(
        "enableExplanations", b"X-Amzn-SageMaker-Enable-Explanations", 64, 1
    ),
    b"x-amzn-sagemaker-session-id": Field(
        "sessionId", b"X-Amzn-SageMaker-Session-Id", 256, 0, f"NEW_SESSION|{_NAME}"
    ),
    b"x-amzn-sagemaker-prefix-aware-id": Field(
        "prefixAwareId", b"X-Amzn-SageMaker-Prefix-Aware-Id", 64, 1, _PRINTABLE
    ),
    # Tracing, as W3C defines it; OpenTelemetry's instrumentation in the model takes it up.
    b"traceparent": Field("traceparent", b"traceparent", 128),
    b"tracestate": Field("tracestate", b"tracestate", 512),
}
"""Every header that may reach a model, or be read by the gateway, by its name on the wire."""

_OWN_ACCEPT: Final = b"x-amzn-sagemaker-accept"

_STREAM_FIELDS: Final = {
    **FIELDS,
    b"x-amzn-sagemaker-session-id": Field(
        "sessionId", b"X-Amzn-SageMaker-Session-Id", 256, 0, _NAME
    ),
}
"""A stream may go on with a session and cannot open one."""

_UNREAD_ACCEPT: Final = {b"accept": Field("accept", b"", 1024)}
"""curl and browsers send `Accept: */*` whatever is asked; a model must not get two of them."""

_FIELDS_OF: Final = {
    (streamed, own_accept): {**fields, **(_UNREAD_ACCEPT if own_accept else {})}
    for streamed, fields in ((False, FIELDS), (True, _STREAM_FIELDS))
    for own_accept in (False, True)
}
"""By whether a stream is asked for, and whether X-Amzn-SageMaker-Accept is there."""

_PATTERNS: Final = {
    field.pattern: re.compile(field.pattern.encode())
    for fields in _FIELDS_OF.values()
    for field in fields.values()
}

_MODEL_LINES: Final = {
    api: b"POST /invocations HTTP/1.1%%bHost: localhost:8080\r\n"
    b"X-Amzn-SageMaker-Forwarded-Api: %b\r\n"
    b"Content-Length: %%d\r\nX-Amzn-RequestId: %%b\r\n" % api.value.encode()
    for api in Api
}


def model_request(request: Request, target: Target, request_id: bytes, token_line: bytes) -> bytes:
    """The head of the request that the model gets, `token_line` in it. Raises ValidationError.

    `X-Amzn-SageMaker-Forwarded-Api` tells the model which operation was called: serving containers
    choose between a whole and a streamed answer by it. All of them are POSTed to /invocations; the
    OpenAI path is named in a header, as the container contract does it for other paths.
    """
    lines = [_MODEL_LINES[target.api] % (token_line, request.length, request_id)]
    if target.model_path:
        lines.append(b"X-Amzn-SageMaker-Model-Invocation-Path: /%b\r\n" % target.model_path)
    streamed = target.api is Api.STREAM
    fields = _STREAM_FIELDS if streamed else FIELDS
    if _OWN_ACCEPT in request.fields:
        fields = _FIELDS_OF[streamed, True]
    special: list[tuple[Field, bytes]] = []
    for name, value in request.headers:
        field = fields.get(name)
        if field is not None:
            if field.line:
                lines.append(b"%b: %b\r\n" % (field.line, value))
            if name[:2] == b"x-" or len(value) > 256:
                special.append((field, value))
    if special:
        _check(special, target.endpoint)
    lines.append(b"\r\n")
    return b"".join(lines)


def _check(given: list[tuple[Field, bytes]], endpoint: str) -> None:
    """Raises ValidationError in AWS's words: for all values outside their shapes in one message,
    else for the first that this endpoint can do nothing with."""
    violations = [words for words in (_violation(*one) for one in given) if words]
    if violations:
        plural = "s" if len(violations) > 1 else ""
        words = f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}"
        raise ValidationError(words)
    for field, _ in given:
        if field.refused:
            words = field.refused.replace("%s", endpoint)
            members = {"ErrorCode": field.error_code} if field.error_code else {}
            raise ValidationError(words, members=members)


def _violation(field: Field, value: bytes) -> str:
    """What is wrong with a value; empty if nothing is."""
    if len(value) > field.length_max:
        constraint = f"Member must have length less than or equal to {field.length_max}"
    elif len(value) < field.length_min:
        constraint = f"Member must have length greater than or equal to {field.length_min}"
    elif _PATTERNS[field.pattern].fullmatch(value) is None:
        constraint = f"Member must satisfy regular expression pattern: {field.pattern}"
    elif field.member == "targetModel" and _leaves_its_place(value):
        constraint = "Member must be a path below the model's prefix"
    else:
        return ""
    shown = value[:200].decode("ascii", "replace")
    return f"Value '{shown}' at '{field.member}' failed to satisfy constraint: {constraint}"


def _leaves_its_place(path: bytes) -> bool:
    """AWS's pattern for TargetModel would let `../../etc` through, also percent-encoded."""
    plain = unquote_to_bytes(path)
    return plain.startswith(b"/") or b"\\" in plain or b".." in plain.split(b"/")
