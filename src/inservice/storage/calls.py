"""One request to S3, read and allowed, and its answer: what operations are given and give.

    @operation("HeadBucket")
    def head_bucket(call: Call) -> Answer: ...

An operation runs in a thread, sees neither sockets nor signatures, and knows members by the names
of AWS's model. The body of an object has come before it is called (`Call.received`), and leaves
after it has answered (`Answer.body`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inservice.blobs.base import Blobs, Checksum, Incoming, Reading
from inservice.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Received:
    """The body of PutObject or UploadPart: all of it came, and every digest that was stated of it
    was right."""

    incoming: Incoming
    md5: str  # hex
    checksum: Checksum | None
    """The one that the client stated, in a header or a trailer, or asked for by
    `x-amz-sdk-checksum-algorithm`; else the default of S3, CRC64NVME."""


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks for what."""

    operation: str  # as AWS's model names it
    members: Mapping[str, Any]  # of its input, without Body
    caller: Principal
    account: str  # of the caller; "" for anybody
    region: str
    now: float  # epoch seconds
    request_id: str
    blobs: Blobs
    may: Callable[[str, str], bool]
    """Whether the caller may do something else as well, for what an operation only finds out while
    it works: each key of DeleteObjects, ListBucket to be told that a key is not there."""
    received: Received | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an object that is the body of an answer. Whoever sends it closes the reading."""

    reading: Reading
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told."""

    members: Mapping[str, Any] = field(default_factory=dict)  # of the operation's output
    status: int | None = None  # None: the model's
    headers: tuple[tuple[str, str], ...] = ()  # that the model has no member for
    body: Span | bytes | None = None


Operation = Callable[[Call], Answer]
OPERATIONS: dict[str, Operation] = {}
"""By name. What is not in it is NotImplemented."""


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register what performs an operation of S3's model."""

    def register(performs: Operation) -> Operation:
        OPERATIONS[name] = performs
        return performs

    return register
