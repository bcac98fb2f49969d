"""What a server with many endpoints does for each of them: counted, so that it does not grow.

Time is measured by `benchmarks/growth.py`; here is counted what takes it.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inservice.clock import SystemClock
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.observe import Observer
from inservice.controller.upkeep.measuring import Measuring
from inservice.runtimes.base import Handle, InstanceState, Sight
from inservice.telemetry.base import Sample, Use
from inservice.telemetry.database import open_metrics
from inservice.telemetry.names import ZEROES, VariantKey
from inservice.telemetry.processes import Processes
from inservice.telemetry.recorder import Recorder
from inservice.telemetry.sheets import SETTLE_SECONDS, SHEETS, sheet_of
from inservice.telemetry.storage import SHEET_SECONDS, Fold
from inservice.telemetry.utilization import Utilization
from inservice.testing.runtime import FakeHost, FakeRuntime

MINUTE = 1_699_999_200.0
"""The first second of some hour."""


class StillRuntime(FakeRuntime):
    """Instances that run and to which nothing happens; counts how often each was asked for."""

    def __init__(self, count: int) -> None:
        super().__init__(FakeHost(SystemClock()))
        self._count = count
        self.asked: Counter[str] = Counter()

    async def handles(self) -> Sequence[Handle]:
        return [
            Handle(f"g{n}-1-v/0", "fake", f"unix:/{n}", n, 0.0, None) for n in range(self._count)
        ]

    async def look(self, handle: Handle) -> Sight:
        raise AssertionError("control pings nobody")

    async def next_sight(self, handle: Handle, last: Sight | None) -> Sight:
        self.asked[handle.instance_id] += 1
        if last is not None:
            await asyncio.Event().wait()
        return Sight(InstanceState.READY, ready_at=1.0)


@pytest.mark.parametrize("count", [1, 300])
def test_an_idle_instance_is_asked_for_once_and_then_waited_for(count: int) -> None:
    async def test() -> None:
        runtime = StillRuntime(count)
        instances = Instances(runtime, SystemClock(), lambda _: None)
        await instances.adopt()
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert set(runtime.asked.values()) == {2}, "how it is, and then what is next"
        assert len(asyncio.all_tasks()) == count + 1
        await instances.close()

    asyncio.run(test())


def test_what_one_endpoint_is_decided_from_does_not_grow_with_the_others() -> None:
    async def looked_at(count: int) -> int:
        instances = Instances(StillRuntime(count), SystemClock(), lambda _: None)
        await instances.adopt()
        seen: Counter[str] = Counter()
        of_fleet = instances.of_fleet

        def counted(fleet: str) -> Any:
            seen[fleet] += 1
            return of_fleet(fleet)

        instances.of_fleet = counted  # type: ignore[method-assign]
        launches = SimpleNamespace(
            under_way=lambda _: (),
            note=lambda _: None,
            phase=lambda _: None,
            failure=lambda *_, **__: None,
        )
        tables = SimpleNamespace(
            routed=lambda _: {},
            agreed=lambda _: True,
            current=lambda _: None,
            is_known=lambda: True,
        )
        observer = Observer(instances, cast(Any, launches), cast(Any, tables))
        endpoint = SimpleNamespace(
            key=("a", "r", "e"),
            account="a",
            region="r",
            name="e",
            generation="g0",
            fleets=(),
            previous_fleets=(),
        )
        deployment = SimpleNamespace(new=(), alarms=(), phase=None)
        facts = observer.facts(cast(Any, endpoint), cast(Any, deployment), {}, 2.0)
        assert list(facts.fleets) == ["g0-1-v"]
        await instances.close()
        return seen.total()

    assert asyncio.run(looked_at(1)) == asyncio.run(looked_at(1_000)) == 1


# ── metrics of who is idle ──────────────────────────────────────────────────────────────────────


class CountedStorage:
    """A storage, and the rows that folds write."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.chunk_rows: Counter[int] = Counter()
        self.series_rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def fold(self, fold: Fold) -> None:
        self.chunk_rows.update(seconds for _, seconds, _ in (*fold.chunks, *fold.sheets))
        self.series_rows += len(fold.series)
        self._storage.fold(fold)


def variants(count: int) -> list[VariantKey]:
    return [VariantKey("0" * 12, "us-east-1", f"e{n}", "v", "c") for n in range(count)]


class Watch:
    """The loop over metrics, taken by hand, with a process of its own for each variant or none."""

    def __init__(self, place: Path, count: int) -> None:
        self.storage = CountedStorage(open_metrics(f"sqlite:///{place / 'm.db'}"))
        self.recorder = Recorder(cast(Any, self.storage), MINUTE)
        self.hurried: set[tuple[str, str, str]] = set()
        self.measured: Counter[str] = Counter()
        self.variants = variants(count)
        self.measuring = Measuring(
            metrics=self.recorder,
            host_use=Utilization(place, MINUTE),
            clock=cast(Any, SimpleNamespace(now=lambda: MINUTE)),
            in_service=lambda: self.variants,
            running=list,
            hurried=lambda: self.hurried,
        )

    def tick(self, seconds: float) -> None:
        """As `_keep_up` does every ten seconds."""
        self.measuring._look(self.variants, [], MINUTE + seconds)

    def zeros(self, variant: VariantKey, period: int, until: int = 120) -> int:
        metric, _ = variant.metrics("Invocations")
        start = int(MINUTE)
        end = start + -(-until // period) * period
        return len(self.recorder.read(metric, None, start, end, period))


def test_an_idle_variant_is_written_once_a_minute(tmp_path: Path) -> None:
    """And with many others on one row, not as rows of its ten series."""
    watch = Watch(tmp_path, 20)
    for minute in range(2):
        watch.storage.chunk_rows.clear()
        for second in range(5, 60, 10):
            watch.tick(60 * minute + second)
        assert watch.storage.chunk_rows.keys() == {SHEET_SECONDS}
        assert watch.storage.chunk_rows[SHEET_SECONDS] <= SHEETS
    assert watch.storage.series_rows == 0
    assert [watch.zeros(one, 60) for one in watch.variants] == [2] * 20
    watch.recorder.close()


def test_what_was_noted_of_an_idle_variant_becomes_datapoints_sheet_by_sheet(
    tmp_path: Path,
) -> None:
    watch = Watch(tmp_path, 20)
    series = 2 * len(ZEROES)
    for second in range(5, int(SETTLE_SECONDS), 10):
        watch.tick(second)
    assert watch.storage.chunk_rows.keys() == {SHEET_SECONDS}
    most = Counter(sheet_of(one) for one in watch.variants).most_common(1)[0][1]
    for second in range(int(SETTLE_SECONDS) + 5, int(SETTLE_SECONDS) + 10 * SHEETS, 10):
        watch.storage.chunk_rows.clear()
        watch.tick(second)
        assert watch.storage.chunk_rows[60] <= most * series, "a fold settles one sheet at most"
    assert watch.storage.series_rows == 20 * series
    minutes = len(range(0, second, 60))
    assert [watch.zeros(one, 60, until=second) for one in watch.variants] == [minutes] * 20
    watch.recorder.close()


def test_an_idle_variant_takes_hardly_any_memory_of_metrics(tmp_path: Path) -> None:
    """Of control, for one that has been in service for a while, with one instance: the page, and
    the names and numbers of its sixteen series. As chunks of its series it was 60 KiB and more."""

    use = {"CPUUtilization": 0.1, "MemoryUtilization": 1.5, "DiskUtilization": 40.0}
    tracemalloc.start()
    try:
        watch = Watch(tmp_path, 20)
        for minute in range(25):
            now = 60.0 * minute + 5
            watch.tick(now)
            watch.recorder.note_use([Use(one, use) for one in watch.variants], MINUTE + now)
            watch.tick(now + 30)
        gc.collect()
        ours = tracemalloc.Filter(True, "*/inservice/*")
        held = tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename")
    finally:
        tracemalloc.stop()
    assert len(watch.recorder._datapoints.series) == 20 * 2 * (len(ZEROES) + len(use))
    watch.recorder.close()
    assert sum(each.size for each in held) / 20 < 6_000


def test_one_that_an_alarm_of_ten_seconds_watches_has_a_zero_in_each_of_them(
    tmp_path: Path,
) -> None:
    watch = Watch(tmp_path, 3)
    hurried = watch.variants[1]
    watch.hurried = {(hurried.account, hurried.region, hurried.endpoint)}
    for second in range(5, 120, 10):
        watch.tick(second)
    assert [watch.zeros(one, 10) for one in watch.variants] == [0, 12, 0]
    assert [watch.zeros(one, 60) for one in watch.variants] == [2, 2, 2]
    watch.recorder.close()


def test_one_that_comes_into_service_is_noted_at_once(tmp_path: Path) -> None:
    watch = Watch(tmp_path, 1)
    watch.tick(5)
    watch.variants = variants(2)
    watch.tick(15)
    assert [watch.zeros(one, 60) for one in watch.variants] == [1, 1]
    watch.recorder.close()


def test_a_value_is_written_though_it_lands_where_a_zero_was(tmp_path: Path) -> None:
    """Nothing new is nothing written; but a value is new."""
    storage = CountedStorage(open_metrics(f"sqlite:///{tmp_path / 'm.db'}"))
    recorder = Recorder(cast(Any, storage), MINUTE)
    (variant,) = variants(1)
    metric, _ = variant.metrics("Invocations")
    recorder.put([Sample(metric, "None", MINUTE, Aggregate.zero())], MINUTE)
    recorder.fold()
    storage.chunk_rows.clear()
    recorder.put([Sample(metric, "None", MINUTE, Aggregate.zero())], MINUTE)
    recorder.fold()
    assert not storage.chunk_rows
    recorder.put([Sample(metric, "None", MINUTE, Aggregate.of(4.0))], MINUTE)
    recorder.fold()
    assert storage.chunk_rows == {1: 1, 60: 1, 300: 1, 3_600: 1}
    again = Recorder(storage._storage, MINUTE)
    assert again.read(metric, None, int(MINUTE), int(MINUTE) + 60, 60)[int(MINUTE)].total == 4.0
    again.close()


# ── what instances use ──────────────────────────────────────────────────────────────────────────

GROWS = "import sys\nfor line in sys.stdin: held = bytearray(64 << 20); print('.', flush=True)"


def test_memory_is_added_up_again_only_for_who_did_something() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        processes = Processes()

        def memory() -> int:
            (one,) = processes.look().of(process.pid)
            return processes.memory_bytes(one, now)

        process.stdin.write(b"\n")  # it is up
        process.stdin.flush()
        process.stdout.readline()
        now = time.time()
        first = memory()
        assert [memory() for _ in range(5)] == [first] * 5
        assert processes.summed == 1
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        memory()
        assert processes.summed == 2
        now += 3_600.0
        memory()
        assert processes.summed == 3, "what it shares may be another's part by now"
        process.stdin.close()
