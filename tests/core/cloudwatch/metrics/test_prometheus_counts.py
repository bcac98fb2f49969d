"""What the Prometheus page adds to the rows: whole durations, requests under way, what is lost."""

from __future__ import annotations

import random
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from inservice.channel.counts import InvocationRow, Values
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import bin_of
from inservice.telemetry.base import Ended, Restarted, Scrape
from inservice.telemetry.happenings import SERIES_MAX, Happenings
from inservice.telemetry.histograms import sum_by_rank
from inservice.telemetry.names import VariantKey
from inservice.telemetry.page import Page
from inservice.telemetry.prometheus import Totals, rendering
from inservice.telemetry.under_way import FRESH_SECONDS

NOW = 1_000.0
first = itemgetter(0)
PLACE = ("000000000000", "us-east-1", "e")


def seen(*values: float) -> Aggregate:
    total = Aggregate.zero()
    for value in values:
        total.merge(Aggregate.of(value))
    return total


def values(*micros: float) -> Values:
    count, total, lowest, highest, bins = seen(*micros).row()
    return count, total, lowest, highest, bins


def row(at: float = NOW, fleet: str = "g-1-v", **counts: Any) -> InvocationRow:
    account, region, endpoint = PLACE
    return InvocationRow(account, region, endpoint, "v", fleet, "c", "g-1", at, **counts)


def page(
    totals: Totals, at: float = NOW, *workers: int, happenings: Happenings | None = None
) -> dict[str, float]:
    """Name, and what tells one series from another → value."""
    scrape = Scrape((), (), (), frozenset(workers), at)
    text = rendering(totals, happenings or Happenings())(scrape).decode()
    return {
        sample.name + "".join(f" {sample.labels[n]}" for n in TELLING if n in sample.labels): value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for value in [sample.value]
    }


TELLING = ("le", "code_class", "strategy", "outcome", "reason")

# ── durations ───────────────────────────────────────────────────────────────────────────────────


def test_one_request_takes_the_sum_of_its_parts() -> None:
    totals = Totals()
    totals.add(
        "7@1",
        [
            row(invocations=1, model_latency=values(4_000), overhead_latency=values(3_000)),
            row(invocations=1, model_latency=values(40_000), overhead_latency=values(500_000)),
        ],
    )
    told = page(totals)
    name = "inservice_request_duration_seconds"
    assert told[f"{name}_count"] == 2
    assert told[f"{name}_sum"] == pytest.approx(0.547)
    assert [told[f"{name}_bucket {le}"] for le in ("0.005", "0.01", "0.5", "1.0", "+Inf")] == [
        *(0, 1, 1, 2, 2)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_which_only_the_parts_are_known(seed: int) -> None:
    """Exact in count and sum; the slowest are never made to look faster than they were."""
    draw = random.Random(seed)
    ones = [draw.lognormvariate(8, 1) for _ in range(200)]
    others = [draw.lognormvariate(7, 2) for _ in range(200)]
    both = sum_by_rank(seen(*ones), seen(*others))
    assert (both.count, sum((both.bins or {}).values())) == (200, 200)
    assert both.total == pytest.approx(sum(ones) + sum(others))
    true = sorted(one + other for one, other in zip(ones, others, strict=True))
    from_sketch = [
        1.02**number for number, n in sorted((both.bins or {}).items()) for _ in range(int(n))
    ]
    for slowest in (1, 10, 50, 100):
        assert sum(from_sketch[-slowest:]) >= 0.98 * sum(true[-slowest:])


def test_nothing_plus_nothing() -> None:
    assert sum_by_rank(Aggregate.zero(), Aggregate.zero()).row() == [0, 0, 0, 0, []]


def test_a_request_is_counted_when_it_is_answered_by_what_became_of_it() -> None:
    totals = Totals()
    totals.add("7@1", [row(invocations=2)])
    totals.add("7@1", [row(model_errors=1, model_latency=values(3_000_000))])
    told = page(totals)
    assert told["inservice_requests_total none"] == 1
    assert told["inservice_requests_total 2xx"] == 0, "the other one is under way"


# ── under way and dropped ───────────────────────────────────────────────────────────────────────
INFLIGHT, DROPPED = "inservice_inflight_requests", "inservice_dropped_requests_total"


def test_requests_under_way_are_summed_over_workers_until_they_are_old() -> None:
    totals = Totals()
    totals.add("7@1", [row(concurrent_max=9)])
    totals.add("7@1", [row(NOW + 1, concurrent_max=3)])
    totals.add("8@1", [row(NOW + 1, concurrent_max=2)])
    assert page(totals, NOW + 1, 7, 8)[INFLIGHT] == 5
    assert page(totals, NOW + 1 + FRESH_SECONDS, 7, 8)[INFLIGHT] == 0


def test_only_what_a_dead_worker_held_is_dropped() -> None:
    totals = Totals()
    totals.add("7@1", [row(invocations=5, model_latency=values(1, 1), abandoned=1)])
    totals.add("8@1", [row(invocations=4, model_latency=values(1))])
    later = NOW + FRESH_SECONDS
    assert page(totals, NOW, 8)[DROPPED] == 0, "its last rows may still come"
    assert page(totals, later, 7, 8)[DROPPED] == 0, "they are under way"
    assert page(totals, later, 8)[DROPPED] == 2
    assert page(totals, later, 8)[DROPPED] == 2, "once"
    totals.add("8@1", [row(later, model_latency=values(1, 1, 1))])
    assert page(totals, later + FRESH_SECONDS)[DROPPED] == 2, "answered before it died"


def test_answers_to_what_was_sent_before_control_began_are_no_credit() -> None:
    totals = Totals()
    totals.add("7@1", [row(model_latency=values(1, 1, 1))])
    totals.add("7@1", [row(invocations=2)])
    assert page(totals, NOW + FRESH_SECONDS)[DROPPED] == 2


# ── happenings ──────────────────────────────────────────────────────────────────────────────────
def test_what_control_did() -> None:
    happenings = Happenings()
    happenings.deployment_ended(Ended(*PLACE, "canary", "RolledBack"), 95.0)
    happenings.deployment_ended(Ended(*PLACE, "canary", "RolledBack"), 2.0)
    happenings.deployment_ended(Ended(*PLACE, "create", "Done"), 1.5)
    happenings.instance_restarted(Restarted(*PLACE, "v", "signal"))
    happenings.instance_ready(VariantKey(*PLACE, "v", "c"), 0.07)
    told = page(Totals(), happenings=happenings)
    assert told["inservice_deployments_total canary RolledBack"] == 2
    assert told["inservice_deployments_total create Done"] == 1
    duration = "inservice_deployment_duration_seconds"
    assert told[f"{duration}_sum canary RolledBack"] == pytest.approx(97.0)
    assert told[f"{duration}_bucket 2.5 canary RolledBack"] == 1
    assert told[f"{duration}_bucket 120.0 canary RolledBack"] == 2
    assert told["inservice_container_restarts_total signal"] == 1
    assert told["inservice_cold_start_seconds_bucket 0.05"] == 0
    assert told["inservice_cold_start_seconds_bucket 0.1"] == 1


def test_what_is_counted_is_bounded() -> None:
    happenings = Happenings()
    for number in range(SERIES_MAX + 5):
        happenings.instance_restarted(Restarted("a", "r", f"e{number}", "v", "exit"))
    text = rendering(Totals(), happenings)(Scrape((), (), ())).decode()
    families = text_string_to_metric_families(text)
    [restarts] = [f for f in families if f.name == "inservice_container_restarts"]
    assert len(restarts.samples) == SERIES_MAX
    assert restarts.samples[-1].labels["endpoint"] == f"e{SERIES_MAX + 4}"


# ── the text ────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.tuples(st.text(max_size=8), st.integers(0, 10**9)), max_size=6, unique_by=first),
    st.text(max_size=20),
)
def test_the_text_is_what_prometheus_own_client_writes(
    told: list[tuple[str, int]], says: str
) -> None:
    """Its library is the second implementation, whatever labels and help hold."""
    names = ("b", "a")
    mine, theirs = Page(), CollectorRegistry(auto_describe=False)
    counter = CounterMetricFamily("n", says, labels=names)
    gauge = GaugeMetricFamily("g", says, labels=names)
    histogram = HistogramMetricFamily("h", says, labels=names)
    for text, number in told:
        counter.add_metric((text, "x"), number)
        gauge.add_metric((text, "x"), number / 7)
        counts = [("0.001", number <= 1_000), ("60.0", number <= 60_000_000), ("+Inf", 1)]
        histogram.add_metric((text, "x"), counts, sum_value=number / 1e6)
    theirs.register(Collected([counter, gauge, histogram]))
    mine.counter("n", says, names, [((text, "x"), number) for text, number in told])
    mine.gauge("g", says, names, [((text, "x"), number / 7) for text, number in told])
    durations = [((text, "x"), Aggregate.of(float(number))) for text, number in told]
    mine.histogram("h", says, names, durations, (0.001, 60.0))
    near = {number for _, number in told if bin_of(number) in (bin_of(1_000), bin_of(60_000_000))}
    assert near or mine.finish() == generate_latest(theirs)


@given(st.floats() | st.integers(-(10**18), 10**18))
def test_numbers_are_written_as_the_client_library_writes_them(number: float) -> None:
    mine, theirs = Page(), CollectorRegistry(auto_describe=False)
    gauge = GaugeMetricFamily("g", "says", labels=["of"])
    gauge.add_metric(("it",), number)
    theirs.register(Collected([gauge]))
    mine.gauge("g", "says", ("of",), [(("it",), number)])
    assert mine.finish() == generate_latest(theirs)


class Collected(Collector):
    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families


def test_what_did_not_change_is_not_written_again() -> None:
    """Three hundred endpoints are ten thousand lines, and a scrape comes every few seconds."""
    happenings, kept = Happenings(), Page()
    for number in range(300):
        happenings.deployment_ended(Ended(*PLACE[:2], f"e{number}", "AllAtOnce", "Done"), 1.0)
    scrape = Scrape((), (), ())
    first = rendering(Totals(), happenings, kept)(scrape)
    assert kept.written == 300
    assert rendering(Totals(), happenings, kept)(scrape) == first
    assert kept.written == 300
    happenings.deployment_ended(Ended(*PLACE[:2], "e7", "AllAtOnce", "Done"), 1.0)
    assert rendering(Totals(), happenings, kept)(scrape) == rendering(Totals(), happenings)(scrape)
    assert kept.written == 301
