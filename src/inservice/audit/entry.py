"""One line of the audit trail: a call, told without anything that was in it.

Of a request there are the ARNs of what it touched and nothing else of its members: no policy, no
environment of a model, no secret can get here. What a caller chooses freely, its user agent and
the names in ARNs, is cut to a length, so that every line has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

DONE: Final = "OK"
"""Outcome of a call that was answered with success."""

UNKNOWN: Final = "Unknown"
"""Outcome of a call during which control was killed: it may have come to pass, or not."""

AGENT_MAX: Final = 256
"""Characters of a user agent. boto3's are half as long."""

RESOURCES_CHARACTERS_MAX: Final = 4_000
"""Of all ARNs of a call together: forty of a usual length."""

ARN_MAX: Final = 2_048
"""Characters of one ARN, as AWS's models have it."""

LINE_BYTES_MAX: Final = 32 * 1024
"""No line is longer: JSON writes a character in up to six bytes."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A call that changes something, or was denied."""

    time: str
    """When it was asked: ISO 8601, UTC, milliseconds. All are of one length, and sort as text."""
    principal: str
    """ARN of who asked."""
    access_key_id: str
    action: str
    """IAM's name for it: `sagemaker:CreateEndpoint`."""
    resources: tuple[str, ...]
    """ARNs of all that it touches, `*` where it has none; of access keys their ids, which are no
    secrets."""
    region: str
    outcome: str
    """`OK`, the error's code, or `Unknown`."""
    request_id: str
    source_address: str = ""
    """Of the client, as the gateway saw it; behind a proxy it is the proxy's."""
    user_agent: str = ""
    more_resources: int = 0
    """So many beside those of `resources`, for which there was no room in a line."""
    unwritten_before: int = 0
    """So many denials came before this one, faster than they are written down."""

    @property
    def is_denial(self) -> bool:
        """Whether it was refused because whoever asked may not do it."""
        return self.outcome.startswith("AccessDenied")


_DECODER = msgspec.json.Decoder(Entry)
_ENCODER = msgspec.json.Encoder()


def entry_of(
    *,
    at: float,
    principal: str,
    access_key_id: str,
    action: str,
    resources: Iterable[str],
    region: str,
    outcome: str,
    request_id: str,
    source_address: str | None,
    user_agent: bytes | None,
    unwritten_before: int = 0,
) -> Entry:
    """What a line says, cut to what a line has room for. `at` is in epoch seconds."""
    kept, left, more = [], RESOURCES_CHARACTERS_MAX, 0
    for arn in dict.fromkeys(resources):
        if len(arn) <= min(left, ARN_MAX):
            kept.append(_clean(arn))
            left -= len(arn)
        else:
            more += 1
    return Entry(
        time=moment(at),
        principal=_clean(principal[:ARN_MAX]),
        access_key_id=_clean(access_key_id[:128]),
        action=_clean(action[:128]),
        resources=tuple(kept),
        region=_clean(region[:64]),
        outcome=outcome,
        request_id=_clean(request_id[:64]),
        source_address=source_address or "",
        user_agent=(user_agent or b"").decode("utf-8", "replace")[:AGENT_MAX],
        more_resources=more,
        unwritten_before=unwritten_before,
    )


def moment(at: float) -> str:
    """A time as entries tell it."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


def line_of(entry: Entry) -> bytes:
    """The line, with its end."""
    return _ENCODER.encode(entry) + b"\n"


def entry_in(line: bytes) -> Entry | None:
    """What a line says; None for one that is torn or damaged, or was written by nobody of us."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _clean(text: str) -> str:
    """Without halves of characters, which UTF-8 cannot write and a name can have."""
    return text.encode("utf-8", "replace").decode()
