"""The control plane: everything that no other plane claims, carried to control.

Bodies are streamed, and how long one may be is control's to say: a 413 of its own comes back before
the body has left.
"""

from __future__ import annotations

from typing import Final

from inservice.errors import AwsError
from inservice.gateway.answers import RequestIds
from inservice.gateway.carried import Carried, Places
from inservice.gateway.front import Exchange, GatewayConnection, Plane
from inservice.transport.client import Pool
from inservice.transport.framing import LENGTH_MAX
from inservice.transport.messages import Request

_AWAY: Final = "The control plane is not available just now."

_IN_XML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

PLACES: Final = 32
"""Bodies that one worker streams to control at once: control has a thousand descriptors for the
streams of all workers, and for all that it does itself. Honest ones are a megabyte, so that even 32
clients on a slow line let the next go on within seconds."""


class ControlPlane(Plane):
    """The APIs of AWS, and our own."""

    body_bytes_max = LENGTH_MAX

    def __init__(self, pool: Pool, request_ids: RequestIds) -> None:
        self._pool = pool
        self._request_ids = request_ids
        self._places = Places(PLACES)

    def claim(self, connection: GatewayConnection, request: Request) -> Exchange:
        """Whatever it is: this plane is asked last."""
        request_id = self._request_ids.next()
        return _ToControl(connection, request, request_id, self._pool, self._places, _AWAY)


class _ToControl(Carried):
    """A request on its way to control, and what is said when that is away."""

    def error_body(self, error: AwsError) -> bytes:
        """In the form that the request's client reads: one of a query service takes what is no XML
        for a broken answer, and does not try again."""
        form = (self.request.header(b"content-type") or b"").lower()
        if not form.startswith(b"application/x-www-form-urlencoded"):
            return super().error_body(error)
        return (
            f"<ErrorResponse><Error><Type>{error.fault}</Type><Code>{error.code}</Code>"
            f"<Message>{error.message.translate(_IN_XML)}</Message></Error>"
            f"<RequestId>{self.request_id.decode()}</RequestId></ErrorResponse>"
        ).encode()
