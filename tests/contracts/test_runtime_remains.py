"""Nothing that an instance started outlives it, however it got away."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from inservice.linux import boot_id
from inservice.runtimes.base import Handle, InstanceState
from inservice.runtimes.process import records, remains
from tests.contracts.runtime_stages import PATIENCE_SECONDS, ProcessStage, process_stage, until
from tests.meeting import SEEN_BY_BOTH

STARTING, READY, _, GONE = InstanceState

DAEMON = """
import ctypes, fcntl, os, resource, signal, subprocess, sys, threading, time

def daemonized(run):
    '''As books teach it: twice forked, in a session of its own, with nothing left of its parent but
    the lock by which the test knows that it runs.'''
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.environ.clear()
    os.chdir("/")
    lock = os.open(LOCK, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock, True)
    for fd in range(64):
        if fd != lock:
            try:
                os.close(fd)
            except OSError:
                pass
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    run()
    os._exit(0)

END = time.monotonic() + 60

def wait():
    while time.monotonic() < END:
        time.sleep(0.05)

def another_program():
    os.execve("/bin/sleep", ["kworker/u8:2"] + ["60"], {})

def generations():
    for _ in range(5):
        if os.fork():
            os._exit(0)
        os.setsid()
    wait()

def supervisor():
    while time.monotonic() < END:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child.wait()

def comets():
    '''Eight that never stay under one pid for longer than a fork takes.'''
    for _ in range(8):
        if os.fork() == 0:
            while time.monotonic() < END:
                if os.fork():
                    os._exit(0)
    os._exit(0)

def crowd():
    for _ in range(60):
        if os.fork() == 0:
            wait()
            os._exit(0)
    wait()

def unmarked():
    limit, _ = resource.getrlimit(10)
    if limit != resource.RLIM_INFINITY:
        resource.setrlimit(10, (limit - 1, limit - 1))
    wait()

def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)
    wait()

def headless():
    '''The main thread ends, another goes on: /proc calls such a process a zombie.'''
    threading.Thread(target=wait).start()
    ctypes.CDLL(None).pthread_exit(None)

daemonized(SHAPE)
while True:
    try:
        with open(LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        break
    time.sleep(0.01)
"""
"""A model that starts a daemon and goes on when that has its lock."""

SHAPES = [
    "wait",
    "another_program",
    "generations",
    "supervisor",
    "comets",
    "crowd",
    "unmarked",
    "stopped",
    "headless",
]


@pytest.fixture(scope="module")
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


@pytest.fixture
def alone() -> Iterator[ProcessStage]:
    """For tests that do things to the fork server."""
    with process_stage() as stage:
        yield stage


class Daemons:
    """What one instance started, known by a lock that all of it holds."""

    def __init__(self, stage: ProcessStage, shape: str, ending: str = "") -> None:
        number, name = tempfile.mkstemp(prefix="is-lock-", dir=SEEN_BY_BOTH)
        os.close(number)
        self.lock = Path(name)
        weakref.finalize(self, os.unlink, name)
        self.lock.chmod(0o666)  # the model may be another user than we are
        stage.root.chmod(0o711)
        code = f"LOCK, SHAPE = {str(self.lock)!r}, None\n{DAEMON}".replace(
            "daemonized(SHAPE)", f"daemonized({shape})"
        )
        handlers = (
            "def model_fn(model_dir):\n    return None\n"
            "def transform_fn(model, body, content_type, accept):\n    return b''\n"
        )
        self.spec = stage.spec(code=code + textwrap.dedent(ending) + handlers)

    def run(self) -> bool:
        with self.lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


async def ready(stage: ProcessStage, handle: Handle) -> None:
    sight = await until(stage, handle, lambda s: s.state is not STARTING)
    assert sight.state is READY, sight


def wait_for(good: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_an_instance_started_is_gone_when_it_is_retired(
    stage: ProcessStage, shape: str
) -> None:
    async def test() -> None:
        daemons = Daemons(stage, shape)
        handle = await stage.runtime.launch(daemons.spec)
        await ready(stage, handle)
        assert daemons.run()
        await stage.runtime.retire(handle, 5)
        assert not daemons.run()

    run(test)


@pytest.mark.parametrize("shape", ["wait", "another_program", "comets", "unmarked"])
@pytest.mark.parametrize(
    "ending", ["import os; os._exit(7)\n", "os.kill(os.getpid(), signal.SIGSEGV)\n"]
)
def test_what_an_instance_started_ends_when_it_ends_by_itself(
    stage: ProcessStage, shape: str, ending: str
) -> None:
    async def test() -> None:
        daemons = Daemons(stage, shape, ending)
        handle = await stage.runtime.launch(daemons.spec)
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert (sight.exit_code, sight.signal) in ((7, None), (None, "SIGSEGV"))
        assert not daemons.run(), "gone before the end is told"
        await stage.runtime.retire(handle, 5)

    run(test)


@pytest.mark.parametrize("killed", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("shape", ["wait", "another_program", "supervisor", "comets"])
def test_the_next_fork_server_ends_what_was_started_under_the_last(
    alone: ProcessStage, shape: str, killed: signal.Signals
) -> None:
    async def test() -> None:
        daemons = Daemons(alone, shape)
        handle = await alone.runtime.launch(daemons.spec)
        await ready(alone, handle)
        end_fork_server(alone, killed)
        assert daemons.run()
        alone.again()
        await alone.runtime.retire(handle, 5)
        assert not daemons.run()

    run(test)


@pytest.mark.parametrize("shape", ["wait", "another_program"])
def test_an_instance_that_ended_while_there_was_no_fork_server_leaves_nothing_either(
    alone: ProcessStage, shape: str
) -> None:
    async def test() -> None:
        daemons = Daemons(alone, shape)
        handle = await alone.runtime.launch(daemons.spec)
        await ready(alone, handle)
        end_fork_server(alone, signal.SIGKILL)
        alone.kill(handle)
        wait_for(lambda: records.start_ticks(handle.pid) is None, "its end")
        assert daemons.run()
        alone.again()
        await alone.runtime.prepare()
        assert not daemons.run()
        assert (await alone.runtime.look(handle)).state is GONE

    run(test)


def test_the_end_of_everything_is_the_end_of_what_was_left_by_the_dead(alone: ProcessStage) -> None:
    async def test() -> None:
        daemons = Daemons(alone, "wait")
        handle = await alone.runtime.launch(daemons.spec)
        await ready(alone, handle)
        end_fork_server(alone, signal.SIGKILL)
        alone.kill(handle)
        wait_for(lambda: records.start_ticks(handle.pid) is None, "its end")
        alone.again()
        await alone.runtime.shut_down(5)
        assert not daemons.run()

    run(test)


def test_what_others_started_is_left_alone(stage: ProcessStage, alone: ProcessStage) -> None:
    """Another instance's daemons, another server's instances, and whoever else is there."""
    mine, others = Daemons(stage, "wait"), Daemons(stage, "generations")
    theirs = Daemons(alone, "wait")

    async def test() -> None:
        my_handle = await stage.runtime.launch(mine.spec)
        other_handle = await stage.runtime.launch(others.spec)
        their_handle = await alone.runtime.launch(theirs.spec)
        for where, handle in ((stage, my_handle), (stage, other_handle), (alone, their_handle)):
            await ready(where, handle)
        being_born = asyncio.create_task(stage.runtime.launch(stage.spec()))
        await stage.runtime.retire(my_handle, 5)
        assert (mine.run(), others.run(), theirs.run()) == (False, True, True)
        newborn = await being_born
        await ready(stage, newborn)
        await stage.runtime.retire(newborn, 5)
        await stage.runtime.retire(other_handle, 5)
        assert (others.run(), theirs.run()) == (False, True)

    with subprocess.Popen(["sleep", "60"]) as bystander:
        run(test)
        assert bystander.poll() is None
        bystander.kill()


def record_of(leader: int) -> records.Record:
    return records.Record(
        instance_id="f/0",
        pid=leader,
        start_ticks=1,
        boot_id=boot_id(),
        cookie="0123456789abcdef",
        started_at=0.0,
        fork_seconds=0.0,
        address="unix:/x",
        log_path="/x",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="is an ordinary user already")
def test_an_ordinary_user_can_mark_and_end_what_is_his() -> None:
    child = os.fork()
    if child == 0:
        outcome = 1
        try:
            os.setresuid(65534, 65534, 65534)
            with subprocess.Popen(["sleep", "60"]) as leader:
                remains.mark(leader.pid, "0123456789abcdef")
                leader.kill()
            with subprocess.Popen(["sleep", "60"], start_new_session=True) as daemon:
                remains.mark(daemon.pid, "0123456789abcdef")
                was_there = remains.are_left([record_of(leader.pid)])
                ended = remains.kill([record_of(leader.pid)], [])
                outcome = 0 if was_there and ended and daemon.wait() == -signal.SIGKILL else 2
        finally:
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_where_no_mark_can_be_set_the_session_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that runs as a user, within somebody's instance, may lower the limit no further."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("resource.prlimit", refuse)
    leader = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; subprocess.Popen(['sleep', '60'])"],
        start_new_session=True,
    )
    remains.mark(leader.pid, "0123456789abcdef")
    record = record_of(leader.pid)
    leader.wait()
    assert remains.are_left([record])
    assert remains.kill([record], [])
    assert not remains.are_left([record])


def test_a_number_that_a_stranger_bears_now_is_no_session_of_ours() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        record = record_of(stranger.pid)
        assert remains.kill([record], [])
        assert stranger.poll() is None
        stranger.kill()


def end_fork_server(stage: ProcessStage, number: signal.Signals) -> None:
    pid = stage.runtime.fork_server_pid()
    assert pid is not None
    os.kill(pid, number)
    wait_for(lambda: records.start_ticks(pid) is None, "the fork server's end")
    assert not Path(f"/proc/{pid}/exe").exists()
