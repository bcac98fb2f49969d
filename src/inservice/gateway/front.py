"""What the gateway tells anybody, without a signature. These three and nothing else:

    GET /ping    200: this worker is alive
    GET /ready   200: it serves all that it should; 503: not yet, not any more, or not everything
    GET /        what this is and where its documentation is, for a person with a browser

Load balancers cannot sign. What they are told has no name, no number and no version in it: a
stranger learns that InService is here, which its other answers give away as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inservice.transport.messages import STATUS_LINES, Request

if TYPE_CHECKING:
    from inservice.gateway.connection import Gateway

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

    __slots__ = ("_known", "_looked_at", "_version")

    def __init__(self) -> None:
        self._known = False
        self._looked_at = -1.0
        self._version = -1

    def of(self, gateway: Gateway) -> bool:
        """It has a table, and for each endpoint in it an instance that is not known to be gone."""
        now, version = gateway.client.now, gateway.routes.table.version
        if (now, version) != (self._looked_at, self._version):
            self._looked_at, self._version = now, version
            gone = gateway.instances.unreachable(now)
            self._known = version >= 0 and all(
                any(
                    instance.id not in gone
                    for fleet in route.fleets
                    for instance in fleet.instances
                )
                for route in gateway.routes.table.endpoints.values()
            )
        return self._known


def open_answer(request: Request, gateway: Gateway, draining: bool) -> tuple[bytes, bytes] | None:
    """(head but for its last lines, body) for who has not signed; None if it must be signed."""
    if request.method not in ("GET", "HEAD"):
        return None
    target = request.target
    if target == b"/ping":
        return _said(200, _TEXT, b"alive\n")
    if target == b"/ready":
        if draining or not gateway.readiness.of(gateway):
            return _said(503, _TEXT, b"not ready\n")
        return _said(200, _TEXT, b"ready\n")
    fields = request.fields
    if target == b"/" and b"text/html" in fields.get(b"accept", b"").lower():
        return (
            None if b"authorization" in fields else _said(200, b"text/html; charset=utf-8", _PAGE)
        )
    return None


def _said(status: int, content_type: bytes, body: bytes) -> tuple[bytes, bytes]:
    head = b"%bcontent-type: %b\r\ncache-control: no-store\r\n%bcontent-length: %d\r\n"
    return head % (STATUS_LINES[status], content_type, _STRICT, len(body)), body
