"""Environments that are built while an endpoint is created: seen, bounded, and ended in time."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import LONG_SECONDS, Launches
from inservice.controller.endpoints.shortages import shortage, trouble_of_others
from inservice.runtimes.base import EnvironmentUnavailable
from inservice.testing.runtime import Build, FakeHost, FakeRuntime
from tests.controller.test_launches import endpoint_of

IMAGE = "python"
CLAUSE = f"building the environment of {IMAGE}: installing 3 packages"
MINUTES = 600.0


class Time:
    """A clock that goes when a test says so."""

    def __init__(self) -> None:
        self.time = 0.0
        self._gone = asyncio.Event()

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + seconds
        while self.time < until:
            await self._gone.wait()

    async def wait(self, event: object, until: float) -> bool:
        while self.time < until and not event.is_set():  # type: ignore[attr-defined]
            await self._gone.wait()
        return bool(event.is_set())  # type: ignore[attr-defined]

    async def go(self, seconds: float) -> None:
        """Let time pass, and let everybody do what is due by then."""
        self.time += seconds
        self._gone.set()
        self._gone = asyncio.Event()
        for _ in range(20):
            await asyncio.sleep(0)


class Rig:
    """Launches over a host on which the image has to be built."""

    def __init__(self, build: Build) -> None:
        self.clock = Time()
        self.host = FakeHost(self.clock)
        self.host.builds[IMAGE] = build
        runtime = FakeRuntime(self.host)
        instances = Instances(runtime, self.clock, lambda _: None)
        self.changed: list[str] = []
        self.launches = Launches(instances, self.clock, self.changed.append)
        self.endpoint, self.fleet = endpoint_of(1, artifact=False)

    def begin(self, *, patient: bool = False) -> None:
        self.launches.begin(self.endpoint, self.fleet, [0, 1], patient=patient)


def run(test: Callable[[Rig], Awaitable[None]], build: Build) -> None:
    async def whole() -> None:
        rig = Rig(build)
        await test(rig)
        await rig.launches.close()
        await rig.launches.instances.close()

    asyncio.run(whole())


def test_what_a_launch_is_at_is_known_while_it_is_and_wakes_nobody() -> None:
    async def test(rig: Rig) -> None:
        launches, fleet = rig.launches, rig.fleet.id
        rig.begin()
        await rig.clock.go(0.0)
        assert launches.phase(fleet) is None
        assert launches.note(fleet) is None  # it may be over in a moment
        await rig.clock.go(LONG_SECONDS)
        assert launches.note(fleet) == CLAUSE
        assert launches.phase(fleet) == f"building the environment of {IMAGE}"
        assert launches.under_way(fleet) == {0, 1}
        assert rig.changed == []
        await rig.clock.go(MINUTES)
        assert rig.host.alive() == [f"{fleet}/0", f"{fleet}/1"]
        assert launches.phase(fleet) is None
        assert launches.note(fleet) is None

    run(test, Build(MINUTES))


def test_a_deployment_that_is_abandoned_ends_the_build_that_only_it_wanted() -> None:
    async def test(rig: Rig) -> None:
        rig.begin()
        await rig.clock.go(LONG_SECONDS)
        assert [*rig.host.building.values()] == [rig.fleet.id]
        rig.launches.give_up(rig.fleet.id)
        await rig.clock.go(0.0)
        assert not rig.host.building
        await rig.clock.go(MINUTES)
        assert rig.host.alive() == []
        assert rig.launches.failure(rig.fleet.id) is None

    run(test, Build(MINUTES))


WORDS = "The environment of the image 'python' cannot be had: no matching distribution found."


def unavailable(number: int = 0) -> EnvironmentUnavailable:
    error = EnvironmentUnavailable(WORDS)
    if number:
        error.__cause__ = OSError(number, os.strerror(number))
    return error


def test_an_environment_that_cannot_be_had_fails_the_fleet_in_its_own_words() -> None:
    async def test(rig: Rig) -> None:
        rig.begin()
        await rig.clock.go(0.0)
        await rig.clock.go(MINUTES)
        assert rig.launches.failure(rig.fleet.id) == WORDS
        assert rig.launches.failure(rig.fleet.id, patient=True) == WORDS
        assert rig.launches.under_way(rig.fleet.id) == frozenset()
        assert rig.changed == [rig.fleet.id]

    run(test, Build(MINUTES, unavailable()))


def test_want_of_room_for_a_build_is_waited_for_like_any_other() -> None:
    async def test(rig: Rig) -> None:
        rig.begin()
        await rig.clock.go(0.0)
        await rig.clock.go(10.0)
        assert rig.launches.failure(rig.fleet.id) is None
        assert rig.launches.note(rig.fleet.id) == "the host is out of disk space (ENOSPC)"
        rig.host.builds[IMAGE] = Build(10.0)
        for _ in range(8):
            await rig.clock.go(10.0)
        assert rig.host.alive() == [f"{rig.fleet.id}/{n}" for n in (0, 1)]

    run(test, Build(10.0, unavailable(errno.ENOSPC)))


@pytest.mark.parametrize("patient", [False, True])
def test_an_index_that_is_away_is_waited_for_on_the_way_back_alone(patient: bool) -> None:
    async def test(rig: Rig) -> None:
        rig.begin(patient=patient)
        await rig.clock.go(0.0)
        await rig.clock.go(10.0)
        failure = rig.launches.failure(rig.fleet.id)
        assert failure == (None if patient else WORDS)
        assert rig.launches.failure(rig.fleet.id, patient=True) is None
        note = rig.launches.note(rig.fleet.id)
        away = "the index of the packages that it needs is not reached"
        assert note == (away if patient else None)

    run(test, Build(10.0, unavailable(errno.ENETUNREACH)))


@pytest.mark.parametrize(
    "number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTUNREACH]
)
def test_only_an_index_that_is_not_reached_is_another_s_trouble(number: int) -> None:
    assert trouble_of_others(unavailable(number)) is not None
    assert shortage(unavailable(number)) is None
    assert trouble_of_others(OSError(number, "of something else")) is None
    assert trouble_of_others(unavailable()) is None
    assert trouble_of_others(unavailable(errno.ENOSPC)) is None
