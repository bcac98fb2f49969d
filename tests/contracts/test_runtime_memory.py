"""That a process was killed for want of memory is said, and of no other that it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from inservice.runtimes import memory
from inservice.runtimes.base import InstanceState, Sight
from inservice.runtimes.memory import OomKills
from inservice.runtimes.process import records
from tests.contracts.runtime_stages import ProcessStage, process_stage, until
from tests.waiting import wait_until

LIMIT_BYTES = 192 * 1024 * 1024

EATER = """
def model_fn(model_dir):
    kept = []
    while True:
        kept.append(bytearray(b"x" * 2**20))
"""


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


def cgroup_with_little_memory() -> Path:
    """A cgroup for a fork server, where this host lets us make one."""
    name = f"inservice-test-{os.getpid()}"
    for parent, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        with suppress(OSError):
            group = parent / name
            group.mkdir()
            if not (group / limit).exists():
                group.rmdir()
                continue
            (group / limit).write_text(str(LIMIT_BYTES))
            return group
    pytest.skip("this host lets us make no memory cgroup")


@pytest.fixture
def little_memory() -> Iterator[Path]:
    group = cgroup_with_little_memory()
    yield group
    wait_until(lambda: is_left(group))


def is_left(group: Path) -> bool:
    """Whether nobody is in it any more and it is gone. Who is ending is in it to the last, and then
    no process that could be moved."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            (group.parent / "cgroup.procs").write_text(pid)
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


def test_a_model_that_the_kernel_kills_for_its_memory_says_so(
    little_memory: Path, stage: ProcessStage
) -> None:
    async def test() -> None:
        await stage.runtime.prepare()
        pid = stage.runtime.fork_server_pid()
        (little_memory / "cgroup.procs").write_text(str(pid))
        handle = await stage.runtime.launch(stage.spec(code=EATER))
        sight = await until(stage, handle, lambda s: s.state is InstanceState.GONE)
        assert (sight.signal, sight.out_of_memory) == ("SIGKILL", True)
        await stage.runtime.retire(handle, 5)
        other = await stage.runtime.launch(stage.spec())
        await until(stage, other, lambda s: s.state is InstanceState.READY)
        stage.kill(other)
        sight = await until(stage, other, lambda s: s.state is InstanceState.GONE)
        assert (sight.signal, sight.out_of_memory) == ("SIGKILL", False), "one kill, one death"
        await stage.runtime.retire(other, 5)
        (little_memory.parent / "cgroup.procs").write_text(str(pid))

    asyncio.run(test())


def test_a_kill_by_hand_is_none_for_memory(stage: ProcessStage) -> None:
    async def test() -> Sight:
        handle = await stage.runtime.launch(stage.spec("hangs"))
        await until(stage, handle, lambda s: s.last_lines == ("thinking",))
        os.kill(handle.pid, signal.SIGKILL)
        return await until(stage, handle, lambda s: s.state is InstanceState.GONE)

    assert asyncio.run(test()).out_of_memory is False


class Counted:
    """A host on which the kernel has killed so many."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = place / "memory.events"
        self.kill_count = 7
        self.logged: set[int] = set()
        self.write()
        monkeypatch.setattr(memory, "counter", lambda: self.file)
        monkeypatch.setattr(memory, "is_in_kernel_log", lambda pid, _: pid in self.logged)

    def write(self) -> None:
        self.file.write_text(f"low 0\noom 9\noom_kill {self.kill_count}\noom_group_kill 0\n")

    def kill(self) -> None:
        self.kill_count += 1
        self.write()


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(tmp_path, monkeypatch)


def test_each_kill_is_held_against_one_death(counted: Counted) -> None:
    kills = OomKills()
    assert not kills.claim(1, 0)
    counted.kill()
    counted.kill()
    assert [kills.claim(pid, 0) for pid in (1, 2, 3)] == [True, True, False]


def test_a_kill_that_no_death_followed_is_held_against_none(counted: Counted) -> None:
    """It was of a process that a model had started."""
    kills = OomKills()
    counted.kill()
    kills.look()
    assert kills.claim(1, 0), "the death may be a moment late"
    counted.kill()
    kills.look()
    kills.look()
    assert not kills.claim(2, 0)


def test_whom_the_kernel_names_is_certain_and_takes_no_others_kill(counted: Counted) -> None:
    kills = OomKills()
    counted.kill()
    counted.logged.add(5)
    assert kills.claim(5, 0)
    assert not kills.claim(6, 0), "the one that was counted is the one that was named"


def test_a_host_that_tells_nothing_is_asked_in_vain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "counter", lambda: tmp_path / "nothing")
    kills = OomKills()
    kills.look()
    assert not kills.claim(os.getpid(), 0)


def test_what_counts_here_is_found_and_readable() -> None:
    assert memory.kills(memory.counter()) >= 0
    with subprocess.Popen(["sleep", "60"]) as alive:
        assert not memory.is_in_kernel_log(alive.pid, records.start_ticks(alive.pid) or 0)
        alive.kill()
