"""`inservice endpoint logs`: the last lines, and how much of the screen stands before each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from inservice.cli import log_events
from inservice.cli.endpoint.logs import briefly, in_full
from inservice.cli.log_events import events
from tests.cli.conftest import Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.terminal import terminal

pytestmark = pytest.mark.usefixtures("keys")

STREAM = "AllTraffic/214a738cf5-1-AllTraffic/0"


def event(number: int, at: float, message: str = "") -> dict[str, Any]:
    return {
        "logStreamName": STREAM,
        "timestamp": int(at * 1000),
        "message": message or f"line {number}",
        "eventId": str(number),
    }


class Logs:
    """CloudWatch Logs with these events: FilterLogEvents from a moment on, in pages."""

    def __init__(self, *there: dict[str, Any]) -> None:
        self.there = list(there)
        self.asked: list[int] = []

    def get_paginator(self, operation: str) -> Logs:
        assert operation == "filter_log_events"
        return self

    def paginate(self, *, startTime: int, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        self.asked.append(startTime)
        found = [one for one in self.there if one["timestamp"] >= startTime]
        for at in range(0, max(1, len(found)), 3):
            yield {"events": found[at : at + 3]}


def numbers(found: Iterator[dict[str, Any]]) -> list[int]:
    return [int(one["eventId"]) for one in found]


@pytest.mark.parametrize("count", [1, 3, 4, 9, 10, 11, 1000])
@pytest.mark.parametrize("age", [1, 90, 4_000, 80_000, 3_000_000])
def test_the_last_lines_however_old_they_are(count: int, age: int) -> None:
    begin = time.time() - age
    logs = Logs(*(event(number, begin + number / 100) for number in range(10)))
    found = numbers(events(logs, {"startTime": 0}, follow=False, tail=count))
    assert found == list(range(10))[-count:]


def test_a_busy_log_is_not_read_whole_for_its_last_lines() -> None:
    now = time.time()
    logs = Logs(*(event(number, now - 5_000 + number) for number in range(5_000)))
    assert len(numbers(events(logs, {"startTime": 0}, follow=False, tail=10))) == 10
    (asked,) = logs.asked
    assert asked > (now - 70) * 1000


def test_the_last_lines_since_a_moment() -> None:
    now = time.time()
    logs = Logs(*(event(number, now - 100 + 10 * number) for number in range(10)))
    since = int((now - 35) * 1000)
    assert numbers(events(logs, {"startTime": since}, follow=False, tail=100)) == [7, 8, 9]


def test_what_comes_after_the_last_lines_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more lines than were asked for are of the last moment."""
    monkeypatch.setattr(log_events, "_POLL_SECONDS", 0.001)
    now = time.time()
    logs = Logs(*(event(number, now - 10 + number // 3) for number in range(6)))
    following = events(logs, {"startTime": 0}, follow=True, tail=2)
    assert numbers(itertools.islice(following, 2)) == [4, 5]
    logs.there += [event(6, now - 9), event(7, now - 1)]
    assert numbers(itertools.islice(following, 2)) == [6, 7]


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", ""])
def test_no_number_of_lines_is_wrong_usage(count: str, inservice: Run, server: Recorder) -> None:
    server.play([Reply({"events": []})])
    ran = inservice("logs", "e", f"--tail={count}", "--endpoint-url", server.url)
    assert (ran.code, server.requests) == (2, [])


def test_a_line_of_a_file_says_everything() -> None:
    assert in_full(event(1, 1_700_000_000.123, "said\n")) == (
        f"2023-11-14T22:13:20.123Z {STREAM} said\n"
    )


def test_a_line_on_a_terminal_leaves_room_for_itself() -> None:
    line = briefly()
    first, second = line(event(1, 1_700_000_000.123)), line(event(2, 1_700_000_001))
    assert first == "── 2023-11-14 UTC ──\n22:13:20.123 1-AllTraffic/0 line 1\n"
    assert second == "22:13:21.000 1-AllTraffic/0 line 2\n"
    assert line(event(3, 1_700_010_000)).startswith("── 2023-11-15 UTC ──\n")


@pytest.mark.parametrize("stream", ["a" * 300, "v/i-1", f"{'v' * 63}/0a-12-{'v' * 63}/7", ""])
def test_no_stream_takes_half_of_eighty_columns(stream: str) -> None:
    shown = briefly()({**event(1, 1_700_000_000), "logStreamName": stream}).splitlines()[1]
    before = shown.removesuffix("line 1")
    assert len(before) <= 36
    assert stream[-3:] in before, "the end of a name tells instances apart"


def test_on_a_terminal_of_eighty_columns(server: Recorder) -> None:
    server.play([Reply({"events": [event(1, 1_700_000_000.123, "w" * 50)]})])
    words = ["logs", "e", "--since", "1d", "--endpoint-url", server.url]
    with terminal(*words, columns=80) as seen:
        assert seen.ended() == 0
        assert f"22:13:20.123 1-AllTraffic/0 {'w' * 50}" in seen.rows()
