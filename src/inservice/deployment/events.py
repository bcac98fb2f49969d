"""Every transition of a deployment as a value, and its shape in AWS's EventBridge.

An event is small, is kept with the endpoint, and is what `inservice endpoint history` lists.
`as_eventbridge` makes of it what AWS documents: detail-type `SageMaker Endpoint State Change` when
the status of the endpoint changed and `SageMaker Endpoint Deployment State Change` for a stage of
a deployment, statuses in UPPER_SNAKE, times in epoch milliseconds. As on AWS, one change may be
told more than once: a turn that was decided and could not be saved is decided again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from inservice.hosting.endpoint import Endpoint


class DetailType(StrEnum):
    """AWS's two kinds of events about endpoints."""

    ENDPOINT = "SageMaker Endpoint State Change"
    DEPLOYMENT = "SageMaker Endpoint Deployment State Change"


@dataclass(frozen=True, slots=True)
class Event:
    """One transition: a status, a step, a hand control, a death of an instance, a warning."""

    at: float  # epoch seconds
    detail_type: DetailType
    deployment: str  # deployment id
    row: int
    status: str  # EndpointStatus after it
    doing: str  # of the step, in AWS's words
    message: str  # what happened, in a sentence for a person
    reason: str | None = None
    shares: Mapping[str, int] = field(default_factory=dict)  # planned basis points by fleet id
    sizes: Mapping[str, int] = field(default_factory=dict)  # wanted instances by fleet id


def as_eventbridge(
    happened: Event, endpoint: Endpoint, description: Mapping[str, Any], event_id: str
) -> dict[str, Any]:
    """The event as AWS's EventBridge delivers it. `description` is `describe(…)` of that moment.

    What AWS's event has no place for is under `detail.InService`.
    """
    detail = _in_event_spelling(dict(description))
    detail["EndpointStatus"] = upper_snake(happened.status)
    detail.setdefault("Tags", {})
    detail["InService"] = {
        "Deployment": happened.deployment,
        "Row": happened.row,
        "Step": happened.doing,
        "Message": happened.message,
        "Reason": happened.reason,
        "Shares": dict(happened.shares),
        "Sizes": dict(happened.sizes),
    }
    return {
        "version": "0",
        "id": event_id,
        "detail-type": happened.detail_type.value,
        "source": "aws.sagemaker",
        "account": endpoint.account,
        "time": datetime.fromtimestamp(happened.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": endpoint.region,
        "resources": [endpoint.arn],
        "detail": detail,
    }


def upper_snake(word: str) -> str:
    """InService → IN_SERVICE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()


def _in_event_spelling(value: Any) -> Any:
    """Statuses in UPPER_SNAKE, times in milliseconds, everything else as the API has it."""
    if isinstance(value, list):
        return [_in_event_spelling(item) for item in value]
    if not isinstance(value, dict):
        return value
    spelled: dict[str, Any] = {}
    for key, item in value.items():
        if key.endswith("Time") and isinstance(item, (int, float)):
            spelled[key] = round(item * 1000)
        elif key == "Status" and isinstance(item, str):
            spelled[key] = upper_snake(item)
        else:
            spelled[key] = _in_event_spelling(item)
    return spelled
