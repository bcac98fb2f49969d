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

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.histograms import REQUEST_SECONDS, add_histogram, sum_by_rank
from inservice.telemetry.under_way import UnderWay

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FLEETS_MAX = 2_000
"""Fleets that are counted; beyond it the one that was quiet the longest is forgotten."""


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
    share: float | None  # of the endpoint's traffic; None: it is in no table
    desired: float | None  # the share that its deployment ends with; None: it takes no part
    instances: Mapping[str, int]  # by state


@dataclass(frozen=True, slots=True)
class Scrape:
    """How things stand at the moment of a scrape."""

    endpoints: Sequence[EndpointSeen]
    fleets: Sequence[FleetSeen]
    alarms: Sequence[tuple[str, str, str, str]]  # account, region, name, state
    workers: frozenset[int] = frozenset()  # process ids of the gateway workers that live
    at: float = 0.0  # epoch seconds
    set_aside: int = 0  # records that could not be read


@dataclass(slots=True)
class _Total:
    classes: dict[str, float] = field(default_factory=dict)
    gateway_errors: float = 0.0
    retried: float = 0.0
    mid_stream_errors: float = 0.0
    abandoned: float = 0.0
    dropped: float = 0.0
    duration: Aggregate = field(default_factory=Aggregate.zero)
    model_latency: Aggregate = field(default_factory=Aggregate.zero)
    overhead_latency: Aggregate = field(default_factory=Aggregate.zero)


class Totals:
    """What gateway workers counted, fleet by fleet, since this process began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: OrderedDict[FleetLabels, _Total] = OrderedDict()
        self._under_way: UnderWay[FleetLabels] = UnderWay()

    def add(self, worker: str, rows: Iterable[InvocationRow]) -> None:
        """Count rows of one life of one worker; each is given once."""
        with self._lock:
            for row in rows:
                labels = FleetLabels(
                    row.account, row.region, row.endpoint, row.variant, row.config, row.fleet
                )
                self._add(self._totals.setdefault(labels, _Total()), row)
                self._totals.move_to_end(labels)
                self._under_way.add(worker, labels, row)
            while len(self._totals) > FLEETS_MAX:
                self._totals.popitem(last=False)

    def _add(self, total: _Total, row: InvocationRow) -> None:
        unanswered = max(0, row.model_errors - row.client_errors - row.server_errors)
        counts = {
            "2xx": int(row.model_latency[0]) - row.model_errors,
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
        model = Aggregate.from_row(row.model_latency)
        overhead = Aggregate.from_row(row.overhead_latency)
        total.model_latency.merge(model)
        total.overhead_latency.merge(overhead)
        total.duration.merge(sum_by_rank(model, overhead))

    def families(self, at: float, workers: frozenset[int]) -> list[Metric]:
        """Everything counted, as Prometheus has it at this time while these workers live."""
        with self._lock:
            for labels, count in self._under_way.settle(at, workers):
                self._totals.setdefault(labels, _Total()).dropped += count
            return [*self._counted(), _inflight(self._totals, self._under_way.inflight(at))]

    def _counted(self) -> Iterator[Metric]:
        labels = FleetLabels._fields
        requests = CounterMetricFamily(
            "inservice_requests",
            "Invocations that were sent to a model, by what it answered; none: nothing.",
            labels=(*labels, "code_class"),
        )
        duration = HistogramMetricFamily(
            "inservice_request_duration_seconds",
            "From the request's last byte to its whole answer: model and overhead together.",
            labels=labels,
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
            "dropped": CounterMetricFamily(
                "inservice_dropped_requests",
                "Invocations that nobody will answer: they died with a gateway worker. Stays 0.",
                labels=labels,
            ),
        }
        for key, total in self._totals.items():
            for name, count in total.classes.items():
                requests.add_metric((*key, name), count)
            for attribute, family in plain.items():
                family.add_metric(key, getattr(total, attribute))
            add_histogram(duration, key, total.duration, REQUEST_SECONDS)
            add_histogram(model, key, total.model_latency, REQUEST_SECONDS)
            add_histogram(overhead, key, total.overhead_latency, REQUEST_SECONDS)
        yield from (requests, duration, model, overhead, *plain.values())


def _inflight(
    fleets: Iterable[FleetLabels], said: Iterable[tuple[FleetLabels, int]]
) -> GaugeMetricFamily:
    """Zero for a fleet that was invoked once and is not now."""
    family = GaugeMetricFamily(
        "inservice_inflight_requests",
        "The most invocations under way at once in the last second, summed over the workers.",
        labels=FleetLabels._fields,
    )
    under_way = dict.fromkeys(fleets, 0)
    for labels, count in said:
        under_way[labels] = under_way.get(labels, 0) + count
    for labels, count in under_way.items():
        family.add_metric(labels, count)
    return family


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
        "Share of the endpoint's traffic, 0 to 1: current, and desired when its deployment ends.",
        labels=(*FleetLabels._fields, "kind"),
    )
    instances = GaugeMetricFamily(
        "inservice_instances", "Instances of a fleet.", labels=(*FleetLabels._fields, "state")
    )
    for fleet in scrape.fleets:
        for kind, share in (("current", fleet.share), ("desired", fleet.desired)):
            if share is not None:
                weight.add_metric((*fleet.labels, kind), share)
        for state, count in fleet.instances.items():
            instances.add_metric((*fleet.labels, state), count)
    alarms = GaugeMetricFamily(
        "inservice_alarm_state",
        "1 for the state that an alarm is in.",
        labels=("account", "region", "alarm", "state"),
    )
    for alarm in scrape.alarms:
        alarms.add_metric(alarm, 1)
    aside = GaugeMetricFamily(
        "inservice_records_set_aside",
        "Records that could not be read when the server started.",
        value=scrape.set_aside,
    )
    yield from (info, step, weight, instances, alarms, aside)


class _Page(Collector):
    """Collected once."""

    def __init__(self, totals: Totals, happenings: Happenings, scrape: Scrape) -> None:
        self._totals = totals
        self._happenings = happenings
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        yield from self._totals.families(self._scrape.at, self._scrape.workers)
        yield from self._happenings.families()
        yield from _gauges(self._scrape)


def render(totals: Totals, happenings: Happenings, scrape: Scrape) -> bytes:
    """The page, in the text format, of content type CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(totals, happenings, scrape))
    return generate_latest(registry)
