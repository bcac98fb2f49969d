"""What DescribeEndpoint shows, from endpoint, deployment and the facts last seen."""

from __future__ import annotations

from typing import Any

from inservice.deployment.facts import Facts
from inservice.deployment.state import Deployment
from inservice.hosting.endpoint import Endpoint


def describe(endpoint: Endpoint, deployment: Deployment, facts: Facts) -> dict[str, Any]:
    """DescribeEndpointOutput's members, in AWS's case; times are epoch seconds."""
    raise AssertionError("pending")
