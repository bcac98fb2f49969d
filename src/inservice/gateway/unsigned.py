"""The plane for who has not signed. It tells anybody these three things and nothing else:

    GET /ping    200: this worker is alive
    GET /ready   200: it serves all that it should; 503: not yet, not any more, or not everything
    GET /        what this is and where its documentation is, for a person with a browser

Load balancers cannot sign. What they are told has no name, no number and no version in it: a
stranger learns that InService is here, which its other answers give away as well.
"""

from __future__ import annotations

from typing import Final

from inservice.gateway.answers import RequestIds
from inservice.gateway.balance.instances import Instances
from inservice.gateway.front import Exchange, GatewayConnection, Plane
from inservice.gateway.routed import Routed
from inservice.transport.client import Client
from inservice.transport.messages import STATUS_LINES, Request

_BODY_BYTES_MAX: Final = 64 * 1024
"""Of a request that asks something which has no body: taken, and read by nobody."""

_TEXT: Final = b"text/plain; charset=utf-8"

_PAGE: Final = b"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>InService</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto }</style>
<h1>InService</h1>
<p>Amazon SageMaker's model hosting, self-hosted. This address is for programs: AWS's SDKs and
command line speak to it with <code>--endpoint-url</code> and an access key of this server.</p>
<p>To begin, on the machine that it runs on: <code>inservice env</code> prints what a client needs,
and <code>inservice help</code> what there is to do. The documentation is in the folder
<code>docs</code> of the source, from <code>docs/README.md</code> on.</p>
<p>Load balancers ask <a href="/ping"><code>/ping</code></a> and
<a href="/ready"><code>/ready</code></a>.</p>
</html>
"""

_STRICT: Final = (
    b"content-security-policy: default-src 'none'; style-src 'unsafe-inline'; "
    b"frame-ancestors 'none'\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n"
)
"""The page has no script and fetches nothing, and nobody may frame it or make it do so."""


class Readiness:
    """Whether a worker serves what it should; looked up at most as often as its sweep goes by, for
    anybody may ask."""

    __slots__ = ("_client", "_instances", "_known", "_looked_at", "_routes", "_version")

    def __init__(self, routes: Routed, client: Client, instances: Instances) -> None:
        self._routes = routes
        self._client = client
        self._instances = instances
        self._known = False
        self._looked_at = -1.0
        self._version = -1

    def now(self) -> bool:
        """It has a table, and for each endpoint in it an instance that is not known to be gone."""
        table, now = self._routes.table, self._client.now
        if (now, table.version) != (self._looked_at, self._version):
            self._looked_at, self._version = now, table.version
            gone = self._instances.unreachable(now)
            self._known = table.version >= 0 and all(
                any(
                    instance.id not in gone
                    for fleet in route.fleets
                    for instance in fleet.instances
                )
                for route in table.endpoints.values()
            )
        return self._known


class UnsignedPlane(Plane):
    """What anybody may ask."""

    body_bytes_max = _BODY_BYTES_MAX

    def __init__(self, readiness: Readiness, request_ids: RequestIds) -> None:
        self.readiness = readiness
        self._request_ids = request_ids

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange | None:
        """Three targets, to the letter; a page for who has a browser and no signature."""
        target, fields = request.target, request.fields
        if request.method not in ("GET", "HEAD") or target not in (b"/", b"/ping", b"/ready"):
            return None
        if target == b"/" and (
            b"authorization" in fields or b"text/html" not in fields.get(b"accept", b"").lower()
        ):
            return None
        return _Told(connection, request, self._request_ids.next(), self.readiness)


class _Told(Exchange):
    """An answer that is known already."""

    def __init__(
        self,
        connection: GatewayConnection,
        request: Request,
        request_id: bytes,
        readiness: Readiness,
    ) -> None:
        super().__init__(connection, request, request_id)
        self._readiness = readiness

    def body_part(self, part: bytes) -> None:
        """Nothing was asked for."""

    def begin(self) -> None:
        """Say it."""
        connection, request = self.connection, self.request
        if request.target == b"/ping":
            head, body = _said(200, _TEXT, b"alive\n")
        elif request.target == b"/":
            head, body = _said(200, b"text/html; charset=utf-8", _PAGE)
        elif connection.server.draining or not self._readiness.now():
            head, body = _said(503, _TEXT, b"not ready\n")
        else:
            head, body = _said(200, _TEXT, b"ready\n")
        head += connection.server.date + connection.closing_header(request) + b"\r\n"
        connection.write(head if request.method == "HEAD" else head + body)
        connection.answered_by(self, request)


def _said(status: int, content_type: bytes, body: bytes) -> tuple[bytes, bytes]:
    head = b"%bcontent-type: %b\r\ncache-control: no-store\r\n%bcontent-length: %d\r\n"
    return head % (STATUS_LINES[status], content_type, _STRICT, len(body)), body
