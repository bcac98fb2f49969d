"""The events of a log group, each once, from a moment on: for `logs tail` and `endpoint logs`."""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError
from collections import deque
from collections.abc import Iterator, Sequence
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


def begin_ms(written: str) -> int:
    """The type of --since: wrong usage must end as such, before anything is asked. Stricter than
    `logs tail`, which reads `5min` as five minutes after midnight, as AWS CLI does."""
    try:
        if not re.fullmatch(r"\d+[smhdw]", written):
            datetime.fromisoformat(written)
        return max(0, since_ms(written))
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(
            f"{written!r} is no age and no time; write 30s, 10m, 2h, 1d or 2026-01-02T03:04:05Z"
        ) from error


def events(
    logs: Any, request: dict[str, Any], *, follow: bool, tail: int | None = None
) -> Iterator[dict[str, Any]]:
    """The events that a FilterLogEvents request finds; with `follow` those to come, for ever.

    With `tail` only so many of those that are there, the last ones. Every event comes once, though
    the service answers those of the last moment again.
    """
    shown: set[str] = set()
    newest_ms = request["startTime"]
    if tail is not None:
        last, shown = _last(logs, request, tail)
        yield from last
        newest_ms = last[-1]["timestamp"] if last else newest_ms
        if not follow:
            return
    while True:
        last_ms, at_last = newest_ms, set[str]()
        for event in _found(logs, {**request, "startTime": newest_ms}):
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


def _last(
    logs: Any, request: dict[str, Any], count: int
) -> tuple[Sequence[dict[str, Any]], set[str]]:
    """The last events of a request, oldest first, and the ids of all of the very last moment."""
    begin_ms, now = request["startTime"], time.time()
    back_ms = [int((now - seconds) * 1000) for seconds in _LOOKING_BACK_SECONDS]
    kept: deque[dict[str, Any]] = deque(maxlen=count)
    at_last: set[str] = set()
    for from_ms in [*(ms for ms in back_ms if ms > begin_ms), begin_ms]:
        kept.clear()
        for event in _found(logs, {**request, "startTime": from_ms}):
            if not kept or event["timestamp"] > kept[-1]["timestamp"]:
                at_last = set()
            at_last.add(event.get("eventId", ""))
            kept.append(event)
        if len(kept) == count:
            break
    return kept, at_last


def moment(epoch_ms: int) -> datetime:
    """The time of an event, in UTC."""
    return datetime.fromtimestamp(epoch_ms / 1000.0, UTC)
