"""The fork server's loop and its zygotes, without a fork server around them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

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


def test_zygotes_end_when_nobody_needs_them() -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    zygotes.prepare(("json",), told.append)
    pid = new_child(before)
    zygotes.prepare(("json",), told.append)
    run_until(watch, lambda: len(told) == 2)
    assert told == [None, None]
    zygotes.end()
    assert reap(pid) == 0


@pytest.mark.parametrize("killed", [False, True])
def test_whoever_waits_for_a_zygote_hears_that_it_ended(killed: bool) -> None:
    told: list[Any] = []
    watch, before = Watch(), children()
    zygotes = Zygotes(watch)
    module = "json" if killed else "a_module_that_nobody_has"
    zygotes.prepare((module,), told.append)
    pid = new_child(before)
    if killed:
        os.kill(pid, signal.SIGKILL)
    run_until(watch, lambda: told)
    assert told == [f"the process that imports {module} ended; see its log"]
    assert reap(pid) != 0
    zygotes.end()


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
