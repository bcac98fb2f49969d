"""What is kept of sticky sessions, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from inservice.errors import ValidationError
from inservice.gateway.runtime.sessions import Session, Sessions

ENDPOINT = ("000000000000", "us-east-1", "e")


def test_sessions_that_ended_by_themselves_leave_no_file_behind(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    sessions.tidy(0.0)  # there is none yet, nor a directory
    sessions.open(ENDPOINT, b"long", Session("f/0", 10_000.0))
    sessions.open(ENDPOINT, b"short", Session("f/0", 100.0))
    sessions.tidy(99.0)
    assert len(list((tmp_path / "sessions").iterdir())) == 2
    sessions.tidy(100.0)
    assert len(list((tmp_path / "sessions").iterdir())) == 1
    another_worker = Sessions(tmp_path / "sessions")
    assert another_worker.find(ENDPOINT, b"long", 100.0).instance_id == "f/0"
    with pytest.raises(ValidationError):
        another_worker.find(ENDPOINT, b"short", 100.0)


def test_a_session_that_there_is_no_room_for_is_not_opened(tmp_path: Path) -> None:
    directory = tmp_path / "sessions"
    sessions = Sessions(directory)
    assert sessions.open(ENDPOINT, b"id", Session("f/0", 100.0))
    (kept,) = directory.iterdir()
    in_the_way = kept.with_name(f"{kept.name}.new")
    in_the_way.mkdir()  # what is written cannot be
    assert not sessions.open(ENDPOINT, b"id", Session("f/1", 200.0))
    assert Sessions(directory).find(ENDPOINT, b"id", 50.0).instance_id == "f/0"
    in_the_way.rmdir()
    assert sessions.open(ENDPOINT, b"id", Session("f/1", 200.0)), "there is room again"
