"""Crash at every crash point, again and again; everything ends as it would have without."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

import inservice.operations  # noqa: F401 - fills the registry
from inservice.clock import SystemClock
from inservice.controller.endpoints import act, reconciler
from inservice.controller.kit import crash
from inservice.testing.runtime import FakeHost, Script
from tests.controller.rig import Controller, Crash, CrashAgainAndAgain, FakeWorker

UPDATES: dict[str, Any] = {
    "2": {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 0,
                "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
            }
        }
    },
    "3": {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 0,
        }
    },
    "broken": {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 0,
                "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1},
            }
        }
    },
}


class Story:
    """The whole life of an endpoint, through as many lives of control as it takes."""

    def __init__(self, place: Path, point: str) -> None:
        self.place = place
        self.host = FakeHost(SystemClock())
        self.host.script("*", Script(ready_after_seconds=0.01))
        self.host.script("*-4-*", Script(ready_after_seconds=None, dies_after_seconds=0.02))
        self.worker = FakeWorker(place, self.host)
        self.dead = asyncio.Event()
        self.crash_point = CrashAgainAndAgain(point, self.dead.set)
        self.control: Any = None
        self.shown: list[tuple[str, str]] = []

    async def told(self) -> None:
        working = asyncio.create_task(self.worker.work())
        self.control = await Controller.born(self.place, self.host, self.crash_point)
        for name in ("1", *UPDATES):
            self.control.call("CreateModel", ModelName=name, PrimaryContainer={"Image": "python"})
            variant = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 2}
            self.control.call(
                "CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant]
            )
        self.control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="1")
        await self.settled("InService", "1")
        for name, policy in UPDATES.items():
            self.control.call(
                "UpdateEndpoint",
                EndpointName="ep",
                EndpointConfigName=name,
                DeploymentConfig=policy,
            )
            await self.settled("InService", "3" if name == "broken" else name)
        self.control.call(
            "UpdateEndpointWeightsAndCapacities",
            EndpointName="ep",
            DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredInstanceCount": 1}],
        )
        await self.settled("InService", "3")
        self.control.call("DeleteEndpoint", EndpointName="ep")
        await self.settled(None, None)
        await self.control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    async def settled(self, status: str | None, config: str | None) -> None:
        deadline = asyncio.get_running_loop().time() + 20
        while True:
            if self.dead.is_set():
                await self.control.die()
                self.dead.clear()
                self.control = await Controller.born(self.place, self.host, self.crash_point)
            record = self.control.record("ep")
            self.worker.look()
            now = record and record.endpoint.status.value
            over = record is None or (
                record.deployment.over and record.endpoint.config.name == config
            )
            if now == status and over:
                return
            assert asyncio.get_running_loop().time() < deadline, (now, record)
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("point", crash.POINTS)
def test_a_life_with_crashes_ends_as_one_without(tmp_path: Path, point: str) -> None:
    async def live() -> Story:
        asyncio.get_running_loop().set_exception_handler(_only_crashes_may_escape)
        story = Story(tmp_path, point)
        await story.told()
        return story

    story = asyncio.run(live())
    assert story.crash_point.crashes >= 3, "the story passes this point"
    assert story.worker.wrongs == []
    assert story.host.alive() == []
    launched = [spec.instance_id for spec in story.host.launches if "-4-" not in spec.instance_id]
    assert len(launched) == len(set(launched)), "no instance was ever launched twice"


def _only_crashes_may_escape(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if not isinstance(context.get("exception"), Crash):
        loop.default_exception_handler(context)


def test_every_effect_of_a_turn_lies_between_two_crash_points() -> None:
    """A new effect without its points fails here: saves, and whatever `act` matches on."""
    passed: list[str] = []
    for module in (act, reconciler):
        tree = ast.parse(inspect.getsource(module))
        passed += [
            str(node.args[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("self.crash_point", "self._crash_point")
            and isinstance(node.args[0], ast.Constant)
        ]
    assert sorted(passed) == sorted(crash.POINTS)
    actions = Path(act.__file__).with_name("act.py").read_text().count("case ")
    effects = {point.partition("-")[2] for point in crash.POINTS}
    assert effects == {"save", "route", "launch", "retire"}
    assert actions == 2, "Launch and Retire; a third action needs crash points of its own"
