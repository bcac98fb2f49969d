"""What is asked of a model: an invocation, or what a family's container answers beside those."""

from __future__ import annotations

from collections.abc import Mapping

from inservice.modelserver.context import Context, RequestProcessor


class Call:
    """One invocation as the handlers see it."""

    __slots__ = ("accept", "body", "content_type", "context", "fields")

    def __init__(
        self, body: bytes, content_type: str, accept: str, fields: Mapping[bytes, bytes]
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.accept = accept
        self.fields = fields
        """The headers, names in lower case; of one that came twice the last."""
        self.context: Context | None = None
        """Made only for a program that asks for one."""

    @property
    def request(self) -> RequestProcessor | None:
        """What the context was told of the answer."""
        requests = self.context.request_processor if self.context is not None else None
        return requests[0] if requests else None


class Beside:
    """A request to another path than /invocations, which its framework `serves`."""

    __slots__ = ("call", "method", "path", "query")

    def __init__(self, call: Call, method: str, path: str, query: str) -> None:
        self.call = call
        self.method = method
        self.path = path
        """Not decoded, without the query."""
        self.query = query
        """What follows the first `?`, not decoded."""
