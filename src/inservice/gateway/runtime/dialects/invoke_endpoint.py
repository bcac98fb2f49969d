"""InvokeEndpoint: the whole answer of the model, as one answer of AWS's."""

from __future__ import annotations

from inservice.gateway.runtime.invoke import Dialect


class InvokeEndpoint(Dialect):
    """What all dialects have in common is all that it takes."""
