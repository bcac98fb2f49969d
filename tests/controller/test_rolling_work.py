"""What a rolling deployment costs control: counted, so that it grows with its batches alone.

Time is measured by `benchmarks/growth.py`; here is counted what takes it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import inservice.operations  # noqa: F401 - fills the registry
from inservice.clock import SystemClock
from inservice.controller.endpoints.reconciler import Reconciler
from inservice.hosting.endpoint import EndpointStatus
from inservice.store.collections import endpoints as collection
from inservice.store.drivers.database import Database
from inservice.testing.runtime import FakeHost
from tests.controller.rig import Controller, FakeWorker


class Still(SystemClock):
    """No time passes between two turns, however busy the machine is: so nothing is saved only
    because it does."""

    def __init__(self) -> None:
        super().__init__()
        self._now = super().now()

    def now(self) -> float:
        return self._now


@dataclass
class Work:
    """What was done since it was last forgotten."""

    counts: Counter[str] = field(default_factory=Counter)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        transaction, turn, ask = Database.transaction, Reconciler._turn, Reconciler._ask
        encode = collection._DEPLOYMENT.encode

        def transacted(store: Database, by: str = "caller") -> Any:
            self.counts["transactions"] += 1
            return transaction(store, by)

        async def turned(reconciler: Reconciler, *args: Any) -> Any:
            self.counts["turns"] += 1
            return await turn(reconciler, *args)

        def asked(reconciler: Reconciler, *args: Any) -> Any:
            self.counts["records read"] += 1
            return ask(reconciler, *args)

        def encoded(deployment: Any) -> str:
            text = encode(deployment)
            self.counts["bytes of plans written"] += len(text)
            return text

        patch.setattr(Database, "transaction", transacted)
        patch.setattr(Reconciler, "_turn", turned)
        patch.setattr(Reconciler, "_ask", asked)
        patch.setattr(collection._DEPLOYMENT, "encode", encoded)


async def rolled(place: Path, size: int, work: Work) -> tuple[int, int]:
    """Have a fleet of so many replaced in batches of 5 %. How many batches, and how many tables
    were published."""
    host = FakeHost(SystemClock())
    working = asyncio.create_task(FakeWorker(place, host).work())
    control: Controller = await Controller.born(place, host, lambda _: None, Still())
    control.call("CreateModel", ModelName="m", PrimaryContainer={"Image": "python"})
    for name in ("one", "other"):
        variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": size}
        control.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])
    control.call("CreateEndpoint", EndpointName="ep", EndpointConfigName="one")
    await settled(control)
    published = Counter[str]()
    publish = control.gateways.publish_route

    def counted(*args: Any) -> int:
        published["tables"] += 1
        return publish(*args)

    control.gateways.publish_route = counted  # type: ignore[assignment,method-assign]
    work.counts.clear()
    batch = {"Type": "CAPACITY_PERCENT", "Value": 5}
    rolling = {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 0}
    control.call(
        "UpdateEndpoint",
        EndpointName="ep",
        EndpointConfigName="other",
        DeploymentConfig={"RollingUpdatePolicy": rolling},
    )
    await settled(control)
    record = control.record("ep")
    assert record is not None
    assert record.endpoint.config.name == "other"
    await control.die()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return len(record.deployment.plan) // 3, published["tables"]


async def settled(control: Controller) -> None:
    async with asyncio.timeout(60):
        while True:
            record = control.record("ep")
            if record is not None and record.endpoint.status is EndpointStatus.IN_SERVICE:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("size", "batches"), [(12, 12), (48, 24)])
def test_a_batch_is_three_transactions_and_three_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, batches: int
) -> None:
    """Its launch, its shift and its stop are remembered and told; nothing that is between is. Each
    instance that comes or goes is a turn, and so is each acknowledgement."""
    work = Work()
    work.watch(monkeypatch)
    found, tables = asyncio.run(rolled(tmp_path, size, work))
    counts = work.counts
    assert found == batches
    assert counts["transactions"] <= 3 * batches + 4, "one begins it, one ends it"
    assert tables <= 3 * batches + 2
    changes = 2 * size + batches  # instances that come and go, and launches that are over
    assert counts["turns"] <= changes + 3 * batches + 8
    assert counts["records read"] <= 2, "what was saved is known"
    bytes_of_one = counts["bytes of plans written"] / counts["transactions"]
    assert bytes_of_one < 1_000 * batches
