"""The recorder over its real store: exact through every crash, bounded, and expiring on time."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import create_engine, inspect, make_url

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.alarms.errors import BadValue
from inservice.cloudwatch.alarms.history import HistoryItem
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.cloudwatch.metrics.sketches import bin_of
from inservice.cloudwatch.metrics.statistics import parse
from inservice.telemetry import database as telemetry_database
from inservice.telemetry import opening, series, tables
from inservice.telemetry.base import (
    AlarmKey,
    HistoryQuery,
    MetricsDamaged,
    MetricsRefused,
    Sample,
    StepCount,
)
from inservice.telemetry.database import MetricsDatabase, open_metrics
from inservice.telemetry.datapoints import Datapoints
from inservice.telemetry.names import VariantKey
from inservice.telemetry.recorder import Recorder
from inservice.telemetry.storage import DEPLOYMENTS_KEPT
from tests.contracts import postgresql
from tests.depth import seeds

NOW = 1_795_435_205
VARIANT = VariantKey("000000000000", "us-east-1", "e", "AllTraffic", "new")


def at(path: Path) -> str:
    return f"sqlite:///{path / 'inservice.db'}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of a PostgreSQL server; None where each test has a file of its own."""
    if request.param == "sqlite":
        yield None
        return
    programs = postgresql.binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with postgresql.running(programs) as url:
        yield url


@pytest.fixture
def url(server: str | None, tmp_path: Path) -> str:
    """Where metrics are empty."""
    if server is None:
        return at(tmp_path)
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:  # making them anew takes far longer
        for table in reversed(tables.metadata.sorted_tables):
            if inspect(connection).has_table(table.name):
                connection.execute(table.delete())
    engine.dispose()
    return server


@pytest.fixture
def start(url: str) -> Iterator[Callable[[], Recorder]]:
    """Begins a recorder. One that was begun before is as good as killed: nobody closes it."""
    opened: list[MetricsDatabase] = []

    def begin() -> Recorder:
        opened.append(open_metrics(url))
        return Recorder(opened[-1], NOW)

    yield begin
    for storage in opened:  # only now: closing must not have helped
        storage.close()


@pytest.fixture
def storage(url: str) -> Iterator[MetricsDatabase]:
    opened = open_metrics(url)
    yield opened
    opened.close()


def row(second: float = NOW, **counts: Any) -> InvocationRow:
    """What a worker counted."""
    return InvocationRow(
        VARIANT.account,
        VARIANT.region,
        VARIANT.endpoint,
        VARIANT.variant,
        "1-new",
        VARIANT.config,
        "",
        second,
        **counts,
    )


def invocations(recorder: Recorder, name: str = "Invocations", period: int = 60) -> float:
    start = NOW - NOW % 60
    found = recorder.read(VARIANT.metrics(name)[1], None, start, start + 60, period)
    return sum(seen.total for seen in found.values())


def test_one_row_is_every_metric_in_both_dimension_sets(storage: MetricsDatabase) -> None:
    recorder = Recorder(storage, NOW)
    latency = (4, 40_000.0, 5_000.0, 20_000.0, [bin_of(5_000.0), 3, bin_of(20_000.0), 1])
    counts: dict[str, Any] = {
        "invocations": 4,
        "client_errors": 1,
        "server_errors": 2,
        "model_errors": 3,
        "per_instance": 2.0,
        "concurrent_max": 3,
        "model_latency": latency,
    }
    recorder.record_gateway_rows("w", 1, [row(**counts)], now=NOW)
    start = NOW - NOW % 60
    expected = {
        ("Invocations", "Sum"): 4,
        ("InvocationsPerInstance", "Sum"): 2,
        ("Invocation4XXErrors", "Average"): 0.25,
        ("Invocation5XXErrors", "Sum"): 2,
        ("InvocationModelErrors", "Average"): 0.75,
        ("ConcurrentRequestsPerModel", "Maximum"): 3,
        ("ModelLatency", "Average"): 10_000,
        ("ModelLatency", "p50"): pytest.approx(5_000, rel=0.01),
        ("ModelLatency", "p100"): 20_000,
    }
    for (name, statistic), value in expected.items():
        for metric in VARIANT.metrics(name):
            for period in (10, 60, 300):
                aligned = start - start % period
                found = recorder.read(metric, None, aligned, aligned + 300, period)
                [seen] = found.values()
                assert parse(statistic).compute(seen) == value, (name, statistic, period)


def test_what_is_sent_twice_counts_once_also_over_a_restart(start: Callable[[], Recorder]) -> None:
    first = start()
    first.record_gateway_rows("w", 1, [row(invocations=5)], now=NOW)
    first.record_gateway_rows("w", 1, [row(invocations=5)], now=NOW)
    # No close: the process is gone. What was acknowledged is in the journal.
    second = start()
    second.record_gateway_rows("w", 1, [row(invocations=5)], now=NOW)
    second.record_gateway_rows("w", 2, [row(invocations=7)], now=NOW)
    second.record_gateway_rows("other", 1, [row(invocations=1)], now=NOW)
    assert invocations(second) == 13


@pytest.mark.parametrize("seed", seeds(8))
def test_counting_is_exact_through_any_crash(start: Callable[[], Recorder], seed: int) -> None:
    """Workers send, resend what they were not told of, and control dies between any two steps."""
    draw = random.Random(seed)
    recorder = start()
    sent: dict[str, int] = dict.fromkeys(("a", "b"), 0)
    expected = 0
    for _ in range(60):
        move = draw.choice(["send", "send", "resend", "fold", "crash", "expire"])
        worker = draw.choice(["a", "b"])
        if move == "send":
            count = draw.randrange(1, 9)
            sent[worker] += 1
            expected += count
            rows = [row(NOW - draw.randrange(0, 5), invocations=count)]
            recorder.record_gateway_rows(worker, sent[worker], rows, now=NOW)
        elif move == "resend" and sent[worker]:
            recorder.record_gateway_rows(worker, sent[worker], [row(invocations=99)], now=NOW)
        elif move == "fold":
            recorder.fold()
        elif move == "expire":
            recorder.expire(NOW)
        elif move == "crash":
            recorder = start()
    for period in (1, 10, 60):
        assert invocations(recorder, period=period) == expected


def test_chunks_are_read_back_when_memory_is_short(storage: MetricsDatabase) -> None:
    """With room for almost nothing every chunk is dropped and reloaded, and no count is lost."""
    points = Datapoints(storage, cost_max=2_000)
    metrics = [Metric("1", "r", "n", f"m{n}") for n in range(20)]
    for turn, metric in itertools.product(range(5), metrics):
        points.add([Sample(metric, "None", NOW - 60 * turn, Aggregate.of(1.0))], NOW)
        points.folded(fold := points.fold(0))
        storage.fold(fold)
    for metric in metrics:
        start = NOW - NOW % 60 - 600
        found = points.read(metric, None, start, start + 660, 60)
        assert sum(seen.total for seen in found.values()) == 5


def test_of_what_nobody_reads_only_the_present_is_in_memory(storage: MetricsDatabase) -> None:
    """Hours of idling hold no more than the first minutes did: what is over is in the database, and
    read from there."""
    points = Datapoints(storage)
    metrics = [Metric("1", "r", "n", f"m{n}") for n in range(10)]
    first = NOW - NOW % 3_600
    held = []
    for minute in range(180):
        now = first + 60.0 * minute
        idle = [Sample(metric, "None", now, Aggregate.zero(), False) for metric in metrics[1:]]
        points.add([Sample(metrics[0], "None", now, Aggregate.of(2.0)), *idle], now)
        storage.fold(fold := points.fold(0))
        points.folded(fold)
        held.append(len(points._chunks))
    assert max(held) <= 4 + 3 * 9 + 2 + 2 * 9, "each tier's newest, and one that is just over"
    zeros = {id(b) for c in points._chunks.values() for b in c.buckets.values() if not b.count}
    assert len(zeros) == 1
    for metric, total in zip(metrics, [2.0, *[0.0] * 9], strict=True):
        found = points.read(metric, None, first, first + 180 * 60, 60)
        assert len(found) == 180
        assert {seen.total for seen in found.values()} == {total}


def test_a_chunk_that_somebody_reads_stays_in_memory_and_counts_on(
    storage: MetricsDatabase,
) -> None:
    points = Datapoints(storage)
    metric = Metric("1", "r", "n", "m")
    start = NOW - NOW % 60
    points.add([Sample(metric, "None", start, Aggregate.zero())], start)
    assert len(points.read(metric, None, start, start + 60, 1)) == 1
    key = next(iter(points._chunks))
    for later in (0, 120, 240):
        storage.fold(fold := points.fold(0))
        points.folded(fold)
        points.add([Sample(metric, "None", start, Aggregate.of(1.0))], start + later)
    assert key in points._chunks
    (found,) = points.read(metric, None, start, start + 60, 1).values()
    assert (found.count, found.total) == (3, 3.0)


def test_units_are_separate_series_and_read_together_or_apart(storage: MetricsDatabase) -> None:
    recorder = Recorder(storage, NOW)
    metric = Metric("1", "r", "n", "size")
    for unit, value in (("Bytes", 1.0), ("Kilobytes", 5.0)):
        recorder.put([Sample(metric, unit, NOW, Aggregate.of(value))], NOW)
    start = NOW - NOW % 60
    both = recorder.read(metric, None, start, start + 60, 60)
    assert both[start].total == 6
    assert recorder.read(metric, "Bytes", start, start + 60, 60)[start].total == 1
    assert recorder.read(metric, "Bits", start, start + 60, 60) == {}


def test_standard_resolution_has_no_seconds(storage: MetricsDatabase) -> None:
    recorder = Recorder(storage, NOW)
    metric = Metric("1", "r", "n", "slow")
    recorder.put([Sample(metric, "None", NOW, Aggregate.of(1.0), high_resolution=False)], NOW)
    start = NOW - NOW % 60
    assert recorder.read(metric, None, start, start + 60, 10) == {}
    assert list(recorder.read(metric, None, start, start + 60, 60)) == [start]


def test_an_idle_variant_is_zero_and_not_missing(storage: MetricsDatabase) -> None:
    recorder = Recorder(storage, NOW)
    recorder.note_idle([VARIANT], NOW)
    start = NOW - NOW % 60
    [seen] = recorder.read(VARIANT.metrics("Invocations")[0], None, start, start + 60, 60).values()
    assert parse("Sum").compute(seen) == 0


def test_retention(storage: MetricsDatabase) -> None:
    """CloudWatch's table: seconds for 3 hours, minutes for 15 days, and so on."""
    recorder = Recorder(storage, NOW)
    metric = Metric("1", "r", "n", "m")
    recorder.put([Sample(metric, "None", NOW, Aggregate.of(1.0))], NOW)
    start = NOW - NOW % 3600

    def periods() -> set[int]:
        return {
            period
            for period in (10, 60, 300, 3600)
            if recorder.read(metric, None, start, start + 3600, period)
        }

    day = 86_400
    for later, left in (
        (0, {10, 60, 300, 3600}),
        (4 * 3600, {60, 300, 3600}),
        (16 * day, {300, 3600}),
        (64 * day, {3600}),
        (460 * day, set()),
    ):
        recorder.expire(NOW + later)
        assert periods() == left
    assert not recorder.heard_of("1", "r", 0.0)


def test_a_flood_of_metrics_is_refused_and_the_rest_goes_on(
    storage: MetricsDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "SERIES_MAX", 50)
    monkeypatch.setattr(series, "NAME_BYTES_MAX", 10_000)
    recorder = Recorder(storage, NOW)
    flood = [
        Sample(Metric("1", "r", "n", f"m{n}"), "None", NOW, Aggregate.of(1.0)) for n in range(51)
    ]
    with pytest.raises(BadValue, match="may have 50"):
        recorder.put(flood, NOW)
    recorder.put(flood[:50], NOW)
    recorder.put(flood[:50], NOW)  # known ones are always welcome
    with pytest.raises(BadValue):
        recorder.put(flood[50:], NOW)
    long = Metric("2", "r", "n", "m", (("d", "x" * 10_000),))
    with pytest.raises(BadValue, match="10000 bytes"):
        recorder.put([Sample(long, "None", NOW, Aggregate.of(1.0))], NOW)
    recorder.record_gateway_rows("w", 1, [row(invocations=1)], now=NOW)
    assert invocations(recorder) == 1


def test_rows_from_far_in_the_future_are_dropped(storage: MetricsDatabase) -> None:
    recorder = Recorder(storage, NOW)
    recorder.record_gateway_rows("w", 1, [row(NOW + 90_000, invocations=1)], now=NOW)
    assert not recorder.heard_of(VARIANT.account, VARIANT.region, 0.0)


def test_rows_that_were_journalled_with_every_member_are_read(storage: MetricsDatabase) -> None:
    """As before members that say nothing were left out of the journal."""
    whole: dict[str, Any] = {
        **dict.fromkeys(("client_errors", "server_errors", "model_errors", "retried"), 0)
    }
    whole |= msgspec.to_builtins(row(invocations=5, per_instance=5.0))
    whole |= dict.fromkeys(("model_latency", "overhead_latency"), (0, 0.0, 0.0, 0.0, []))
    storage.journal(msgspec.msgpack.encode(["rows", [whole]]), now=NOW)
    assert invocations(Recorder(storage, NOW)) == 5


def test_alarm_history_is_paged_in_either_direction(storage: MetricsDatabase) -> None:
    history = Recorder(storage, NOW).history
    alarm = AlarmKey("1", "r", "a")
    for n in range(5):
        history.add(alarm, "MetricAlarm", HistoryItem(NOW + n // 2, "Action", f"s{n}", "{}"))
    history.add(AlarmKey("1", "r", "b"), "MetricAlarm", HistoryItem(NOW, "Action", "other", "{}"))

    def walk(newest_first: bool) -> list[str]:
        asked = HistoryQuery("1", "r", 2, name="a", newest_first=newest_first)
        return [summary for page in history_pages(storage, asked) for summary in page]

    assert walk(newest_first=False) == ["s0", "s1", "s2", "s3", "s4"]
    assert walk(newest_first=True) == ["s4", "s3", "s2", "s1", "s0"]
    only = HistoryQuery("1", "r", 9, start=NOW + 1, end=NOW + 2)
    assert len(history.page(only).items) == 2


@pytest.mark.parametrize("newest_first", [True, False])
def test_no_page_of_alarm_history_looks_at_more_than_a_page_of_work(
    storage: MetricsDatabase, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    """The few items of one kind are found among a month of others, page by page, none missed and
    none twice."""
    monkeypatch.setattr(telemetry_database, "HISTORY_WORK", 10)
    history = Recorder(storage, NOW).history
    alarm, parent = AlarmKey("1", "r", "a"), AlarmKey("1", "r", "p")
    rare = {0, 34, 35, 99}
    for n in range(100):
        kind = "ConfigurationUpdate" if n in rare else "StateUpdate"
        history.add(alarm, "MetricAlarm", HistoryItem(NOW + n // 3, kind, f"s{n}", "{}"))
    history.add(parent, "CompositeAlarm", HistoryItem(NOW + 50, "StateUpdate", "parent", "{}"))
    for asked, expected in (
        ({"type": "ConfigurationUpdate"}, [f"s{n}" for n in sorted(rare)]),
        ({"alarm_types": ("CompositeAlarm",)}, ["parent"]),
        ({"type": "Action"}, []),
        ({"name": "a", "type": "ConfigurationUpdate", "start": NOW + 1.0}, ["s34", "s35", "s99"]),
    ):
        query = HistoryQuery("1", "r", 3, newest_first=newest_first, **cast(Any, asked))
        pages = history_pages(storage, query)
        found = [summary for page in pages for summary in page]
        assert found == (expected[::-1] if newest_first else expected)
        assert len(pages) >= 10, "each looks at ten items"


def history_pages(storage: MetricsDatabase, query: HistoryQuery) -> list[list[str]]:
    """The summaries of all pages."""
    pages, history = list[list[str]](), Recorder(storage, NOW).history
    while True:
        page = history.page(query)
        pages.append([item.summary for _, _, _, item in page.items])
        if page.after is None:
            return pages
        query = replace(query, after=page.after)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    open_metrics(at(tmp_path)).close()
    with sqlite3.connect(tmp_path / "metrics.db") as connection:
        connection.execute("UPDATE metric_schema SET version = 9")
    connection.close()
    with pytest.raises(MetricsRefused, match="version 9"):
        open_metrics(at(tmp_path))


def not_a_database(path: Path) -> None:
    path.write_bytes(b"not a database, surely" * 100)


def another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE somebody_elses (x)")
    connection.close()


def a_changed_row(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE metric_series SET name = 'Other'")
    connection.close()


@pytest.mark.parametrize("damage", [not_a_database, another_database, a_changed_row])
def test_a_damaged_database_is_set_aside_and_begun_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    sample = Sample(Metric("1", "r", "N", "M", ()), "None", NOW, Aggregate.zero())
    with_samples = Recorder(open_metrics(at(tmp_path)), NOW)
    with_samples.put([sample], NOW)
    with_samples.close()
    damage(tmp_path / "metrics.db")
    begun = open_metrics(at(tmp_path))
    assert begun.series() == []
    begun.close()
    assert len(opening.were_set_aside(tmp_path / "metrics.db")) == 1


def test_damage_that_is_met_later_is_an_error_and_set_aside_at_the_next_start(
    tmp_path: Path,
) -> None:
    sample = Sample(Metric("1", "r", "N", "M", ()), "None", NOW, Aggregate.zero())
    first = Recorder(open_metrics(at(tmp_path)), NOW)
    first.put([sample], NOW)
    first.close()
    with sqlite3.connect(tmp_path / "metrics.db") as connection:
        connection.execute("UPDATE metric_chunks SET body = x'00'")
    connection.close()
    second = Recorder(open_metrics(at(tmp_path)), NOW)
    with pytest.raises(MetricsDamaged, match="not what was written"):
        second.read(sample.metric, None, int(NOW) - 3_600, int(NOW) + 3_600, 60)
    second.close()
    third = open_metrics(at(tmp_path))
    assert third.series() == []
    third.close()


# ── counts by step, for the reports of deployments ──────────────────────────────────────────────
STEP = InvocationRow("1", "r", "e", "v", "a1-2-v", "c", "a1-2/3", NOW)


def counted(**counts: Any) -> InvocationRow:
    """A row of a deployment step."""
    return msgspec.structs.replace(STEP, **counts)


def test_each_step_fleet_and_worker_is_a_sum_of_its_own(start: Callable[[], Recorder]) -> None:
    recorder = start()
    latency = (4, 1.0, 1.0, 1.0, [1, 4])
    first = counted(invocations=5, model_latency=latency, model_errors=1, abandoned=1)
    other = counted(fleet="a1-1-v", gateway_errors=2, retried=3)
    back = counted(step="a1-2/back/0", invocations=1)
    over = counted(step="a1-2", invocations=100)
    recorder.record_gateway_rows("7@1.0", 1, [first, other, back, over], now=NOW)
    recorder.record_gateway_rows("7@1.0", 2, [first], now=NOW)
    recorder.record_gateway_rows("8@1.0", 1, [counted(step="a1-3/0", invocations=1)], now=NOW)
    line = StepCount("a1", 2, "3", "a1-2-v", "7@1.0", 10, answered=8, model_errors=2, abandoned=2)
    assert set(recorder.step_counts("a1", 2)) == {
        line,
        StepCount("a1", 2, "3", "a1-1-v", "7@1.0", gateway_errors=2, retried=3),
        StepCount("a1", 2, "back/0", "a1-2-v", "7@1.0", 1),
    }
    assert [count.invocations for count in recorder.step_counts("a1", 3)] == [1]


@pytest.mark.parametrize("seed", seeds(4))
def test_step_counts_are_exact_through_any_crash(start: Callable[[], Recorder], seed: int) -> None:
    """Workers resend what they were not told of, and control dies between any two steps."""
    draw = random.Random(seed)
    recorder = start()
    seq, expected = dict.fromkeys(("7@1.0", "8@1.0"), 0), 0
    for _ in range(40):
        worker = draw.choice(list(seq))
        move = draw.choice(["send", "send", "resend", "fold", "crash"])
        if move == "send":
            seq[worker] += 1
            count = draw.randrange(-1, 9)  # -1: what was begun in the second before was not sent
            expected += count
            recorder.record_gateway_rows(worker, seq[worker], [counted(invocations=count)], now=NOW)
        elif move == "resend" and seq[worker]:
            recorder.record_gateway_rows(worker, seq[worker], [counted(invocations=99)], now=NOW)
        elif move == "fold":
            recorder.fold()
        elif move == "crash":
            recorder = start()
    assert sum(count.invocations for count in recorder.step_counts("a1", 2)) == expected


def test_old_deployments_and_gone_endpoints_are_forgotten(start: Callable[[], Recorder]) -> None:
    recorder = start()
    newest = DEPLOYMENTS_KEPT + 5
    for number in range(1, newest + 1):
        rows = [counted(step=f"a1-{number}/0", invocations=1)]
        recorder.record_gateway_rows("7@1.0", number, rows, now=NOW)
    recorder.record_gateway_rows("8@1.0", 1, [counted(step="b2-1/0", invocations=1)], now=NOW)
    recorder.expire(NOW)
    assert recorder.step_counts("a1", 5) == []
    assert recorder.step_counts("a1", 6) != []
    assert recorder.step_counts("b2", 1) != []
    assert recorder.counted_generations() == {"a1", "b2"}
    recorder.forget_step_counts({"a1"})
    assert recorder.counted_generations() == {"b2"}
    assert recorder.step_counts("a1", newest) == []
