"""GET /metrics, in front of the AWS services.

Prometheus cannot sign requests with Signature Version 4, so a scrape carries a bearer token that
was written to a file for it. The token opens this page and nothing else.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from inservice.telemetry.base import CONTENT_TYPE
from inservice.threads import Threads
from inservice.transport.messages import Request, Response

Answer = Callable[[Request], Response | Awaitable[Response]]

PATH = b"/metrics"


def with_metrics(
    answer: Answer, *, token: str, page: Callable[[], bytes], threads: Threads
) -> Answer:
    """`answer`, except for /metrics, which `page` renders in `threads` for who has the token."""
    expected = b"Bearer " + token.encode()

    def route(request: Request) -> Response | Awaitable[Response]:
        if request.path != PATH or request.method not in ("GET", "HEAD"):
            return answer(request)
        given = request.header(b"authorization") or b""
        if not hmac.compare_digest(given.strip(), expected):
            return Response(401, [(b"WWW-Authenticate", b'Bearer realm="metrics"')])
        return threads.run(rendered)

    def rendered() -> Response:
        return Response(200, [(b"Content-Type", CONTENT_TYPE.encode())], page())

    return route
