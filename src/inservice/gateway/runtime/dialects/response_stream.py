"""InvokeEndpointWithResponseStream: the model's answer as events, each as it arrives.

Until the model's first byte an error is an ordinary one (424). From then on the status is out, and
an error is the last event of the stream.
"""

from __future__ import annotations

from typing import Final

from inservice.aws import eventstream
from inservice.gateway.runtime.invoke import Dialect, Invocation
from inservice.transport.framing import ResponseHead
from inservice.transport.upstream import Failure

STREAM_SECONDS: Final = 480.0
"""How long a stream may take from the request to its end: AWS's eight minutes."""


class ResponseStream(Dialect):
    """The answer is passed on part by part, in event-stream frames."""

    seconds_max = STREAM_SECONDS

    def part_received(self, invocation: Invocation, part: bytes) -> None:
        """Pass it on at once, as one PayloadPart."""
        _begin(invocation)
        invocation.size += len(part)
        invocation.pass_on(eventstream.payload_part(part))

    def empty_answer(self, invocation: Invocation) -> None:
        """It is an empty stream."""
        _begin(invocation)

    def client_head(self, invocation: Invocation, head: ResponseHead) -> bytes:
        """The model's own type goes into a header of its own."""
        content_type = head.fields.get(b"content-type", b"application/octet-stream")
        lines = invocation.head_lines(head, eventstream.CONTENT_TYPE)
        return b"%bX-Amzn-SageMaker-Content-Type: %b\r\n" % (lines, content_type)

    def broken_off(self, invocation: Invocation, failure: Failure) -> None:
        """Tell the client as an event, then end the stream properly."""
        if failure is Failure.TIMED_OUT:
            code, words = "ModelInvocationTimeExceeded", "The model took too long."
        else:
            code, words = "StreamBroken", "The model's stream broke off."
        members = {"Message": words, "ErrorCode": code}
        invocation.pass_on(eventstream.exception("ModelStreamError", members))
        invocation.finish()


def _begin(invocation: Invocation) -> None:
    """With the first part: the head, and the time it took."""
    if not invocation.passing:
        invocation.stream_begins()
        invocation.length = None  # whatever the model's body measures, ours is in frames
        invocation.begin_passing()
