"""What a client hears when the model has failed, in AWS's words."""

from __future__ import annotations

from typing import Final

from inservice.errors import AwsError
from inservice.partitions import partition_of
from inservice.routing.table import EndpointRoute

MESSAGE_MAX: Final = 2048
"""The longest Message and OriginalMessage, by the model of the runtime API."""


class ModelError(AwsError):
    """The model answered with an error, or not at all: 424, with what it said."""

    code = "ModelError"
    status = 424
    fault = "Sender"

    def __init__(self, route: EndpointRoute, status: int, said: str, what: str = "") -> None:
        """`status` is the model's own, 0 if it gave none. `what` refines the code for readers."""
        fault = "client" if 400 <= status < 500 else "server"
        group = f"/aws/sagemaker/Endpoints/{route.name}"
        # AWS's sentence, with a place that exists here where it names its console.
        before = f'Received {fault} error ({status}) from primary with message "'
        after = (
            f'". See `inservice endpoint logs {route.name}` (log group {group}) '
            f"in account {route.account} for more information."
        )
        logs = f"arn:{partition_of(route.region)}:logs:{route.region}:{route.account}"
        # What the model said is cut so that the sentence around it stays whole: clients match it.
        room = MESSAGE_MAX - len(before) - len(after)
        members = {
            "OriginalStatusCode": status,
            "OriginalMessage": said[:MESSAGE_MAX],
            "LogStreamArn": f"{logs}:log-group:{group}",
            "ErrorCode": what
            or ("CLIENT_ERROR_FROM_MODEL" if fault == "client" else "INTERNAL_FAILURE_FROM_MODEL"),
        }
        super().__init__(before + said[:room] + after, members=members)


TIMED_OUT: Final = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)
