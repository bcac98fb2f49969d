"""Old logs go, logs of what runs stay, and the server's own never grows without end."""

from __future__ import annotations

import os
from pathlib import Path

from inservice.artifacts.limits import Limits
from inservice.artifacts.store import ArtifactStore
from inservice.clock import SystemClock
from inservice.controller.upkeep.tidying import (
    ENDED_SECONDS,
    Tidying,
    cut_log,
    forget_logs,
)
from inservice.runtimes.base import Handle
from inservice.store.drivers.database import open_store
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from tests.acceptance.server import archive
from tests.contracts.store_records import session

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


def test_what_runs_keeps_its_files_though_no_record_names_its_fleet(tmp_path: Path) -> None:
    """The record of its endpoint was set aside, so nobody else knows of the fleet."""
    url = f"sqlite:///{tmp_path / 'inservice.db'}"
    store = open_store(url, key_file=tmp_path / "key")
    artifacts = ArtifactStore(
        tmp_path / "artifacts",
        Limits(cache_bytes_max=1),
        s3=lambda: None,
        file_roots=[tmp_path],
    )
    recorder = Recorder(open_metrics(url), NOW)
    told: list[set[str]] = []
    tidying = Tidying(
        store,
        artifacts,
        recorder,
        SystemClock(),
        log_dir=tmp_path / "logs",
        running=list,
        short=str,
        fleets_left=lambda fleets: told.append(set(fleets)),
    )
    places = {}
    for fleet in ("g1-1-v", "g2-1-v"):
        source = archive(tmp_path / f"{fleet}.tar.gz", {"name.txt": fleet})
        places[fleet] = artifacts.fetch(source, pin=fleet).path
    for pin in (tmp_path / "artifacts" / "pins").iterdir():
        os.utime(pin, (NOW - 1e9, NOW - 1e9))  # no longer so fresh that they are kept in any case
    running = Handle("g1-1-v/0", "process", "unix:/s", 1, NOW, None)
    tidying.turn(NOW, [running])
    assert (places["g1-1-v"] / "name.txt").read_text() == "g1-1-v"
    assert not places["g2-1-v"].exists()
    assert told == [{"g1-1-v"}], "and the image that it runs"
    recorder.close()
    store.close()


def test_sessions_are_forgotten_some_time_after_their_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'inservice.db'}"
    store = open_store(url, key_file=tmp_path / "key")
    artifacts = ArtifactStore(tmp_path / "a", Limits(), s3=lambda: None, file_roots=[tmp_path])
    recorder = Recorder(open_metrics(url), NOW)
    tidying = Tidying(
        store,
        artifacts,
        recorder,
        SystemClock(),
        log_dir=tmp_path / "logs",
        running=list,
        short=str,
        fleets_left=lambda _: None,
    )
    with store.transaction() as tx:
        tx.sessions.add(session("ASIALIVE", ends=NOW + 1))
        tx.sessions.add(session("ASIAENDED", ends=NOW - 1))
        tx.sessions.add(session("ASIALONGAGO", ends=NOW - ENDED_SECONDS - 1))
    tidying.turn(NOW, [])
    with store.reading() as records:
        assert {key.id for key in records.sessions.all()} == {"ASIALIVE", "ASIAENDED"}
    recorder.close()
    store.close()


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
