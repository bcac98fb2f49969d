"""SageMaker's inference toolkit as the oracle: its Transformer, run in this process.

The toolkit is what AWS's images run inside of multi-model-server. That server's context and what it
makes of a handler's result are a page of code each, written down here from mms/context.py and
mms/protocol/otf_message_handler.py of multi-model-server 1.1; its package brings a Java server.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from sagemaker_inference.transformer import Transformer

from inservice.modelserver.answers import Answer
from inservice.modelserver.awaiting import Parts
from inservice.modelserver.batching import Lane
from inservice.modelserver.calls import Call
from inservice.modelserver.handlers import Model
from inservice.modelserver.program import checked
from inservice.modelserver.server import running
from inservice.modelserver.settings import settings_from

MODULE = "the_users_program"


@dataclass(frozen=True)
class Said:
    """An answer, whoever gave it."""

    status: int
    content_type: str | None
    body: bytes


@dataclass(frozen=True)
class Asked:
    """A request. A content type or an Accept of None is a header that is not there."""

    body: bytes
    content_type: str | None
    accept: str | None

    @property
    def headers(self) -> dict[str, str]:
        named = {"Content-Type": self.content_type, "Accept": self.accept}
        return {name: value for name, value in named.items() if value is not None}


class _RequestProcessor:
    def __init__(self, headers: dict[str, str]) -> None:
        self.status, self.answered, self.headers = 200, {}, headers  # type: ignore[var-annotated]

    def get_request_property(self, key: str) -> str | None:
        return self.headers.get(key)

    def get_request_properties(self) -> dict[str, str]:
        return self.headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self.status = code

    def add_response_property(self, key: str, value: str) -> None:
        self.answered[key] = value

    def get_response_headers(self) -> dict[str, str]:
        return self.answered


class _Context:
    def __init__(self, model_dir: str) -> None:
        self.model_name, self.manifest = "model", None
        self.system_properties = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1}
        self.request_processor: list[_RequestProcessor] = []
        self.request_ids = {0: "r-1"}

    def get_request_id(self, idx: int = 0) -> str | None:
        return self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].report_status(code, reason_phrase=phrase)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.request_processor[idx].add_response_property(key, value)


def theirs(handlers: Mapping[str, Callable[..., Any]]) -> Callable[[Asked], Said]:
    """A model with these handlers, served by the toolkit."""
    module = types.ModuleType(MODULE)
    module.__spec__ = importlib.machinery.ModuleSpec(MODULE, None)
    module.__dict__.update(handlers)
    transformer, context = Transformer(), _Context("/m")
    environment = {"SAGEMAKER_PROGRAM": f"{MODULE}.py"}
    with mock.patch.dict(sys.modules, {MODULE: module}), mock.patch.dict(os.environ, environment):
        transformer.validate_and_initialize("/m", context)

    def ask(asked: Asked) -> Said:
        request = _RequestProcessor(asked.headers)
        context.request_processor = [request]
        try:
            (returned,) = transformer.transform([{"body": bytearray(asked.body)}], context)
        except BaseException as error:  # the worker dies of it
            return Said(500, None, f"Worker died.\n{error!r}".encode())
        content_type = request.answered.get("content-type")
        if content_type is not None and not isinstance(content_type, str):
            return Said(500, None, b"Worker died.")  # what encodes it fails
        if isinstance(returned, bytes | bytearray):
            return Said(request.status, content_type, bytes(returned))
        if isinstance(returned, str):
            try:
                return Said(request.status, content_type, returned.encode())
            except UnicodeEncodeError:
                return Said(500, None, b"Worker died.")
        try:
            written = json.dumps(returned, indent=2).encode()
        except (TypeError, ValueError, RecursionError):
            return Said(503, None, b"Unsupported model output data type.")
        return Said(request.status, content_type, written)

    return ask


def ours(handlers: Mapping[str, Callable[..., Any]]) -> Callable[[Asked], Said]:
    """The same model, served by our model server, less its sockets and threads."""
    module = types.ModuleType(MODULE)
    module.__dict__.update(handlers)
    settings = settings_from({}, "/m")
    lane = Lane(lambda *_: None, size_max=1, delay_seconds_max=0.0)
    model = lane.complete(Model.load(checked(module, "inference.py"), settings, None))
    run = running(model, 0, batches=False)

    def ask(asked: Asked) -> Said:
        fields = {name.lower().encode(): value.encode() for name, value in asked.headers.items()}
        content_type = fields.get(b"content-type", b"application/json").decode()
        call = Call(asked.body, content_type, fields.get(b"accept", b"").decode(), fields)
        (outcome,) = lane.complete(run([call]))
        body = outcome.body
        if isinstance(outcome, Answer) and isinstance(body, Parts):
            body = lane.complete(_whole(body))
        return Said(outcome.status, dict(outcome.headers)[b"content-type"].decode(), body)

    return ask


async def _whole(parts: Parts) -> bytes:
    whole, part = b"", parts.first
    while part is not None:
        whole, part = whole + part, await parts.next()
    return whole


def page() -> str:
    """The page that has to say where the two differ."""
    root = Path(__file__).parents[2]
    return (root / "docs" / "concepts" / "limits-and-differences.md").read_text()
