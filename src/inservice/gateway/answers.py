"""What a client gets to see: the headers of an answer, and errors in AWS's words."""

from __future__ import annotations

import os
from typing import Final

from inservice.errors import AwsError
from inservice.partitions import partition_of
from inservice.routing import EndpointRoute
from inservice.transport.messages import STATUS_LINES

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


_TAILS: Final = [b"%03x" % number for number in range(0x1000)]


class RequestIds:
    """Ids that look like UUIDs: random per worker, then counted. 0.1 µs where uuid4 is 3.8.

    Their last three digits are looked up; the rest is written anew for each 4,096 of them.
    """

    __slots__ = ("_count", "_head", "_prefix")

    def __init__(self) -> None:
        random = os.urandom(8).hex()
        self._prefix = (
            f"{random[:8]}-{random[8:12]}-4{random[12:15]}-8{os.urandom(2).hex()[:3]}".encode()
        )
        self._count = int.from_bytes(os.urandom(4), "big")
        self._head = b""

    def next(self) -> bytes:
        """An id that no other request of this worker has."""
        count = self._count = self._count + 1
        tail = count & 0xFFF
        if not tail or not self._head:
            self._head = b"%b-%09x" % (self._prefix, count >> 12)
        return self._head + _TAILS[tail]


def error_answer(error: AwsError, body: bytes, request_id: bytes, ending: bytes) -> bytes:
    """An error on the runtime API's wire (rest-json). `ending` is further header lines."""
    return b"".join(
        (
            STATUS_LINES[error.status],
            b"x-amzn-requestid: %b\r\nx-amzn-errortype: %b\r\n" % (request_id, error.code.encode()),
            b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body),
            ending,
            b"\r\n",
            body,
        )
    )
