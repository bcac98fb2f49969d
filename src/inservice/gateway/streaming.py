"""InvokeEndpointWithResponseStream: the model's answer as events, each as it arrives.

Until the model's first byte an error is an ordinary one (424). From then on the status is out, and
an error is the last event of the stream.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from inservice.aws import eventstream
from inservice.gateway.invoke import Invocation
from inservice.gateway.relay import Relay
from inservice.transport.client import Failure
from inservice.transport.framing import ResponseHead

STREAM_SECONDS: Final = 480.0
"""How long a stream may take from the request to its end: AWS's eight minutes."""


class StreamedInvocation(Invocation):
    """An invocation whose answer is passed on part by part, in event-stream frames."""

    seconds_max = STREAM_SECONDS

    def part_received(self, part: bytes) -> None:
        """Pass it on at once, as one PayloadPart."""
        if self.failed:
            Invocation.part_received(self, part)
            return
        self.begin_stream()
        self.pass_on(eventstream.payload_part(part))

    def begin_stream(self) -> None:
        """With the first part: the head, and the time it took."""
        if self.passing:
            return
        if self.tally is not None:
            self.tally.first_chunks.append(perf_counter() - self.sent_at)
        self.length = None  # whatever the model's body measures, ours is in frames
        self.begin_passing()

    def answer_ended(self) -> None:
        """An empty answer is an empty stream."""
        if not self.failed:
            self.begin_stream()
        Invocation.answer_ended(self)

    def client_head(self, head: ResponseHead) -> bytes:
        """The model's own type goes into a header of its own."""
        content_type = head.fields.get(b"content-type", b"application/octet-stream")
        return b"%bX-Amzn-SageMaker-Content-Type: %b\r\n%b" % (
            self.head_lines(eventstream.CONTENT_TYPE),
            content_type,
            self.model_lines(head),
        )

    def answer_failed(self, failure: Failure, why: str) -> None:
        """After the first byte it is an error of the stream as well."""
        if self.passing and self.tally is not None:
            self.tally.mid_stream_errors += 1
        Invocation.answer_failed(self, failure, why)

    def broken_off(self, failure: Failure) -> None:
        """Tell the client as an event, then end the stream properly."""
        if failure is Failure.TIMED_OUT:
            code, words = "ModelInvocationTimeExceeded", "The model took too long."
        else:
            code, words = "StreamBroken", "The model's stream broke off."
        members = {"Message": words, "ErrorCode": code}
        self.pass_on(eventstream.exception("ModelStreamError", members))
        Relay.answer_ended(self)
