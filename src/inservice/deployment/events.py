"""Every transition of a deployment as a value, and its shape in AWS's EventBridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DetailType(StrEnum):
    """AWS's two kinds of events about endpoints."""

    ENDPOINT = "SageMaker Endpoint State Change"
    DEPLOYMENT = "SageMaker Endpoint Deployment State Change"


@dataclass(frozen=True, slots=True)
class Event:
    """One transition: a status, a step, a hand control, a replacement of an instance, a warning."""

    at: float  # epoch seconds
    detail_type: DetailType
    deployment: str  # deployment id
    row: int
    status: str  # EndpointStatus after it
    doing: str  # of the step, in AWS's words; empty when no step is meant
    message: str  # what happened, in a sentence for a person
    reason: str | None = None
    shares: Mapping[str, int] = field(default_factory=dict)  # planned basis points by fleet id
    sizes: Mapping[str, int] = field(default_factory=dict)  # wanted instances by fleet id
