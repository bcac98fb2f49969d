"""SageMaker's inference toolkit, which runs in TorchServe and in multi-model-server.

Every error is a 500 there, also that of a content type, unless it brings a status of its own; its
body is the message with the traceback below. Here it is the message with the last line of the
traceback: the frames are in the log, since they may tell of the payload and of this host.
"""

from __future__ import annotations

from inservice.modelserver import encoding, failures
from inservice.transport.messages import Response


class UnsupportedFormatError(Exception):
    """A content type that no default handler reads, or writes; its text is the toolkit's."""

    def __init__(self, content_type: str | None) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Please implement input_fn to to deserialize the request data or an output_fn to\n"
            "serialize the response. For more information, see the SageMaker Python SDK README."
        )


def toolkit_failure(error: BaseException) -> Response:
    """What the toolkit answers: the message, and the traceback's last line below it."""
    response = failures.failure(error)
    status = 500 if isinstance(error, encoding.Unacceptable) else response.status
    return failures.refusal(status, f"{failures.text_of(error)}\n{failures.said_by(error)}")
