"""An event loop never waits for a database: on PostgreSQL that is a network, which may be away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

import inservice.operations  # noqa: F401 - fills the registry
from inservice.app.control import Control
from inservice.audit.trail import Trail
from inservice.clock import SystemClock
from inservice.config import Settings
from inservice.operations.own.access_keys import ensure_root_key
from inservice.reserve import Reserve
from inservice.store.drivers.database import open_store
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from inservice.testing.runtime import FakeHost, Script
from inservice.threads import Threads
from tests.controller.rig import ACCOUNT, REGION, Controller, FakeWorker

ALARM = {"value": "ALARM", "reason": "too many", "reason_data": "", "since": 1.0, "was_set": False}


@contextlib.contextmanager
def sql_heard() -> Iterator[tuple[list[str], list[str]]]:
    """Statements that were made in an event loop, and in threads."""
    in_a_loop: list[str] = []
    in_threads: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        looping = asyncio._get_running_loop() is not None  # None in a thread, without raising
        (in_a_loop if looping else in_threads).append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield in_a_loop, in_threads
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def test_an_endpoint_s_whole_life_costs_the_loop_no_sql(tmp_path: Path) -> None:
    async def whole() -> None:
        host = FakeHost(SystemClock())
        host.script("*", Script(ready_after_seconds=0.01))
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        control = await Controller.born(tmp_path, host, lambda _: None)
        api = Threads("api")

        def status() -> str:
            record = control.record("ep")
            return record.endpoint.status.value if record is not None else "gone"

        async def until(wanted: str) -> None:
            async with asyncio.timeout(20):
                while (seen := await api.run(status)) != wanted:
                    assert seen != "Failed"
                    await asyncio.sleep(0.005)

        async def call(operation: str, **members: Any) -> None:
            await api.run(control.call, operation, **members)

        def set_alarm(state: str) -> None:
            document = {"state": {**ALARM, "value": state}}
            with control.store.transaction() as tx:
                tx.alarms.save(ACCOUNT, REGION, "errors", state=state, document=document)

        with sql_heard() as (in_the_loop, in_threads):
            await api.run(set_alarm, "OK")
            await call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
            for config in ("c", "d"):
                variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2}
                await call(
                    "CreateEndpointConfig",
                    EndpointConfigName=config,
                    ProductionVariants=[variant],
                )
            await call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")
            await until("InService")
            policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE"}}
            policy["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] = 60  # type: ignore[assignment]
            await call(
                "UpdateEndpoint",
                EndpointName="ep",
                EndpointConfigName="d",
                DeploymentConfig={
                    "BlueGreenUpdatePolicy": policy,
                    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
                },
            )
            await until("Updating")
            await api.run(set_alarm, "ALARM")  # wakes it, though nothing but the feed says so
            await until("InService")
            await call("DeleteEndpoint", EndpointName="ep")
            await until("gone")
        assert in_the_loop == []
        assert len(in_threads) > 50
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(whole())


def test_a_turn_that_has_nothing_to_do_asks_the_database_nothing(tmp_path: Path) -> None:
    """Neither in the loop nor in a thread: what it reads is in memory, alarms included."""

    async def whole() -> None:
        host = FakeHost(SystemClock())
        host.script("*", Script(ready_after_seconds=0.01))
        working = asyncio.create_task(FakeWorker(tmp_path, host).work())
        passes: list[str] = []
        control = await Controller.born(tmp_path, host, passes.append)
        control.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1}
        control.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
        control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="c")
        async with asyncio.timeout(20):
            while control.record("ep").endpoint.status.value != "InService":
                await asyncio.sleep(0.005)

        async def turns(count: int) -> None:
            async with asyncio.timeout(20):
                for _ in range(count):
                    before = len(passes)
                    control.reconciler.wake((ACCOUNT, REGION, "ep"))
                    while len(passes) < before + 2:
                        await asyncio.sleep(0)

        await turns(3)  # to where nothing is left to be written, and all is known
        with sql_heard() as (in_the_loop, in_threads):
            await turns(20)
        assert (in_the_loop, in_threads) == ([], [])
        await control.die()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(whole())


def test_control_starts_and_stops_without_sql_in_its_loop(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    for directory in (settings.data_dir, settings.run_dir):
        directory.mkdir(mode=0o700)
    store = open_store(settings.database, key_file=settings.data_dir / "secrets.key")
    key = ensure_root_key(store, settings.account_id)

    async def whole() -> None:
        with sql_heard() as (in_the_loop, in_threads):
            metrics = await Threads("opening").run(
                lambda: Recorder(open_metrics(settings.database), SystemClock().now())
            )
            trail = Trail(settings.audit_dir, kept=2)
            control = Control(settings, store, metrics, Reserve(settings.data_dir), trail)
            await control.start()
            assert control._keys.find(key.id) == key
            assert in_threads
            await control.stop(grace_seconds=5.0)
        assert in_the_loop == []

    asyncio.run(whole())
    store.close()
