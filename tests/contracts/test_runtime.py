"""The contract of runtimes, held against every driver. Not here yet: Ray."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from inservice import runtimes
from inservice.contract import SUBMIT_DIRECTORY
from inservice.runtimes.base import (
    AssetUnavailable,
    Handle,
    ImageNotRunnable,
    InstanceState,
    LaunchSpec,
    Sight,
)
from inservice.runtimes.process.runtime import ProcessRuntime
from inservice.testing.runtime import FakeRuntime
from tests.contracts.oci_stage import OciStage, oci_stage
from tests.contracts.runtime_stages import (
    PATIENCE_SECONDS,
    FakeStage,
    ProcessStage,
    Stage,
    asset_of,
    changed,
    files_of,
    process_stage,
    until,
)

STARTING, READY, UNHEALTHY, GONE = InstanceState


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def containers() -> Iterator[OciStage]:
    with oci_stage() as stage:
        yield stage


STAGES = {"fake": "", "process": "processes", "oci": "containers"}
"""Driver → the fixture that has it."""


def test_every_driver_is_held_to_the_contract() -> None:
    drivers = {path.parent.name for path in Path(runtimes.__file__).parent.glob("*/__init__.py")}
    assert {"fake", *drivers} == set(STAGES)


@pytest.fixture(params=["fake", "process", pytest.param("oci", marks=pytest.mark.long)])
def stage(request: pytest.FixtureRequest) -> Stage:
    name = STAGES[request.param]
    made: Any = request.getfixturevalue(name) if name else FakeStage()
    return cast(Stage, made)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


async def ready(stage: Stage, handle: Handle) -> Sight:
    sight = await until(stage, handle, lambda s: s.state is not STARTING)
    assert sight.state is READY, sight
    return sight


def test_an_instance_starts_and_becomes_ready(stage: Stage) -> None:
    async def test() -> None:
        spec = stage.spec()
        handle = await stage.runtime.launch(spec)
        assert handle.instance_id == spec.instance_id
        assert (await stage.runtime.look(handle)).state in (STARTING, READY)
        sight = await ready(stage, handle)
        assert sight.ready_at is not None
        assert sight.ready_at >= handle.started_at
        assert sight.probes[-1].outcome == "200"
        assert sight.phases["fork"] >= 0
        assert await stage.runtime.recover(handle) == handle
        assert handle in await stage.runtime.handles()
        await stage.runtime.retire(handle, 5)

    run(test)


def test_its_age_is_known(stage: Stage) -> None:
    """Not from dates, which somebody may set: from what passes between two looks."""

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        young = await ready(stage, handle)
        assert 0 <= young.age_seconds < PATIENCE_SECONDS
        await stage.pass_time()
        older = await stage.runtime.look(handle)
        assert older.age_seconds > young.age_seconds
        stage.again()
        assert (await stage.runtime.look(handle)).age_seconds >= older.age_seconds
        stage.kill(handle)
        gone = await until(stage, handle, lambda s: s.state is GONE)
        assert gone.age_seconds >= older.age_seconds
        await stage.runtime.retire(handle, 5)

    run(test)


def test_launching_what_runs_finds_it(stage: Stage) -> None:
    async def test() -> None:
        spec = stage.spec()
        handles = await asyncio.gather(*(stage.runtime.launch(spec) for _ in range(5)))
        assert len(set(map(str, handles))) == 1
        await ready(stage, handles[0])
        assert await stage.runtime.launch(spec) == handles[0]
        await stage.runtime.retire(handles[0], 5)

    run(test)


@pytest.mark.parametrize(
    ("behaviour", "exit_code", "words"),
    [
        ("import fails", 1, "No module named 'a_module_that_nobody_has'"),
        ("exits", 3, "out of luck"),
    ],
)
def test_an_instance_that_ends_says_how(
    stage: Stage, behaviour: str, exit_code: int, words: str
) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(behaviour))
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert (sight.exit_code, sight.signal) == (exit_code, None)
        assert words in sight.last_lines[-1]
        assert sight.ready_at is None
        assert not sight.out_of_memory
        assert await stage.runtime.recover(handle) is None
        assert handle in await stage.runtime.handles(), "it is on record until it is retired"
        await stage.runtime.retire(handle, 5)

    run(test)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [("hangs", "not listening yet"), ("garbage", "not HTTP"), ("unavailable", "503")],
)
def test_an_instance_that_never_answers_200_is_never_ready(
    stage: Stage, behaviour: str, outcome: str
) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec(behaviour))
        sight = await until(stage, handle, lambda s: outcome in s.probes[-1].outcome)
        for _ in range(5):
            await stage.pass_time()
            sight = await stage.runtime.look(handle)
        assert sight.state is STARTING
        assert outcome in sight.probes[-1].outcome
        assert sight.ready_at is None
        if behaviour == "hangs":
            sight = await until(stage, handle, lambda s: s.last_lines[-1:] == ("thinking",))
        await stage.runtime.retire(handle, 5)
        assert (await stage.runtime.look(handle)).state is GONE

    run(test)


def test_a_kill_is_told_apart_from_an_exit(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        was_ready = await ready(stage, handle)
        stage.kill(handle)
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert (sight.exit_code, sight.signal) == (None, "SIGKILL")
        assert sight.ready_at == was_ready.ready_at
        await stage.runtime.retire(handle, 5)

    run(test)


def test_what_changes_is_told_as_it_comes(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        seen = [await stage.runtime.next_sight(handle, None)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while seen[-1].state is not READY:
                assert seen[-1].state is STARTING
                await stage.pass_time()
                seen.append(await stage.runtime.next_sight(handle, seen[-1]))
        told = asyncio.create_task(stage.runtime.next_sight(handle, seen[-1]))
        await asyncio.wait({told}, timeout=0.05)
        assert not told.done(), "that it is still ready is no news"
        stage.kill(handle)
        sight = await asyncio.wait_for(told, PATIENCE_SECONDS)
        assert (sight.state, sight.signal) == (GONE, "SIGKILL")
        assert sight.ready_at == seen[-1].ready_at
        again = stage.runtime.next_sight(handle, seen[-1])  # and ever after
        assert (await asyncio.wait_for(again, PATIENCE_SECONDS)).state is GONE
        assert (await stage.runtime.look(handle)).state is GONE
        await stage.runtime.retire(handle, 5)
        gone = stage.runtime.next_sight(handle, seen[-1])
        assert (await asyncio.wait_for(gone, PATIENCE_SECONDS)).state is GONE

    run(test)


def test_what_the_pings_of_one_that_starts_bring_is_told(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec("unavailable"))
        sight = await stage.runtime.next_sight(handle, None)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not sight.probes or sight.probes[-1].tries < 3:
                await stage.pass_time()
                sight = await stage.runtime.next_sight(handle, sight)
        assert sight.state is STARTING
        assert sight.probes[-1].outcome == "503"
        await stage.runtime.retire(handle, 0.1)

    run(test)


def test_an_instance_that_was_ready_and_fails_its_pings_is_unhealthy(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        was_ready = await ready(stage, handle)
        stage.ail(handle)
        sight = await until(stage, handle, lambda s: s.state is not READY)
        assert sight.state is UNHEALTHY
        assert sight.probes[-1].outcome == "timed out"
        assert sight.ready_at == was_ready.ready_at
        stage.again()
        assert (await stage.runtime.look(handle)).state is UNHEALTHY, "also to a new control"
        await stage.runtime.retire(handle, 0.1)
        assert (await stage.runtime.look(handle)).state is GONE

    run(test)


def test_a_new_control_finds_every_instance_again(stage: Stage) -> None:
    async def test() -> None:
        specs = [stage.spec(), stage.spec("hangs")]
        handles = [await stage.runtime.launch(spec) for spec in specs]
        was_ready = await ready(stage, handles[0])
        stage.again()
        known = await stage.runtime.handles()
        assert [handle for handle in handles if handle in known] == handles
        for spec, handle in zip(specs, handles, strict=True):
            assert await stage.runtime.recover(handle) == handle
            assert await stage.runtime.launch(spec) == handle
        sight = await stage.runtime.look(handles[0])
        assert (sight.state, sight.ready_at) == (READY, was_ready.ready_at)
        assert (await stage.runtime.look(handles[1])).state is STARTING
        for handle in handles:
            await stage.runtime.retire(handle, 0.5)

    run(test)


def test_an_end_that_no_control_saw_is_known(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await ready(stage, handle)
        stage.kill(handle)
        stage.again()
        sight = await until(stage, handle, lambda s: s.state is GONE)
        assert sight.signal == "SIGKILL"
        assert sight.ready_at is not None
        await stage.runtime.retire(handle, 5)

    run(test)


def test_an_id_that_died_can_be_launched_anew(stage: Stage) -> None:
    async def test() -> None:
        spec = stage.spec()
        first = await stage.runtime.launch(spec)
        await ready(stage, first)
        stage.kill(first)
        await until(stage, first, lambda s: s.state is GONE)
        second = await stage.runtime.launch(spec)
        await ready(stage, second)
        assert second != first
        assert (await stage.runtime.look(first)).state is GONE
        assert await stage.runtime.recover(first) is None
        await stage.runtime.retire(first, 5)
        assert (await stage.runtime.look(second)).state is READY, "retiring the first leaves it be"
        await stage.runtime.retire(second, 5)

    run(test)


def test_retiring_forgets_and_can_be_repeated(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec())
        await ready(stage, handle)
        await asyncio.gather(*(stage.runtime.retire(handle, 5) for _ in range(3)))
        assert (await stage.runtime.look(handle)).state is GONE
        assert handle not in await stage.runtime.handles()
        await stage.runtime.retire(handle, 5)

    run(test)


def test_one_that_ignores_sigterm_is_killed_after_its_grace(stage: Stage) -> None:
    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec("ignores SIGTERM"))
        await stage.runtime.look(handle)
        await asyncio.wait_for(stage.runtime.retire(handle, 0.3), 10)
        assert (await stage.runtime.look(handle)).state is GONE
        assert await stage.runtime.recover(handle) is None

    run(test)


def test_one_that_was_asked_to_end_does_though_nobody_waits_for_it(stage: Stage) -> None:
    """A control that is killed while it retires an instance leaves it ending, not serving."""

    async def test() -> None:
        handle = await stage.runtime.launch(stage.spec("ignores SIGTERM"))
        await stage.runtime.look(handle)
        retiring = asyncio.create_task(stage.runtime.retire(handle, 0.5))
        await asyncio.wait({retiring}, timeout=0.1)
        retiring.cancel()
        stage.again()
        await until(stage, handle, lambda s: s.state is GONE)
        await stage.runtime.retire(handle, 5)
        assert handle not in await stage.runtime.handles()

    run(test)


def test_an_image_that_cannot_run_is_refused_by_name(stage: Stage) -> None:
    async def test() -> None:
        spec = changed(stage.spec(), image="example.com/unknown:1")
        with pytest.raises(ImageNotRunnable, match=re.escape("example.com/unknown:1")):
            await stage.runtime.launch(spec)
        assert spec.instance_id not in [h.instance_id for h in await stage.runtime.handles()]

    run(test)


# ── what it runs, and the files of that ──────────────────────────────────────────────────────────


def with_code(stage: Stage) -> LaunchSpec:
    """A spec with two assets: the model's and the code's, of the same files."""
    spec = stage.spec()
    place = f"file://{files_of(spec)}/code"
    return changed(
        spec,
        environment={SUBMIT_DIRECTORY: place},
        code=asset_of(files_of(spec) / "code", "fleet+code"),
    )


def test_whoever_runs_a_container_fetches_its_files(stage: Stage) -> None:
    async def test() -> None:
        stage.assets.fetched.clear()
        spec = with_code(stage)
        handle = await stage.runtime.launch(spec)
        assert tuple(stage.assets.fetched) == spec.workload.containers[0].assets
        assert len(stage.assets.fetched) == 2
        await ready(stage, handle)
        await stage.runtime.retire(handle, 5)

    run(test)


def test_files_that_cannot_be_had_start_nothing(stage: Stage) -> None:
    async def test() -> None:
        spec = stage.spec()
        stage.assets.gone = True
        with pytest.raises(AssetUnavailable, match="Could not access model data at file:///"):
            await stage.runtime.launch(spec)
        assert spec.instance_id not in [h.instance_id for h in await stage.runtime.handles()]
        stage.assets.gone = False
        handle = await stage.runtime.launch(spec)
        await stage.runtime.retire(handle, 5)

    run(test)


def test_a_launch_that_is_given_up_while_it_fetches_starts_nothing(stage: Stage) -> None:
    async def test() -> None:
        spec = stage.spec()
        assets = stage.assets
        assets.open, assets.asked = asyncio.Event(), asyncio.Event()
        given_up = assets.given_up
        launching = asyncio.create_task(stage.runtime.launch(spec))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await assets.asked.wait()
            launching.cancel()
            await asyncio.wait([launching])
        assert launching.cancelled()
        assert assets.given_up == given_up + 1
        assert spec.instance_id not in [h.instance_id for h in await stage.runtime.handles()]
        assets.open.set()

    run(test)


def test_a_launch_that_is_given_up_at_any_moment_starts_nothing_or_gives_the_handle(
    stage: Stage,
) -> None:
    """Else something would run that nobody watches."""

    async def test() -> None:
        outcomes = set()
        for turns in (*range(12), 10**9):
            spec = stage.spec()
            launching = asyncio.create_task(stage.runtime.launch(spec))
            for _ in range(turns):
                if launching.done():
                    break
                await asyncio.sleep(0)
            launching.cancel()
            await asyncio.wait([launching])
            outcomes.add(launching.cancelled())
            known = [h for h in await stage.runtime.handles() if h.instance_id == spec.instance_id]
            assert known == ([] if launching.cancelled() else [launching.result()])
            for handle in known:
                await stage.runtime.retire(handle, 5)
        assert outcomes == {True, False}

    run(test)


@pytest.mark.parametrize("number", [0, 2])
def test_an_instance_has_one_container(stage: Stage, number: int) -> None:
    """No other number can come from a model yet; one that does is not run by half."""

    async def test() -> None:
        stage.assets.fetched.clear()
        spec = stage.spec()
        workload = replace(spec.workload, containers=spec.workload.containers * number)
        with pytest.raises(ImageNotRunnable, match=f"one container in an instance, not {number}"):
            await stage.runtime.launch(replace(spec, workload=workload))
        assert not stage.assets.fetched
        assert spec.instance_id not in [h.instance_id for h in await stage.runtime.handles()]

    run(test)


def test_nothing_is_fetched_for_an_image_that_cannot_run(stage: Stage) -> None:
    async def test() -> None:
        stage.assets.fetched.clear()
        with pytest.raises(ImageNotRunnable):
            await stage.runtime.launch(changed(stage.spec(), image="example.com/unknown:1"))
        assert not stage.assets.fetched

    run(test)


def test_a_runtime_without_assets_launches_what_has_none(processes: ProcessStage) -> None:
    """As the one that only ends what another started."""

    async def test() -> None:
        spec = processes.spec()
        bare: tuple[Any, ...] = (
            FakeRuntime(FakeStage().host),
            ProcessRuntime(processes.run_dir, processes.log_dir, images=processes.images),
        )
        for runtime in bare:
            with pytest.raises(AssetUnavailable, match=re.escape(str(files_of(spec)))):
                await runtime.launch(spec)
            handle = await runtime.launch(changed(spec, model=None))
            await runtime.retire(handle, 5)

    run(test)
