"""What the engine is told of instances that are neither ready nor gone."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import inservice.operations  # noqa: F401 - fills the registry
from inservice.clock import SystemClock
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.observe import Observer
from inservice.deployment.facts import Facts, FleetFacts
from inservice.deployment.views.describe import describe
from inservice.testing.runtime import FakeHost, FakeRuntime, Script
from tests.controller.rig import Controller, FakeWorker


class Scene:
    """One endpoint of three instances, and eyes."""

    def __init__(self, control: Any, host: FakeHost) -> None:
        self.control, self.host = control, host
        self.observer = Observer(control.instances, control.launches, control.actor.tables)

    def fleet(self, after_seconds: float = 0.0) -> FleetFacts:
        return self.facts(after_seconds).fleets.get(self.fleet_id, FleetFacts())

    def facts(self, after_seconds: float = 0.0) -> Facts:
        record = self.control.record("ep")
        now = SystemClock().now() + after_seconds
        return self.observer.facts(record.endpoint, record.deployment, {}, now)

    @property
    def fleet_id(self) -> str:
        return str(self.control.record("ep").deployment.new[0].id)

    async def until(self, good: Callable[[FleetFacts], object]) -> FleetFacts:
        async with asyncio.timeout(10):
            while not good(seen := self.fleet()):
                await asyncio.sleep(0.002)
        return seen


def play(place: Path, host: FakeHost, scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        worker = FakeWorker(place, host)
        working = asyncio.create_task(worker.work())
        control = await Controller.born(place, host, lambda _: None)
        control.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 3}
        control.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
        control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")
        try:
            await scene(Scene(control, host))
        finally:
            await control.die()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(whole())


def test_one_late_instance_is_late_and_no_failure_of_its_fleet(tmp_path: Path) -> None:
    host = FakeHost(SystemClock())
    host.script("*", Script(ready_after_seconds=0.01))
    host.script("*/1", Script(ready_after_seconds=None, last_lines=("loading weights",)))

    async def scene(scene: Scene) -> None:
        seen = await scene.until(lambda seen: seen.ready == {0, 2} and seen.notes)
        assert seen.notes == {1: 'waiting: last line "loading weights"'}
        assert seen.late == {}
        late = scene.fleet(after_seconds=10_000)
        assert late.failure is None, "the others did nothing"
        assert list(late.late) == [1]
        assert late.late[1].startswith(
            "The primary container for production variant v did not pass"
        )
        assert 'Last output: "loading weights".' in late.late[1]
        record = scene.control.record("ep")
        async with asyncio.timeout(10):
            while record.facts.fleets.get(scene.fleet_id, FleetFacts()).notes != seen.notes:
                await asyncio.sleep(0.002)
                record = scene.control.record("ep")
        shown = describe(record.endpoint, record.deployment, record.facts)
        (pending,) = shown["PendingDeploymentSummary"]["ProductionVariants"]
        assert pending["VariantStatus"][0]["StatusMessage"] == (
            'Launching 3 instance(s). Instance 1: waiting: last line "loading weights".'
        )

    play(tmp_path, host, scene)


def test_of_an_ill_instance_the_pings_and_the_last_lines_are_told(tmp_path: Path) -> None:
    host = FakeHost(SystemClock())
    host.script("*", Script(ready_after_seconds=0.01, last_lines=("collecting garbage",)))

    async def scene(scene: Scene) -> None:
        await scene.until(lambda seen: len(seen.ready) == 3)
        host.ail(f"{scene.fleet_id}/2", "timed out")
        seen = await scene.until(lambda seen: seen.unhealthy)
        assert list(seen.notes) == [2]
        assert "Pings: timed out in 0 ms." in seen.notes[2]
        assert 'Last output: "collecting garbage".' in seen.notes[2]

    play(tmp_path, host, scene)


def test_a_launch_that_waits_for_the_host_says_for_what(tmp_path: Path) -> None:
    host = FakeHost(SystemClock())
    host.script("*", Script(ready_after_seconds=0.01))

    async def scene(scene: Scene) -> None:
        await scene.until(lambda seen: len(seen.ready) == 3)
        host.refuses_to_launch = "not now"
        host.refuses_because = OSError(errno.EMFILE, "files")
        host.die(f"{scene.fleet_id}/0", signal="SIGSEGV")
        seen = await scene.until(lambda seen: seen.notes)
        assert seen.notes == {0: "the host is out of file descriptors (EMFILE)"}
        assert list(seen.starting) == [0], "it is on its way, and nothing has failed"
        assert seen.failure is None
        host.refuses_to_launch = None
        await scene.until(lambda seen: len(seen.ready) == 3)

    play(tmp_path, host, scene)


class Adjusted(SystemClock):
    """The machine's clock is set by a day, back and forth, each time that anybody looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong_by = 86_400.0

    def wall(self) -> float:
        self.wrong_by = -self.wrong_by
        return super().wall() + self.wrong_by


def test_no_step_of_the_machines_clock_makes_an_instance_late_or_a_short_life_long(
    tmp_path: Path,
) -> None:
    """What dates an instance is the machine's clock; how long it starts, serves and lives is not
    read off dates, neither by the control that launched it nor by the next."""
    host = FakeHost(Adjusted())
    host.script("*", Script(ready_after_seconds=0.01))
    host.script("*/1", Script(ready_after_seconds=None))
    host.script("*/2", Script(ready_after_seconds=None, dies_after_seconds=0.05))

    async def scene(scene: Scene) -> None:
        seen = await scene.until(lambda seen: seen.gone and seen.ready and seen.starting)
        assert 0.0 <= seen.starting[1] < 60.0
        assert not seen.late
        assert seen.gone[2].lived_seconds < 60.0
        again = Instances(FakeRuntime(host), SystemClock(), lambda fleet: None)
        await again.adopt()
        now = SystemClock().now()
        for watched in again.of_fleet(scene.fleet_id):
            assert 0.0 <= now - watched.started_at < 60.0
        await again.close()
        host.die(f"{scene.fleet_id}/0")
        seen = await scene.until(lambda seen: 0 in seen.gone)
        assert 0.0 < seen.gone[0].served_seconds < 60.0

    play(tmp_path, host, scene)


def test_a_death_says_how_and_how_long_it_had_served(tmp_path: Path) -> None:
    host = FakeHost(SystemClock())
    host.script("*", Script(ready_after_seconds=0.01))

    async def scene(scene: Scene) -> None:
        await scene.until(lambda seen: len(seen.ready) == 3)
        since = SystemClock().now()
        await asyncio.sleep(0.1)
        host.die(f"{scene.fleet_id}/0", signal="SIGSEGV")
        async with asyncio.timeout(10):
            while not (gone := scene.fleet().gone):
                await asyncio.sleep(0)
        assert gone[0].how == "it was ended by SIGSEGV"
        assert 0.1 <= gone[0].served_seconds <= SystemClock().now() - since + 1
        assert gone[0].reason.startswith(f"Instance {scene.fleet_id}/0 of production variant v was")
        await scene.until(lambda seen: len(seen.ready) == 3)

    play(tmp_path, host, scene)
