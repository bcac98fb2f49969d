"""The Prometheus page: what the gateway counted since control began, and how things stand now.

Counters are kept in memory and begin at zero with each control process, as Prometheus expects of
counters; what must outlive that is in CloudWatch's metrics. Labels are those of a fleet, whose
number is bounded by the deployments of the last hour; no label holds anything that a request says.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from inservice.metrics.aggregates import Aggregate
from inservice.metrics.rows import GatewayRow
from inservice.metrics.sketches import bin_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FLEETS_MAX = 2_000
"""Fleets that are counted; beyond it the one that was quiet the longest is forgotten."""

BUCKETS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""A cheap model answers in a millisecond, and no invocation may take longer than a minute."""


class FleetLabels(NamedTuple):
    """Whose value it is."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str
    fleet: str


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """An endpoint as it is."""

    account: str
    region: str
    endpoint: str
    status: str
    config: str
    step: int | None  # row of the deployment that its traffic belongs to


@dataclass(frozen=True, slots=True)
class FleetSeen:
    """A fleet as it is."""

    labels: FleetLabels
    share: float  # of the endpoint's traffic
    instances: Mapping[str, int]  # by state


@dataclass(frozen=True, slots=True)
class Scrape:
    """How things stand at the moment of a scrape."""

    endpoints: Sequence[EndpointSeen]
    fleets: Sequence[FleetSeen]
    alarms: Sequence[tuple[str, str, str, str]]  # account, region, name, state


@dataclass(slots=True)
class _Total:
    classes: dict[str, float] = field(default_factory=dict)
    gateway_errors: float = 0.0
    retried: float = 0.0
    mid_stream_errors: float = 0.0
    abandoned: float = 0.0
    model_latency: Aggregate = field(default_factory=Aggregate.zero)
    overhead_latency: Aggregate = field(default_factory=Aggregate.zero)


class Totals:
    """What gateway workers counted, fleet by fleet, since this process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: OrderedDict[FleetLabels, _Total] = OrderedDict()

    def add(self, rows: Iterable[GatewayRow]) -> None:
        """Count rows; each is given once."""
        with self._lock:
            for row in rows:
                labels = FleetLabels(
                    row.account, row.region, row.endpoint, row.variant, row.config, row.fleet
                )
                self._add(self._totals.setdefault(labels, _Total()), row)
                self._totals.move_to_end(labels)
            while len(self._totals) > FLEETS_MAX:
                self._totals.popitem(last=False)

    def _add(self, total: _Total, row: GatewayRow) -> None:
        unanswered = max(0, row.model_errors - row.client_errors - row.server_errors)
        counts = {
            "2xx": row.invocations - row.model_errors,
            "4xx": row.client_errors,
            "5xx": row.server_errors,
            "none": unanswered,
        }
        for name, count in counts.items():
            total.classes[name] = total.classes.get(name, 0.0) + max(0, count)
        total.gateway_errors += row.gateway_errors
        total.retried += row.retried
        total.mid_stream_errors += row.mid_stream_errors
        total.abandoned += row.abandoned
        for aggregate, values in (
            (total.model_latency, row.model_latency),
            (total.overhead_latency, row.overhead_latency),
        ):
            if values[0]:
                aggregate.merge(Aggregate.from_row(values))

    def families(self) -> Iterator[Metric]:
        """Everything counted, as Prometheus has it."""
        labels = FleetLabels._fields
        requests = CounterMetricFamily(
            "inservice_requests",
            "Invocations that were sent to a model, by what it answered; none: nothing.",
            labels=(*labels, "code_class"),
        )
        model = HistogramMetricFamily(
            "inservice_model_latency_seconds",
            "From sending to the model to its whole answer.",
            labels=labels,
        )
        overhead = HistogramMetricFamily(
            "inservice_overhead_latency_seconds",
            "The rest of the time in InService.",
            labels=labels,
        )
        plain = {
            "gateway_errors": CounterMetricFamily(
                "inservice_gateway_errors",
                "Invocations that the gateway answered with an error of its own.",
                labels=labels,
            ),
            "retried": CounterMetricFamily(
                "inservice_retried_requests",
                "Invocations moved to another instance before anything was sent.",
                labels=labels,
            ),
            "mid_stream_errors": CounterMetricFamily(
                "inservice_mid_stream_errors",
                "Streams that broke after their first byte.",
                labels=labels,
            ),
            "abandoned": CounterMetricFamily(
                "inservice_abandoned_requests",
                "Invocations whose client left before the answer.",
                labels=labels,
            ),
        }
        with self._lock:
            for key, total in self._totals.items():
                for name, count in total.classes.items():
                    requests.add_metric((*key, name), count)
                for attribute, family in plain.items():
                    family.add_metric(key, getattr(total, attribute))
                _add_histogram(model, key, total.model_latency)
                _add_histogram(overhead, key, total.overhead_latency)
        yield from (requests, model, overhead, *plain.values())


def _add_histogram(family: HistogramMetricFamily, labels: FleetLabels, seen: Aggregate) -> None:
    bins = seen.bins or {}
    buckets = []
    for seconds in BUCKETS_SECONDS:
        border = bin_of(seconds * 1e6)
        within = sum(count for number, count in bins.items() if number <= border)
        buckets.append((str(seconds), within))
    family.add_metric(labels, [*buckets, ("+Inf", seen.count)], sum_value=seen.total / 1e6)


def _gauges(scrape: Scrape) -> Iterator[Metric]:
    """How things stand."""
    where = ("account", "region", "endpoint")
    info = GaugeMetricFamily(
        "inservice_endpoint_info", "1 for each endpoint.", labels=(*where, "status", "config")
    )
    step = GaugeMetricFamily(
        "inservice_deployment_step", "Row of the deployment that the traffic is at.", labels=where
    )
    for seen in scrape.endpoints:
        place = (seen.account, seen.region, seen.endpoint)
        info.add_metric((*place, seen.status, seen.config), 1)
        if seen.step is not None:
            step.add_metric(place, seen.step)
    weight = GaugeMetricFamily(
        "inservice_variant_weight",
        "Share of the endpoint's traffic that a fleet has now, 0 to 1.",
        labels=(*FleetLabels._fields, "kind"),
    )
    instances = GaugeMetricFamily(
        "inservice_instances", "Instances of a fleet.", labels=(*FleetLabels._fields, "state")
    )
    for fleet in scrape.fleets:
        weight.add_metric((*fleet.labels, "current"), fleet.share)
        for state, count in fleet.instances.items():
            instances.add_metric((*fleet.labels, state), count)
    alarms = GaugeMetricFamily(
        "inservice_alarm_state",
        "1 for the state that an alarm is in.",
        labels=("account", "region", "alarm", "state"),
    )
    for alarm in scrape.alarms:
        alarms.add_metric(alarm, 1)
    yield from (info, step, weight, instances, alarms)


class _Page(Collector):
    """Collected once."""

    def __init__(self, totals: Totals, scrape: Scrape) -> None:
        self._totals = totals
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        yield from self._totals.families()
        yield from _gauges(self._scrape)


def render(totals: Totals, scrape: Scrape) -> bytes:
    """The page, in the text format, of content type CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(totals, scrape))
    return generate_latest(registry)
