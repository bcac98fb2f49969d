"""What a handler that asks for a `context` is given: the request's headers, and the answer's.

The methods are those of the contexts that SageMaker's inference toolkits pass, with their `idx`,
which is always 0 here, so that handlers written for AWS run unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Context:
    """One invocation, or for `model_fn` the start of the instance. Not shared between requests."""

    __slots__ = (
        "_headers",
        "response_content_type",
        "response_headers",
        "response_status",
        "system_properties",
    )

    def __init__(self, headers: Mapping[bytes, bytes], model_dir: str) -> None:
        self._headers = headers
        self.system_properties: dict[str, Any] = {"model_dir": model_dir, "gpu_id": None}
        self.response_status = 200
        self.response_content_type: str | None = None
        self.response_headers: dict[str, str] = {}

    def get_request_id(self, idx: int = 0) -> str | None:
        """The caller's InferenceId, if it gave one."""
        return self.get_request_header(idx, "X-Amzn-SageMaker-Inference-Id")

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        """A header of the request, whatever the case of its name."""
        value = self._headers.get(key.lower().encode())
        return None if value is None else value.decode("latin-1")

    def get_request_property(self, key: str) -> str | None:
        """The same under its other name."""
        return self.get_request_header(0, key)

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:  # noqa: ARG002
        """All headers of the request, names in lower case."""
        return {k.decode("latin-1"): v.decode("latin-1") for k, v in self._headers.items()}

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002
        """Add a header to the answer, as X-Amzn-SageMaker-Custom-Attributes.

        The gateway passes on what SageMaker does: the content type, the custom attributes and the
        session headers. Raises ValueError for a value that would not stay in its line.
        """
        if not (key.isascii() and value.isprintable() and value.isascii()):
            raise ValueError(f"the response header {key!r} may hold only visible ASCII characters")
        self.response_headers[key.lower()] = value

    def add_response_property(self, key: str, value: str) -> None:
        """The same under its other name."""
        self.set_response_header(0, key, value)

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Say what the answer is, instead of what `Accept` asked for."""
        self.set_response_header(idx, "content-type", value)
        self.response_content_type = self.response_headers.pop("content-type")

    def set_response_status(
        self,
        code: int = 200,
        phrase: str = "",  # noqa: ARG002
        idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Answer with another status. Raises ValueError outside 200 to 599."""
        if not 200 <= code <= 599:
            raise ValueError(f"{code} is not a status to answer with")
        self.response_status = code
