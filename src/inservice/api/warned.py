"""What an operation had to say beside its answer, in a header that AWS does not have.

SDKs keep every header of an answer (boto3 under ResponseMetadata.HTTPHeaders) and act on none that
they do not know, so it is for people and for our own command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inservice.transport.messages import Response

HEADER = b"x-inservice-warning"

BETWEEN = " | "
"""Between one warning and the next; there is one header, since SDKs keep one of each name."""


def with_warnings(answer: Response, warnings: Sequence[str]) -> Response:
    """The answer, with its warnings if there are any."""
    if not warnings:
        return answer
    said = BETWEEN.join(warnings).encode("ascii", "backslashreplace")
    return replace(answer, headers=(*answer.headers, (HEADER, said)))
