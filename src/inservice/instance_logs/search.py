"""A search through a group: the matching events that fit an answer, a page of work at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inservice.cloudwatch.logs.patterns import Pattern
from inservice.cloudwatch.logs.work import EVENT_BYTES, PAGE
from inservice.instance_logs.base import LogEvent, order

ANSWER_BYTES_MAX = 1024 * 1024
"""Of one answer, AWS's limit."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and after which event to go on; None if it saw all."""

    events: list[LogEvent]
    stopped_at: tuple[int, str, int] | None


def search(events: Iterable[LogEvent], pattern: Pattern, limit: int) -> Found:
    """The first matching events, `limit` at most. It ends where they fill an answer, and after a
    page of work: an answer may be empty and have a token, as on AWS."""
    found: list[LogEvent] = []
    size = characters = 0
    for scanned, event in enumerate(events, 1):
        characters += len(event.message)
        if pattern.matches(event.message):
            found.append(event)
            size += len(event.message.encode()) + EVENT_BYTES
        full = len(found) >= limit or size >= ANSWER_BYTES_MAX
        if full or pattern.workload.done(scanned, characters) >= PAGE:
            return Found(found, order(event))
    return Found(found, None)
