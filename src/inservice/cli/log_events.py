"""The events of a log group, each once, from a moment on: for `logs tail` and `endpoint logs`."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

_POLL_SECONDS: Final = 1.0
"""Between two questions for what is new. AWS CLI waits five; a local server is not rationed."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_LOOKING_BACK_SECONDS: Final = (60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400)
"""How far back the last lines are looked for, further and further until there are enough: a busy
endpoint has them in its last minute, and its whole log would be read for them otherwise."""


def since_ms(written: str) -> int:
    """The moment that `10m` or an ISO 8601 timestamp means, in epoch milliseconds.

    Raises ValueError.
    """
    age = re.match(r"(\d+)([smhdw])$", written)
    if age:
        return int((time.time() - int(age[1]) * _UNITS[age[2]]) * 1000)
    from botocore.utils import datetime2timestamp, parse_timestamp

    return int(datetime2timestamp(parse_timestamp(written)) * 1000)


def events(
    logs: Any, request: dict[str, Any], *, follow: bool, tail: int | None = None
) -> Iterator[dict[str, Any]]:
    """The events that a FilterLogEvents request finds; with `follow` those to come, for ever.

    With `tail` only so many of those that are there, the last ones. Every event comes once, though
    the service answers those of the last moment again.
    """
    shown: set[str] = set()
    newest_ms = request["startTime"]
    first = None if tail is None else _last(logs, request, tail)
    while True:
        found = _found(logs, {**request, "startTime": newest_ms}) if first is None else first
        first = None
        last_ms, at_last = newest_ms, set[str]()
        for event in found:
            if event["timestamp"] > last_ms:
                last_ms, at_last = event["timestamp"], set()
            if event["timestamp"] == last_ms:
                at_last.add(event.get("eventId", ""))
            if event.get("eventId", "") not in shown:
                yield event
        if not follow:
            return
        # Only these can be answered again: the next question begins at their moment.
        shown = at_last if last_ms > newest_ms else shown | at_last
        newest_ms = last_ms
        time.sleep(_POLL_SECONDS)


def _found(logs: Any, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for page in logs.get_paginator("filter_log_events").paginate(**request):
        yield from page["events"]


def _last(logs: Any, request: dict[str, Any], count: int) -> Iterable[dict[str, Any]]:
    """The last events of a request, oldest first."""
    begin_ms, now = request["startTime"], time.time()
    for seconds in _LOOKING_BACK_SECONDS:
        from_ms = int((now - seconds) * 1000)
        if from_ms <= begin_ms:
            break
        found = deque(_found(logs, {**request, "startTime": from_ms}), maxlen=count)
        if len(found) == count:
            return found
    return deque(_found(logs, request), maxlen=count)


def moment(epoch_ms: int) -> datetime:
    """The time of an event, in UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000.0, UTC)
