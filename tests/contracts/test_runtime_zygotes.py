"""The fork server's loop and its zygotes, without a fork server around them."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from inservice.runtimes.process.protocol import Python
from inservice.runtimes.process.watch import Watch
from inservice.runtimes.process.zygotes import Zygotes
from tests.contracts.runtime_stages import PATIENCE_SECONDS


def run_until(watch: Watch, good: Callable[[], object]) -> None:
    """Run the loop until `good()`; a test that fails says so instead of hanging."""
    deadline = time.monotonic() + PATIENCE_SECONDS

    def look() -> None:
        assert time.monotonic() < deadline, "in vain"
        if good():
            watch.stop()
        else:
            watch.after(0.005, look)

    watch._stopping = False  # one loop serves until it is stopped; a test wants more than that
    look()
    watch.run()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def new_child(before: set[int]) -> int:
    (pid,) = children() - before
    return pid


def reap(pid: int) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, "it does not end"
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)


def python(*modules: str, **variables: str) -> Python:
    return Python(preimports=modules, variables=tuple(sorted(variables.items())))


def end(zygotes: Zygotes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all of them go."""
    monkeypatch.setattr("inservice.runtimes.process.zygotes.IDLE_SECONDS", -1.0)
    zygotes.rest(())


def test_a_zygote_is_shared_and_ends_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(python("json"), told.append)
    pid = new_child(before)
    zygotes.prepare(python("json"), told.append)
    run_until(watch, lambda: len(told) == 2)
    assert told == [None, None]
    zygotes.rest(())
    assert pid in children()  # it was used just now
    end(zygotes, monkeypatch)
    assert reap(pid) == 0


def test_a_zygote_goes_that_is_not_used_however_busy_another_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(python("json"), told.append)
    busy = new_child(before)
    zygotes.prepare(python("csv"), told.append)
    idle = new_child({*before, busy})
    run_until(watch, lambda: len(told) == 2)
    monkeypatch.setattr("inservice.runtimes.process.zygotes.IDLE_SECONDS", 0.0)
    zygotes.rest({python("json")})
    assert reap(idle) == 0
    assert busy in children()
    zygotes.rest(())
    assert reap(busy) == 0


def test_of_too_many_zygotes_the_one_used_longest_ago_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inservice.runtimes.process.zygotes.RUNNING_MAX", 2)
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    pids: dict[str, int] = {}
    for name in ("json", "csv"):
        zygotes.prepare(python(name), told.append)
        pids[name] = new_child({*before, *pids.values()})
    run_until(watch, lambda: len(told) == 2)
    zygotes.prepare(python("json"), told.append)  # used again: csv is the one to go
    zygotes.prepare(python("ast"), told.append)
    assert reap(pids.pop("csv")) == 0
    pids["ast"] = new_child({*before, *pids.values()})
    run_until(watch, lambda: len(told) == 4)
    end(zygotes, monkeypatch)
    assert [reap(pid) for pid in pids.values()] == [0, 0]


def test_a_zygote_has_what_its_image_sets_but_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(python("json", OMP_NUM_THREADS="8", MXNET_HOME="/there"), told.append)
    environment = psutil.Process(new_child(before)).environ()
    assert (environment["OMP_NUM_THREADS"], environment["MXNET_HOME"]) == ("1", "/there")
    run_until(watch, lambda: told)
    end(zygotes, monkeypatch)
    (pid,) = children() - before
    assert reap(pid) == 0


def test_whoever_waits_for_a_zygote_hears_that_it_was_killed_and_the_next_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(python("json"), told.append)
    pid = new_child(before)
    os.kill(pid, signal.SIGKILL)
    run_until(watch, lambda: told)
    assert told == ["the process that imports json ended; see its log"]
    assert reap(pid) != 0
    zygotes.prepare(python("json"), told.append)
    run_until(watch, lambda: len(told) == 2)
    assert told[1] is None
    end(zygotes, monkeypatch)
    assert reap(new_child(before)) == 0


THREADS = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
)
HANGS = "import time\ntime.sleep(600)"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (None, "ModuleNotFoundError: No module named 'odd_module'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        (THREADS, "2 threads run after it was imported, and a fork has one of them"),
        (HANGS, "it was not imported after 1 s"),
    ],
)
def test_what_cannot_be_imported_ahead_of_time_is_tried_once_said_once_and_done_without(
    code: str | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if code is not None:
        (tmp_path / "odd_module.py").write_text(code)
    if code == HANGS:
        monkeypatch.setattr("inservice.runtimes.process.zygotes.IMPORT_SECONDS_MAX", 1.0)
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    odd = python("odd_module", PYTHONPATH=str(tmp_path))
    zygotes.prepare(odd, told.append)
    pid = new_child(before)
    run_until(watch, lambda: told)
    assert told == [None], "one without it is ready"
    reap(pid)
    others = children() - before
    assert len(others) == 1
    zygotes.prepare(odd, told.append)
    assert told == [None, None]
    log = capfd.readouterr().err
    assert log.count("odd_module cannot be imported ahead of time") == 1
    assert f"{why}. Instances import it themselves." in log
    zygotes.rest([odd])
    assert children() - before == others, "instances of the one use the other"
    end(zygotes, monkeypatch)
    assert [reap(pid) for pid in others] == [0]


def test_what_a_zygote_said_before_it_ended_is_heard_though_it_was_asked_to_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The kernel tells first that the other end went with something unread."""
    (tmp_path / "odd_module.py").write_text("raise RuntimeError('no')")
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    odd = python("odd_module", PYTHONPATH=str(tmp_path))
    gate, other = socket.socketpair()
    with gate, other:
        assert zygotes.fork(odd, gate, gate.fileno())
        reap(new_child(before))  # before anything is heard
        run_until(watch, lambda: zygotes._unfit)
        assert zygotes.fork(odd, gate, gate.fileno())
    assert "RuntimeError: no. Instances import it themselves." in capfd.readouterr().err
    (pid,) = children() - before
    end(zygotes, monkeypatch)
    reap(pid)


def test_what_all_instances_need_and_cannot_be_imported_leaves_new_interpreters(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inservice.runtimes.process.zygotes.SERVER", ("gone", "json"))
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(python("gone", "json"), told.append)
    pid = new_child(before)
    run_until(watch, lambda: told)
    reap(pid)
    gate, other = socket.socketpair()
    with gate, other:
        assert not zygotes.fork(python("gone", "json"), gate, gate.fileno())
    zygotes.prepare(python("gone", "json"), told.append)
    said = "gone, json cannot be imported ahead of time; see the fork server's log"
    assert told == [said, said]
    assert children() == before
    log = capfd.readouterr().err
    assert log.count("Instances are started in new interpreters.") == 1
    monkeypatch.setattr("inservice.runtimes.process.zygotes.IDLE_SECONDS", 0.0)
    zygotes.prepare(python("gone", "json"), told.append)  # it may have been mended by then
    pid = new_child(before)
    end(zygotes, monkeypatch)
    reap(pid)


def test_things_that_are_due_come_in_order_and_forgotten_ones_not_at_all() -> None:
    watch, seen = Watch(), []
    reader, writer = os.pipe()
    other, other_writer = os.pipe()
    os.write(writer, b"x")
    os.write(other_writer, b"x")

    def first() -> None:
        seen.append("one descriptor")
        watch.forget(reader)
        watch.forget(other)

    watch.readable(reader, first)
    watch.readable(other, first)
    watch.after(0.02, lambda: seen.append("second"))
    watch.after(0.01, lambda: seen.append("first"))
    watch.after(0.03, watch.stop)
    watch.run()
    assert seen == ["one descriptor", "first", "second"]
    for fd in (reader, writer, other, other_writer):
        os.close(fd)
