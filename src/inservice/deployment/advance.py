"""One turn of one endpoint. Pure: the same endpoint, deployment, facts and time decide the same."""

from __future__ import annotations

from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.hosting.endpoint import Endpoint


def advance(endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float) -> Decision:
    """Decide what to remember and what to do."""
    raise AssertionError("pending")
