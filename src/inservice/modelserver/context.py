"""What a handler that asks for a `context` is given: the request, and what to say of the answer.

It is the context of SageMaker's inference toolkits (multi-model-server's `Context`), with the same
attributes and methods, so that handlers written for AWS run unchanged. `idx` counts the requests of
a batch: only predict_batch_fn is ever given more than the one at 0.

There the context is one object for all requests, so user code keeps things on it. Here a request
that is streamed outlives the next, so each has its own, and what user code keeps on any of them is
seen on all of the same worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from inservice import __version__
from inservice.modelserver.readings import Readings

MODEL_NAME = "model"
"""What SageMaker's toolkits call the model of an endpoint with one."""

_SPELLED = {
    name.lower(): name
    for name in (
        *(
            "X-Amzn-RequestId",
            "X-Amzn-SageMaker-Custom-Attributes",
            "X-Amzn-SageMaker-Target-Model",
        ),
        *("X-Amzn-SageMaker-Inference-Id", "X-Amzn-SageMaker-Enable-Explanations"),
        *("X-Amzn-SageMaker-Session-Id", "X-Amzn-SageMaker-Prefix-Aware-Id"),
        *("X-Amzn-SageMaker-Forwarded-Api", "X-Amzn-SageMaker-Model-Invocation-Path"),
        *("traceparent", "tracestate"),
    )
}
"""Names that are not simply written with capitals after their dashes."""


@lru_cache(maxsize=256)
def _spelled(name: str) -> str:
    """A header's name as clients write it; the transport has put it into lower case."""
    lower = name.lower()
    return _SPELLED.get(lower) or "-".join(word.capitalize() for word in lower.split("-"))


class Headers(dict[str, str]):
    """Headers under the names that clients write, found whatever the case that is asked for."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(_spelled(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(_spelled(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The header, whatever the case of its name."""
        return super().get(_spelled(name), default)


class RequestProcessor:
    """One request of a batch: its headers, and the status and headers of its answer."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields
        self._headers: Headers | None = None
        self._status = 200
        self._phrase: str | None = None
        self._answered: dict[str, str] = {}

    def get_request_property(self, key: str) -> str | None:
        """A header of the request, whatever the case of its name."""
        value = self._fields.get(key.lower().encode())
        return None if value is None else value.decode("latin-1")

    def get_request_properties(self) -> Headers:
        """All headers of the request."""
        if self._headers is None:
            self._headers = Headers(
                (_spelled(name.decode("latin-1")), value.decode("latin-1"))
                for name, value in self._fields.items()
            )
        return self._headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Answer with another status. Raises ValueError outside 200 to 599."""
        if not isinstance(code, int) or not 200 <= code <= 599:
            raise ValueError(f"{code} is not a status to answer with")
        self._status = int(code)
        self._phrase = reason_phrase

    def get_response_status_code(self) -> int:
        """The status of the answer."""
        return self._status

    def get_response_status_phrase(self) -> str | None:
        """The phrase that was given with it. It does not travel: the gateway has its own."""
        return self._phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Add a header to the answer. Raises ValueError for one that would not stay in its line."""
        if not (key.isascii() and key.isprintable() and value.isprintable() and value.isascii()):
            raise ValueError(f"the response header {key!r} may hold only visible ASCII characters")
        self._answered[key.lower()] = value

    def get_response_headers(self) -> dict[str, str]:
        """The headers that were added, names in lower case."""
        return self._answered

    def get_response_header(self, key: str) -> str | None:
        """One of them."""
        return self._answered.get(key.lower())


_OWN = frozenset({"_kept", "_metrics", "request_ids", "request_processor"})


class Context:
    """One invocation, or for `model_fn` the start of a worker."""

    __slots__ = tuple(sorted(_OWN))

    _kept: dict[str, Any]
    _metrics: Readings | None
    request_ids: dict[int, str] | None
    """The request's id by its `idx`; None while loading."""
    request_processor: list[RequestProcessor] | None
    """What the toolkits read requests from; None while loading."""

    def __init__(self, kept: dict[str, Any], fields: Iterable[Mapping[bytes, bytes]] = ()) -> None:
        """`kept` is the worker's (see `kept_for`), `fields` the headers of each request."""
        requests = [RequestProcessor(headers) for headers in fields]
        keep = object.__setattr__
        keep(self, "_kept", kept)
        keep(self, "_metrics", None)
        keep(self, "request_processor", requests or None)
        ids = {n: _id_of(request) for n, request in enumerate(requests)}
        keep(self, "request_ids", ids or None)

    # `model_name`, `manifest`, `system_properties`, and whatever user code has put there.

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name not in self._kept:  # its own are missing while it is copied
            raise AttributeError(f"the context has no attribute '{name}'")
        return self._kept[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        elif name == "metrics":
            self._metrics = value
        else:
            self._kept[name] = value

    @property
    def metrics(self) -> Readings:
        """Where to count and time; written to the log when the request is answered."""
        if self._metrics is None:
            self._metrics = Readings(self.request_ids, self.model_name)
        return self._metrics

    def metric_lines(self) -> list[str]:
        """What was counted and timed, for the log."""
        return self._metrics.lines() if self._metrics is not None else []

    def get_request_id(self, idx: int = 0) -> str | None:
        """The caller's InferenceId if it gave one, else the id of the request."""
        return (self.request_ids or {}).get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """A header of the request, whatever the case of its name."""
        return self._request(idx).get_request_property(key)

    def get_request_property(self, key: str) -> str | None:
        """The same, of the first request."""
        return self._request(0).get_request_property(key)

    def get_all_request_header(self, idx: int = 0) -> Headers:
        """All headers of the request."""
        return self._request(idx).get_request_properties()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Add a header to the answer, as X-Amzn-SageMaker-Custom-Attributes.

        The gateway passes on what SageMaker does: the content type, the custom attributes and the
        session headers. Raises ValueError for a value that would not stay in its line.
        """
        self._request(idx).add_response_property(key, value)

    def add_response_property(self, key: str, value: str) -> None:
        """The same, for the first request."""
        self._request(0).add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """The headers that were added to the answer."""
        return self._request(idx).get_response_headers()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Say what the answer is, instead of what `Accept` asked for."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        """What was said."""
        return self.get_response_headers(idx).get("content-type")

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer with another status. Raises ValueError outside 200 to 599."""
        if self.request_processor is not None:
            self._request(idx).report_status(code, reason_phrase=phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """The same for every request of the batch."""
        for request in self.request_processor or ():
            request.report_status(code, reason_phrase=phrase)

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        """Status and phrase of the answer."""
        request = self._request(idx)
        return request.get_response_status_code(), request.get_response_status_phrase()

    def joined(self, others: Iterable[Context]) -> Context:
        """One context for a batch, whose requests are those of these contexts."""
        whole = Context(self._kept)
        requests = [r for other in others for r in other.request_processor or ()]
        whole.request_processor = requests
        whole.request_ids = {n: _id_of(request) for n, request in enumerate(requests)}
        return whole

    def _request(self, idx: int) -> RequestProcessor:
        if self.request_processor is None:
            raise LookupError("there is no request while the model is loaded")
        return self.request_processor[idx]


def kept_for(model_dir: str, manifest: dict[str, Any] | None, batch_size: int) -> dict[str, Any]:
    """What the contexts of one worker have in common."""
    return {
        "model_name": MODEL_NAME,
        "manifest": manifest,
        "system_properties": {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": batch_size,
            "server_name": "InService",
            "server_version": __version__,
        },
    }


def _id_of(request: RequestProcessor) -> str:
    return (
        request.get_request_property("X-Amzn-SageMaker-Inference-Id")
        or request.get_request_property("X-Amzn-RequestId")
        or ""
    )
