"""Instances that have GPUs for themselves: real processes, on devices of nobody."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inservice.hosting.instance_types import resources_of
from inservice.hosting.resources import GIB
from inservice.placement.host import Device, Host, Limits, Sharing
from inservice.placement.place import Rules
from inservice.runtimes.base import (
    Handle,
    InstanceState,
    InsufficientCapacity,
    LaunchFailed,
    LaunchSpec,
)
from inservice.runtimes.claims import Claims
from inservice.runtimes.placed import PlacedRuntime
from inservice.runtimes.process.protocol import Launch
from inservice.runtimes.standing import FILE, stands
from tests.contracts.runtime_stages import (
    PATIENCE_SECONDS,
    ProcessStage,
    changed,
    process_stage,
    until,
)

TWO = Host(64, 512 * GIB, (Device("GPU-a"), Device("GPU-b")))

SAYS_WHAT_IT_SEES = """
import os
print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("NVIDIA_VISIBLE_DEVICES"))

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    return body, content_type
"""


class _Killed(BaseException):
    """This control does nothing any more."""


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        async def all_of_it() -> None:
            await test(**given)

        asyncio.run(all_of_it())

    return run


@pytest.fixture
def stage() -> Iterator[ProcessStage]:
    with process_stage() as made:
        yield made


def placed(stage: ProcessStage, host: Host = TWO, rules: Rules | None = None) -> PlacedRuntime:
    """A control begins: nothing in memory."""
    stage.again()
    claims = Claims(stage.run_dir)
    return PlacedRuntime(stage.runtime, claims, host=lambda: host, rules=rules or Rules())


def spec_of(
    stage: ProcessStage, instance_type: str = "ml.g5.xlarge", **environment: str
) -> LaunchSpec:
    spec = changed(stage.spec(code=SAYS_WHAT_IT_SEES), environment=environment)
    workload = replace(spec.workload, resources=resources_of(instance_type))
    return replace(spec, workload=workload)


def held(stage: ProcessStage) -> Mapping[str, tuple[str, ...]]:
    return {name: claim.devices for name, claim in Claims(stage.run_dir).all().items()}


async def what_it_sees(stage: ProcessStage, handle: Handle) -> str:
    await until(stage, handle, lambda sight: sight.state is InstanceState.READY)
    assert handle.log_path is not None
    (line,) = [each for each in handle.log_path.read_text().splitlines() if "sees" in each]
    return line.partition("sees ")[2]


@in_a_loop
async def test_each_sees_its_own_and_a_third_is_refused_at_once(stage: ProcessStage) -> None:
    runtime = placed(stage)
    first = await runtime.launch(spec_of(stage))
    second = await runtime.launch(spec_of(stage, CUDA_VISIBLE_DEVICES="0"))
    with pytest.raises(InsufficientCapacity, match="2 of 2 GPUs are held by an-endpoint/AllTr"):
        await runtime.launch(spec_of(stage))
    cpu = await runtime.launch(spec_of(stage, "ml.m5.large", CUDA_VISIBLE_DEVICES="0,1"))
    assert await what_it_sees(stage, first) == "GPU-a GPU-a"
    assert await what_it_sees(stage, second) == "GPU-b GPU-b", "0 is the first of its own"
    assert await what_it_sees(stage, cpu) == " void", "of a type without GPUs none is seen"
    assert set(held(stage)) == {each.instance_id for each in (first, second, cpu)}


@in_a_loop
async def test_what_is_retired_is_free(stage: ProcessStage) -> None:
    runtime = placed(stage, replace(TWO, devices=TWO.devices[:1]))
    first = await runtime.launch(spec_of(stage))
    with pytest.raises(InsufficientCapacity):
        await runtime.launch(spec_of(stage))
    await runtime.retire(first, 0.0)
    second = await runtime.launch(spec_of(stage))
    assert held(stage) == {second.instance_id: ("GPU-a",)}


@in_a_loop
async def test_the_next_control_knows_who_holds_what(stage: ProcessStage) -> None:
    spec = spec_of(stage)
    first = await placed(stage).launch(spec)
    runtime = placed(stage)
    assert await runtime.handles() == [first]
    assert (await runtime.launch(spec)).pid == first.pid
    second = await runtime.launch(spec_of(stage))
    assert held(stage) == {first.instance_id: ("GPU-a",), second.instance_id: ("GPU-b",)}


@in_a_loop
async def test_a_dead_instance_keeps_its_gpu_until_it_is_given_up(stage: ProcessStage) -> None:
    runtime = placed(stage)
    spec = spec_of(stage)
    await runtime.launch(spec_of(stage))
    handle = await runtime.launch(spec)
    stage.kill(handle)
    await until(stage, handle, lambda sight: sight.state is InstanceState.GONE)
    with pytest.raises(InsufficientCapacity):
        await runtime.launch(spec_of(stage))
    again = await runtime.launch(spec)
    assert again.pid != handle.pid
    assert held(stage)[spec.instance_id] == ("GPU-b",)


@in_a_loop
async def test_however_many_ask_at_once_no_gpu_is_given_twice(stage: ProcessStage) -> None:
    runtime = placed(stage)
    found = await asyncio.gather(
        *(runtime.launch(spec_of(stage)) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Handle) for each in found) == 2
    assert sum(isinstance(each, InsufficientCapacity) for each in found) == 6
    assert sorted(held(stage).values()) == [("GPU-a",), ("GPU-b",)]


@in_a_loop
async def test_nor_by_two_controls_as_there_may_be_for_a_moment(stage: ProcessStage) -> None:
    """Each thinks that the claims of the other's launches are nobody's. Then those are not let in,
    and are launched again."""
    controls = [placed(stage), placed(stage)]
    launches = [control.launch(spec_of(stage)) for _ in range(4) for control in controls]
    found = await asyncio.gather(*launches, return_exceptions=True)
    running = [each for each in found if isinstance(each, Handle)]
    assert running
    sees = [await what_it_sees(stage, each) for each in running]
    assert len(set(sees)) == len(sees)
    assert {f"{uuid} {uuid}" for (uuid,) in held(stage).values()} == set(sees)


@in_a_loop
async def test_killed_between_the_claim_and_the_launch_nothing_stays_held(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = placed(stage, replace(TWO, devices=TWO.devices[:1]))

    async def killed(*_: object) -> None:
        raise _Killed

    monkeypatch.setattr(stage.runtime, "launch", killed)
    monkeypatch.setattr(runtime, "_give_up", killed)  # nor does it come to that
    with pytest.raises(_Killed):
        await runtime.launch(spec_of(stage))
    assert len(held(stage)) == 1
    monkeypatch.undo()
    runtime = placed(stage, replace(TWO, devices=TWO.devices[:1]))
    other = await runtime.launch(spec_of(stage))
    assert held(stage) == {other.instance_id: ("GPU-a",)}


@in_a_loop
async def test_what_a_dead_control_asked_for_is_not_let_in_on_anothers_gpu(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command may be carried out when the next control has given its GPU to somebody else."""
    one = replace(TWO, devices=TWO.devices[:1])
    runtime, late = placed(stage, one), list[Launch]()
    dead = stage.runtime

    async def sent_and_killed(command: Launch) -> Handle:
        late.append(command)
        raise _Killed

    monkeypatch.setattr(dead, "_launch", sent_and_killed)
    monkeypatch.setattr(runtime, "_give_up", sent_and_killed)
    with pytest.raises(_Killed):
        await runtime.launch(spec_of(stage))
    other = await placed(stage, one).launch(spec_of(stage))
    monkeypatch.undo()
    with pytest.raises(LaunchFailed, match="what it had claimed of this host was given up"):
        await dead._launch(late[0])
    runtime = placed(stage, one)
    async with asyncio.timeout(PATIENCE_SECONDS):  # it ends at its closed gate
        while await runtime.handles() != [other]:
            await stage.pass_time()
    assert held(stage) == {other.instance_id: ("GPU-a",)}
    logs = [log for log in stage.log_dir.rglob("*.log") if log != other.log_path]
    assert not any("sees" in log.read_text() for log in logs), "it came to its first line"


@in_a_loop
async def test_a_failed_launch_holds_nothing(stage: ProcessStage) -> None:
    runtime = placed(stage)
    stage.assets.gone = True
    with pytest.raises(Exception, match="Could not access model data"):
        await runtime.launch(spec_of(stage))
    assert not held(stage)


@in_a_loop
async def test_claims_of_another_boot_are_nobodys(stage: ProcessStage) -> None:
    await placed(stage).launch(spec_of(stage))
    file = stage.run_dir / FILE
    kept = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode({**kept, "boot_id": "another"}))
    assert not held(stage)


@in_a_loop
async def test_only_the_very_claim_stands_in_a_file_that_can_be_read(stage: ProcessStage) -> None:
    handle = await placed(stage).launch(spec_of(stage))
    who, claim = handle.instance_id, Claims(stage.run_dir).all()[handle.instance_id]
    assert stands(stage.run_dir, who, claim.token)
    assert not stands(stage.run_dir, who, "0" * 16)
    assert not stands(stage.run_dir, "another/0", claim.token)
    file = stage.run_dir / FILE
    whole = file.read_bytes()
    of_before = {**msgspec.json.decode(whole), "boot_id": "another"}
    for damaged in (whole[:-1], b"", b"[]", b"\xff", msgspec.json.encode(of_before)):
        file.write_bytes(damaged)
        assert not stands(stage.run_dir, who, claim.token), damaged
    file.unlink()
    assert not stands(stage.run_dir, who, claim.token)


@in_a_loop
async def test_if_nobody_can_tell_who_holds_what_no_gpu_is_given_out(stage: ProcessStage) -> None:
    runtime = placed(stage)
    stage.run_dir.mkdir()
    (stage.run_dir / FILE).write_bytes(b'{"boot_id": 7')
    with pytest.raises(InsufficientCapacity, match=r"claims\.json is damaged"):
        await runtime.launch(spec_of(stage))
    handle = await runtime.launch(spec_of(stage, "ml.m5.large"))
    assert await what_it_sees(stage, handle) == " void"
    assert await runtime.handles() == [handle]


@in_a_loop
async def test_shared_hides_nothing(stage: ProcessStage) -> None:
    runtime = placed(stage, rules=Rules(sharing=Sharing.SHARED))
    handles = [await runtime.launch(spec_of(stage)) for _ in range(3)]
    assert [await what_it_sees(stage, each) for each in handles] == ["None None"] * 3


@in_a_loop
async def test_without_a_gpu_a_gpu_type_runs_on_the_cpu(stage: ProcessStage) -> None:
    none = replace(TWO, devices=())
    runtime = placed(stage, none)
    handle = await runtime.launch(spec_of(stage, CUDA_VISIBLE_DEVICES="0"))
    assert await what_it_sees(stage, handle) == "0 None", "nothing is said of what is not there"
    enforced = placed(stage, none, Rules(Limits.ENFORCED))
    with pytest.raises(InsufficientCapacity, match="this host has no GPU"):
        await enforced.launch(spec_of(stage))


@in_a_loop
async def test_a_full_disk_keeps_nobody_from_ending_and_is_made_up_for(
    stage: ProcessStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(TWO, devices=TWO.devices[:1])
    runtime = placed(stage, one)
    handle = await runtime.launch(spec_of(stage))

    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patched:
        patched.setattr("inservice.runtimes.claims.disk.write", full)
        await runtime.retire(handle, 0.0)
        assert await runtime.handles() == []
        assert held(stage) == {handle.instance_id: ("GPU-a",)}, "so it is still written"
    other = await runtime.launch(spec_of(stage))
    assert held(stage) == {other.instance_id: ("GPU-a",)}
