"""What the protocols have in common: replies, errors as a model knows them, and moments in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from inservice.aws.service_model import Service
from inservice.errors import AuthenticationError, AwsError, SerializationException

Headers = list[tuple[bytes, bytes]]
"""Header fields, names spelled as AWS spells them."""

SECONDS_MIN, SECONDS_MAX = -62_135_596_800.0, 253_402_300_799.999
"""The years 1 to 9999, all that ISO 8601 and every client can tell."""


class Reply(NamedTuple):
    """An answer, ready for a server to send."""

    status: int
    headers: Headers
    body: bytes


class Fault(NamedTuple):
    """An error as it goes over the wire."""

    name: str  # the shape's name where it is modelled
    query_code: str  # what the query protocol calls it
    status: int
    sender: bool  # whose fault: the sender's, or the receiver's
    message: str
    members: Mapping[str, Any]  # modelled fields beside the message
    query_status: int  # of an answer in the query protocol


_IN_QUERY = {
    "AccessDeniedException": ("AccessDenied", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "SerializationException": ("MalformedInput", 400),
    "ThrottlingException": ("Throttling", 400),
}
"""What the query services call errors that no model of theirs names, and their status: those about
who asks, how often, and what is no form. SDKs know credentials that are of no use, and a server
that wants to be asked later, by these codes."""


def fault_of(service: Service | None, error: AwsError) -> Fault:
    """An error in the words of a service's model, where the model knows it by name or by code. Not
    of one about who asks: STS's model has ExpiredTokenException for another kind of token."""
    modelled = not isinstance(error, AuthenticationError)
    shape = service.errors.get(error.code) if service and modelled else None
    sender = error.fault == "Sender"
    if shape is None:
        code, status = _IN_QUERY.get(error.code, (error.code, error.status))
        return Fault(error.code, code, error.status, sender, error.message, error.members, status)
    status = shape.status or error.status
    code = shape.code or shape.name
    return Fault(shape.name, code, status, shape.sender_fault, error.message, error.members, status)


def milliseconds(moment: float) -> float | int:
    """Epoch seconds as the wire tells them: to the millisecond, whole ones without `.0`."""
    rounded = round(moment, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def iso(moment: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, with milliseconds only where there are some."""
    rounded = round(moment * 1000)
    text = datetime.fromtimestamp(rounded // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rounded % 1000:03d}Z" if rounded % 1000 else f"{text}Z"


def from_iso(text: str) -> float:
    """Epoch seconds of an ISO 8601 moment; one without an offset is in UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def within_years(moment: float, path: str) -> float:
    """The moment, if it is one that can be told. Raises SerializationException."""
    if not (math.isfinite(moment) and SECONDS_MIN <= moment <= SECONDS_MAX):
        raise SerializationException(f"Value at '{path}' is not a moment between years 1 and 9999.")
    return float(moment)
