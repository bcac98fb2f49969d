"""Hand controls beside the AWS API: pause, resume, promote, abort, undo, and the plan beforehand."""

from __future__ import annotations

from inservice.deployment.state import Decision, Deployment
from inservice.hosting.endpoint import Endpoint


def pause(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Stay on the present row; alarms and failures still roll back, no time counts."""
    raise AssertionError("pending")


def resume(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Go on after `pause`."""
    raise AssertionError("pending")


def promote(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Skip the rest of the present hold; ends a pause too."""
    raise AssertionError("pending")


def abort(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Roll back now."""
    raise AssertionError("pending")


def undo(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """Begin an update back to the previous config, all at once."""
    raise AssertionError("pending")
