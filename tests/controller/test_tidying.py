"""Old logs go, logs of what runs stay, and the server's own never grows without end."""

from __future__ import annotations

import os
from pathlib import Path

from inservice.controller.upkeep.tidying import cut_log, forget_logs

NOW = 2_000_000_000.0


def written(path: Path, at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a line\n")
    os.utime(path, (at, at))
    return path


def test_old_logs_go_and_their_directories_with_them(tmp_path: Path) -> None:
    old = written(tmp_path / "a" / "r" / "gone" / "v" / "0.log", NOW - 100)
    silent = written(tmp_path / "a" / "r" / "live" / "v" / "0.log", NOW - 100)
    fresh = written(tmp_path / "a" / "r" / "live" / "v" / "1.log", NOW - 1)
    forget_logs(tmp_path, NOW - 50, frozenset({silent}))
    assert not old.exists()
    assert not (tmp_path / "a" / "r" / "gone").exists()
    assert silent.exists()
    assert fresh.exists()


def test_nothing_to_forget_is_nothing_to_do(tmp_path: Path) -> None:
    forget_logs(tmp_path / "absent", NOW, frozenset())
    assert list(tmp_path.iterdir()) == []


def test_a_long_log_begins_anew_for_those_who_hold_it_open(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    with path.open("ab", buffering=0) as held:
        held.write(b"x" * 100)
        cut_log(path, 1_000)
        assert path.stat().st_size == 100
        cut_log(path, 50)
        held.write(b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "server.log.1").read_bytes() == b"x" * 100
    cut_log(tmp_path / "absent", 1)
