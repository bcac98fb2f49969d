"""Instances that get no more than their type has: in control groups of this host's kernel, where it
lets us make some, and in a directory that stands for those of another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inservice.hosting.resources import Resources
from inservice.runtimes.base import Handle, InstanceState, LaunchSpec, Sight
from inservice.runtimes.process import cgroups
from inservice.runtimes.process.cgroups import Cgroups, Hierarchy, NoCgroups, Unified
from inservice.runtimes.process.protocol import Limit
from tests.contracts.runtime_stages import ProcessStage, changed, process_stage, until
from tests.modelserver.unix_http import call
from tests.waiting import wait_until

MIB = 2**20
SMALL = Resources("ml.small", 1, 160 * MIB)

EATER = """
import threading
kept = []
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    wanted = int(data)
    for _ in range(wanted):
        kept.append(bytearray(b"x" * 2**20))
    return str(len(kept)), "text/plain"
"""

STARTS_ANOTHER = """
import subprocess, sys
def model_fn(model_dir):
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                            start_new_session=True)
def transform_fn(model, data, content_type, accept):
    return str(model.pid), "text/plain"
"""


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with process_stage() as made:
        try:
            groups_of(made).prepare()
        except NoCgroups as why:
            pytest.skip(f"this host lets us limit nobody: {why}")
        yield made


def groups_of(stage: ProcessStage) -> Cgroups:
    return Cgroups(stage.run_dir.absolute())


def limited(spec: LaunchSpec, has: Resources = SMALL) -> LaunchSpec:
    return replace(spec, workload=replace(spec.workload, resources=has), is_limited=True)


def left(stage: ProcessStage) -> list[Path]:
    """The groups that there are of this run directory."""
    hierarchy: Hierarchy = groups_of(stage).prepare()
    return [place for name in hierarchy.names() for place in hierarchy.places(name)]


async def ready(stage: ProcessStage, handle: Handle) -> Sight:
    return await until(stage, handle, lambda sight: sight.state is InstanceState.READY)


async def gone(stage: ProcessStage, handle: Handle) -> Sight:
    return await until(stage, handle, lambda sight: sight.state is InstanceState.GONE)


def test_it_may_have_what_its_type_has_and_ends_with_what_is_more(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(limited(stage.spec(code=EATER)))
        other = await stage.runtime.launch(stage.spec(code=EATER))
        await ready(stage, handle)
        await ready(stage, other)
        assert call(handle.address, b"40").body == b"40"
        assert call(other.address, b"200").body == b"200"
        with pytest.raises(Exception):  # noqa: B017, PT011 - however a connection ends
            call(handle.address, b"400")
        sight = await gone(stage, handle)
        assert sight.out_of_memory
        assert sight.memory_bytes_max == SMALL.memory_bytes
        assert (await stage.runtime.look(other)).state is InstanceState.READY

    asyncio.run(test())
    assert not left(stage)


def test_a_limited_one_that_somebody_else_kills_did_not_run_out(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(limited(stage.spec()))
        await ready(stage, handle)
        stage.kill(handle)
        sight = await gone(stage, handle)
        assert (sight.signal, sight.out_of_memory) == ("SIGKILL", False)

    asyncio.run(test())


def test_all_that_it_starts_is_within_and_goes_with_it(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(limited(stage.spec(code=STARTS_ANOTHER)))
        await ready(stage, handle)
        child = int(call(handle.address, b"").body)
        places = left(stage)
        assert places
        for place in places:
            assert {str(handle.pid), str(child)} <= set(
                (place / "cgroup.procs").read_text().split()
            )
        await stage.runtime.retire(handle, 0.0)
        wait_until(lambda: not Path(f"/proc/{child}").exists())

    asyncio.run(test())
    wait_until(lambda: not left(stage))


def test_the_next_fork_server_knows_whose_groups_are_left(stage: ProcessStage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(limited(stage.spec(code=EATER)))
        await ready(stage, handle)
        stale, sleeper = groups_of(stage), _sleeper()
        stale.enter("feedfeedfeedfeed", Limit(vcpus=1, memory_bytes=64 * MIB), sleeper.pid)
        server = stage.runtime.fork_server_pid()
        assert server is not None
        os.kill(server, 9)
        wait_until(lambda: not Path(f"/proc/{server}").exists())
        await stage.runtime.check_limits()  # a new one
        assert len(left(stage)) == len(stale.prepare().places("x")), "of the living one alone"
        assert sleeper.wait() == -9
        with pytest.raises(Exception):  # noqa: B017, PT011
            call(handle.address, b"400")
        assert (await gone(stage, handle)).out_of_memory

    asyncio.run(test())
    assert not left(stage)


def _sleeper() -> subprocess.Popen[bytes]:
    """Of an earlier server."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


# ── version 2, in a directory that stands for it ────────────────────────────────────────────────
def unified(root: Path, *, controllers: str = "cpuset cpu io memory pids") -> Path:
    root.mkdir(exist_ok=True)
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").write_text("")
    (root / "cgroup.procs").write_text("")
    return root


def test_of_version_2_a_limit_is_written_where_the_kernel_reads_it(tmp_path: Path) -> None:
    groups = Unified(unified(tmp_path), "is-", is_root=True)
    groups.prepare()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    written = {
        str(path.relative_to(tmp_path)): value
        for path, value in groups.limit("c00c1e", Limit(vcpus=6, memory_bytes=8 * 2**30))
    }
    assert written == {
        "is-c00c1e/cpu.max": "600000 100000",
        "is-c00c1e/memory.max": "8589934592",
        "is-c00c1e/pids.max": "6144",
        "is-c00c1e/memory.swap.max": "0",
    }


def test_of_version_2_the_server_moves_into_a_leaf(tmp_path: Path) -> None:
    base = unified(tmp_path)
    Unified(base, "is-").prepare()
    assert (base / cgroups.SERVER).is_dir()


def test_a_group_without_the_controllers_says_which_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoCgroups) as refused:
        Unified(unified(tmp_path, controllers="hugetlb cpu"), "is-").prepare()
    assert "memory, pids" in str(refused.value)
    assert "Delegate=yes" in str(refused.value)


def test_a_host_without_any_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoCgroups, match="INSERVICE_LIMITS=soft"):
        Cgroups(tmp_path / "run", tmp_path / "nothing").prepare()


def test_a_group_of_somebody_elses_is_not_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login session's, say: systemd would not know of what is made in it."""
    root = unified(tmp_path)
    session = unified(root / "session-3.scope")
    monkeypatch.setattr(cgroups, "own_groups", lambda *_: [("", "/session-3.scope")])
    if os.getuid() != 0:
        monkeypatch.setattr(os, "getuid", lambda: session.stat().st_uid + 1)
    with pytest.raises(NoCgroups, match="not this server's to divide"):
        Cgroups(tmp_path / "run", root).prepare()


def test_spec_without_limits_enters_no_group(stage: ProcessStage) -> None:
    async def test() -> None:
        await ready(stage, await stage.runtime.launch(changed(stage.spec(), image="python")))

    asyncio.run(test())
    assert not left(stage)
