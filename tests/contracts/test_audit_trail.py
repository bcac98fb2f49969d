"""The audit trail's files: whole lines, durable before they are told, none lost by a kill or a full
disk, and the oldest gone when there are too many."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.audit.entry import (
    DONE,
    LINE_BYTES_MAX,
    UNKNOWN,
    Entry,
    entry_in,
    entry_of,
    line_of,
)
from inservice.audit.files import Lines
from inservice.audit.reading import Reader
from inservice.audit.trail import DENIALS_A_SECOND, DENIALS_AT_ONCE, Trail
from inservice.errors import InsufficientStorage
from inservice.reserve import Reserve
from tests.volumes import Volume, mounted

AT = 1_767_323_045.678  # 2026-01-02T03:04:05.678Z


def entry(number: int = 1, **other: Any) -> Entry:
    told: dict[str, Any] = {
        "at": AT + number,
        "principal": "arn:aws:iam::000000000000:user/ana",
        "access_key_id": "AKIAANA",
        "action": "sagemaker:CreateEndpoint",
        "resources": ("arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",),
        "region": "us-east-1",
        "outcome": UNKNOWN,
        "request_id": f"request-{number}",
        "source_address": "192.0.2.7",
        "user_agent": b"Boto3/1.40",
    }
    return entry_of(**{**told, **other})


def change(trail: Trail, number: int, outcome: str = DONE) -> None:
    trail.end(trail.begin(entry(number)), outcome)


def told(directory: Path) -> list[tuple[str, str]]:
    return [(one.request_id, one.outcome) for one in Reader(directory).new()]


def paths(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ── a line ──────────────────────────────────────────────────────────────────────────────────────
def test_a_line_is_json_with_the_names_that_are_documented() -> None:
    assert json.loads(line_of(entry(0))) == {
        "time": "2026-01-02T03:04:05.678Z",
        "principal": "arn:aws:iam::000000000000:user/ana",
        "accessKeyId": "AKIAANA",
        "action": "sagemaker:CreateEndpoint",
        "resources": ["arn:aws:sagemaker:us-east-1:000000000000:endpoint/e"],
        "region": "us-east-1",
        "outcome": "Unknown",
        "requestId": "request-0",
        "sourceAddress": "192.0.2.7",
        "userAgent": "Boto3/1.40",
    }


@given(
    st.text(max_size=5_000) | st.text('\0\n\\"\ud800', min_size=3_000, max_size=4_000),
    st.lists(st.text(max_size=3_000) | st.text("\0\ud800", min_size=1_500, max_size=2_048)),
    st.binary(max_size=1_000),
)
def test_whatever_a_caller_chooses_is_one_line_of_a_length(
    name: str, arns: list[str], agent: bytes
) -> None:
    one = entry(principal=name, resources=arns, user_agent=agent, region=name, request_id=name)
    line = line_of(one)
    assert len(line) <= LINE_BYTES_MAX
    assert line.count(b"\n") == 1
    assert entry_in(line) == one
    assert len(one.resources) + one.more_resources == len(set(arns))


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b'{"time":"2026', b"\xff\xfe\n", b"[" * 9999]
)
def test_what_is_no_line_says_nothing(line: bytes) -> None:
    assert entry_in(line) is None


# ── files ───────────────────────────────────────────────────────────────────────────────────────
def test_a_full_file_is_followed_by_the_next_and_the_oldest_are_removed(tmp_path: Path) -> None:
    trail = Trail(tmp_path, kept=3, file_bytes=1_000)
    for number in range(30):
        change(trail, number)
    trail.close()
    kept = told(tmp_path)
    assert kept == [(f"request-{number}", "OK") for number in range(30 - len(kept), 30)]
    assert len(kept) >= 6
    assert len([name for name in paths(tmp_path) if name.startswith("changes-")]) == 3
    assert all((tmp_path / name).stat().st_size <= 1_000 for name in paths(tmp_path)[1:])
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o600 for name in paths(tmp_path))
    change(again := Trail(tmp_path, kept=2, file_bytes=1_000), 30)
    again.close()
    assert len([name for name in paths(tmp_path) if name.startswith("changes-")]) == 2
    assert told(tmp_path)[-1] == ("request-30", "OK")


def test_denials_push_no_change_out(tmp_path: Path) -> None:
    seconds = itertools.count()
    trail = Trail(tmp_path, kept=2, file_bytes=1_000, seconds=lambda: next(seconds))
    change(trail, 1)
    for number in range(2, 200):
        trail.denied(entry(number, outcome="AccessDeniedException"))
    trail.close()
    found = told(tmp_path)
    assert found[0] == ("request-1", "OK")
    assert found[-1] == ("request-199", "AccessDeniedException")
    assert len(found) < 20


def test_of_too_many_denials_some_are_written_and_all_are_counted(tmp_path: Path) -> None:
    now = [0.0]
    trail = Trail(tmp_path, kept=2, seconds=lambda: now[0])
    for number in range(DENIALS_AT_ONCE + 50):
        trail.denied(entry(number, outcome="AccessDeniedException"))
    assert len(told(tmp_path)) == DENIALS_AT_ONCE
    now[0] = 1.0
    for number in range(1_000, 1_100):
        trail.denied(entry(number, outcome="AccessDeniedException"))
    trail.close()
    later = list(Reader(tmp_path).new())[DENIALS_AT_ONCE:]
    assert [one.unwritten_before for one in later] == [50, *[0] * (DENIALS_A_SECOND - 1)]


@pytest.mark.parametrize("left", [b'{"time":"20', b"\0" * 70_000, b'{"a":1}', b"{" * 200_000])
def test_what_is_left_of_a_line_is_taken_away(left: bytes, tmp_path: Path) -> None:
    trail = Trail(tmp_path, kept=2)
    change(trail, 1)
    trail.close()
    path = tmp_path / "changes-000001.jsonl"
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(left)
    assert told(tmp_path) == [("request-1", "OK")], "a reader passes it over"
    trail = Trail(tmp_path, kept=2)
    assert path.read_bytes() == whole
    change(trail, 2)
    trail.close()
    assert told(tmp_path) == [("request-1", "OK"), ("request-2", "OK")]
    path.write_bytes(left.replace(b"\n", b""))
    Trail(tmp_path, kept=2).close()
    assert path.read_bytes() == b"", "one without any whole line"


def test_who_waits_at_the_same_time_shares_a_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(tmp_path, "changes", kept=2)
    syncs: list[int] = []
    go_on, entered = threading.Event(), threading.Event()
    really = os.fdatasync

    def slowly(descriptor: int) -> None:
        syncs.append(descriptor)
        entered.set()
        if len(syncs) == 1:
            assert go_on.wait(30)
        really(descriptor)

    monkeypatch.setattr(os, "fdatasync", slowly)
    threads = [
        threading.Thread(target=lines.append, args=(line_of(entry(number)),)) for number in range(9)
    ]
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    while lines._written < 9:
        pass
    go_on.set()
    for thread in threads:
        thread.join(30)
    lines.close()
    assert len(syncs) == 2
    assert len(told(tmp_path)) == 9


def test_a_file_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    trail = Trail(tmp_path, kept=2)
    change(trail, 1)
    (tmp_path / "changes-000001.jsonl").rename(tmp_path / "elsewhere")
    change(trail, 2)
    trail.close()
    assert told(tmp_path) == [("request-2", "OK")]


def test_a_reader_follows_over_the_end_of_a_file(tmp_path: Path) -> None:
    trail, reader = Trail(tmp_path, kept=3, file_bytes=1_000), Reader(tmp_path)
    seen: list[str] = []
    for number in range(12):
        change(trail, number)
        seen += [one.request_id for one in reader.new()]
    trail.close()
    assert seen == [f"request-{number}" for number in range(12)]
    assert list(reader.new()) == []
    (tmp_path / "denials-000001.jsonl").write_bytes(b"garbage\n" + line_of(entry(99)))
    assert [one.request_id for one in reader.new()] == ["request-99"]
    assert reader.unreadable == 1


# ── killed ──────────────────────────────────────────────────────────────────────────────────────
def test_what_was_under_way_is_told_by_the_next(tmp_path: Path) -> None:
    trail = Trail(tmp_path, kept=2)
    change(trail, 1)
    trail.begin(entry(2))
    trail.begin(entry(3))
    trail.close()  # as a kill leaves it
    again = Trail(tmp_path, kept=2)
    assert told(tmp_path)[0] == ("request-1", "OK")
    assert set(told(tmp_path)[1:]) == {("request-2", UNKNOWN), ("request-3", UNKNOWN)}
    change(again, 4)
    again.close()
    Trail(tmp_path, kept=2).close()
    assert len(told(tmp_path)) == 4, "once each"


def test_a_line_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """A kill between the line and the emptying of its slot."""
    trail = Trail(tmp_path, kept=2)
    begun = trail.begin(entry(1))
    trail._changes.append(line_of(msgspec.structs.replace(begun.entry, outcome=DONE)))
    trail.close()
    Trail(tmp_path, kept=2).close()
    assert told(tmp_path) == [("request-1", "OK")]


WRITER = """
import sys
from pathlib import Path
from inservice.audit.trail import Trail
from tests.contracts.test_audit_trail import entry
import threading
trail = Trail(Path(sys.argv[1]), kept=50, file_bytes=2_000)
first = int(sys.argv[2])
said = threading.Lock()
def write(numbers):
    for number in numbers:
        with said:
            print("begins", number, flush=True)
        begun = trail.begin(entry(number))
        with said:
            print("begun", number, flush=True)
        trail.end(begun, "OK")
        with said:
            print("done", number, flush=True)
for n in range(3):
    threading.Thread(target=write, args=(range(first + n, first + 10_000, 3),)).start()
"""


def test_a_writer_that_is_killed_again_and_again_loses_no_line(tmp_path: Path) -> None:
    """All that was told to be there is there, whole, once; what was begun is told, done or not;
    and nothing is told of that never began."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    said: dict[str, set[str]] = {"begins": set(), "begun": set(), "done": set()}
    for life in range(4):
        words = [sys.executable, "-c", WRITER, str(tmp_path), str(life * 10_000)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            heard = [writer.stdout.readline() for _ in range(chance.randrange(3, 120))]
            assert all(heard), seed
            writer.send_signal(signal.SIGKILL)
            heard += writer.stdout.readlines()
        for line in heard:
            if line.endswith("\n"):
                what, number = line.split()
                said[what].add(f"request-{number}")
    Trail(tmp_path, kept=50, file_bytes=2_000).close()
    outcomes = dict(found := told(tmp_path))
    assert len(outcomes) == len(found), seed
    assert {outcomes.get(each) for each in said["done"]} == {DONE}, seed
    assert said["begun"] <= set(outcomes) <= said["begins"], seed


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def volume() -> Iterator[Volume]:
    with mounted(8, inodes=120) as made:
        (made.path / "data").mkdir()
        yield made


Fill = Callable[[], None]


@pytest.fixture(params=["bytes", "inodes"])
def fill(request: pytest.FixtureRequest, volume: Volume) -> Fill:
    return volume.fill if request.param == "bytes" else volume.fill_inodes


def test_on_a_full_disk_a_change_is_told_by_the_reserve(volume: Volume, fill: Fill) -> None:
    reserve = Reserve(volume.path / "data")
    directory = volume.path / "data" / "audit"
    trail = Trail(directory, kept=3, room=reserve.giving, file_bytes=4_096)
    reserve.hold()
    fill()
    for number in range(40):
        change(trail, number)
    trail.denied(entry(99, outcome="AccessDeniedException"))  # it may be written, or not
    trail.close()
    assert told(directory)[-1][0] in ("request-39", "request-99")
    assert not [outcome for _, outcome in told(directory) if outcome == UNKNOWN]


def test_without_any_room_nothing_is_changed_and_nothing_is_lost(volume: Volume) -> None:
    directory = volume.path / "data" / "audit"
    trail = Trail(directory, kept=3)
    volume.fill()
    begun: list[tuple[str, str]] = []

    def go_on() -> None:
        for number in range(1_000):
            two = trail.begin(entry(number)), trail.begin(entry(number + 10_000))
            for each in two:
                trail.end(each, DONE)
                begun.append((each.entry.request_id, DONE))

    with pytest.raises(InsufficientStorage, match="no room for what was changed last"):
        go_on()
    assert begun
    assert len(told(directory)) < len(begun)
    (volume.path / "filler").unlink()
    change(trail, 5_000)
    begun.append(("request-5000", DONE))
    trail.close()
    assert sorted(told(directory)) == sorted(begun)


def test_what_has_no_room_outlives_a_kill(volume: Volume) -> None:
    directory = volume.path / "data" / "audit"
    trail = Trail(directory, kept=3)
    volume.fill()
    done: list[tuple[str, str]] = []

    def go_on() -> None:
        for number in range(1_000):
            change(trail, number)
            done.append((f"request-{number}", DONE))

    with pytest.raises(InsufficientStorage):
        go_on()
    trail.close()
    trail = Trail(directory, kept=3)
    with pytest.raises(InsufficientStorage):
        trail.begin(entry(2_000))
    (volume.path / "filler").unlink()
    trail.close()
    Trail(directory, kept=3).close()
    assert told(directory) == done


def test_a_disk_that_fails_refuses_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail(tmp_path, kept=2)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    begun = trail.begin(entry(1))
    monkeypatch.setattr(os, "fdatasync", fail)
    trail.end(begun, DONE)
    trail.denied(entry(2, outcome="AccessDeniedException"))
    with pytest.raises(InsufficientStorage):
        trail.begin(entry(3))
    monkeypatch.undo()
    change(trail, 4)
    trail.close()
    assert [each for each in dict(told(tmp_path)) if each != "request-2"] == [
        "request-1",
        "request-4",
    ]
