"""The Prometheus page: what the gateway counted since control began, and how things stand now.

Counters are kept in memory and begin at zero with each control process, as Prometheus expects of
counters; what must outlive that is in CloudWatch's metrics. Labels are those of a fleet, whose
number is bounded by the deployments of the last hour; no label holds anything that a request says.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.base import FleetLabels, Render, Scrape
from inservice.telemetry.capacity_page import write_capacity
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.histograms import REQUEST_SECONDS, sum_by_rank
from inservice.telemetry.page import Page
from inservice.telemetry.storage_page import write_storage
from inservice.telemetry.under_way import UnderWay

FLEETS_MAX = 2_000
"""Fleets that are counted; beyond it the one that was quiet the longest is forgotten."""


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

    def write(self, page: Page, at: float, workers: frozenset[int]) -> None:
        """Everything counted, as Prometheus has it at this time while these workers live."""
        with self._lock:
            for labels, count in self._under_way.settle(at, workers):
                self._totals.setdefault(labels, _Total()).dropped += count
            totals = [(labels, total) for labels, total in self._totals.items()]
            under_way = dict.fromkeys(self._totals, 0)  # zero for one invoked once and not now
            for labels, count in self._under_way.inflight(at):
                under_way[labels] = under_way.get(labels, 0) + count
            self._write(page, totals)
        page.gauge(
            "inservice_inflight_requests",
            "The most invocations under way at once in the last second, summed over the workers.",
            FleetLabels._fields,
            under_way.items(),
        )

    def _write(self, page: Page, totals: Sequence[tuple[FleetLabels, _Total]]) -> None:
        names = FleetLabels._fields
        page.counter(
            "inservice_requests",
            "Invocations that were sent to a model, by what it answered; none: nothing.",
            (*names, "code_class"),
            (
                ((*labels, name), count)
                for labels, total in totals
                for name, count in total.classes.items()
            ),
        )
        for name, attribute, says in _HISTOGRAMS:
            seen = ((labels, getattr(total, attribute)) for labels, total in totals)
            page.histogram(name, says, names, seen, REQUEST_SECONDS)
        for name, attribute, says in _COUNTERS:
            counts = ((labels, getattr(total, attribute)) for labels, total in totals)
            page.counter(name, says, names, counts)


_HISTOGRAMS = (
    (
        "inservice_request_duration_seconds",
        "duration",
        "From the request's last byte to its whole answer: model and overhead together.",
    ),
    (
        "inservice_model_latency_seconds",
        "model_latency",
        "From sending to the model to its whole answer.",
    ),
    (
        "inservice_overhead_latency_seconds",
        "overhead_latency",
        "The rest of the time in InService.",
    ),
)

_COUNTERS = (
    (
        "inservice_gateway_errors",
        "gateway_errors",
        "Invocations that the gateway answered with an error of its own.",
    ),
    (
        "inservice_retried_requests",
        "retried",
        "Invocations moved to another instance before anything was sent.",
    ),
    (
        "inservice_mid_stream_errors",
        "mid_stream_errors",
        "Streams that broke after their first byte.",
    ),
    (
        "inservice_abandoned_requests",
        "abandoned",
        "Invocations whose client left before the answer.",
    ),
    (
        "inservice_dropped_requests",
        "dropped",
        "Invocations that nobody will answer: they died with a gateway worker. Stays 0.",
    ),
)


def _write_gauges(page: Page, scrape: Scrape) -> None:
    """How things stand."""
    where = ("account", "region", "endpoint")
    places = [((one.account, one.region, one.endpoint), one) for one in scrape.endpoints]
    page.gauge(
        "inservice_endpoint_info",
        "1 for each endpoint.",
        (*where, "status", "config"),
        (((*place, seen.status, seen.config), 1) for place, seen in places),
    )
    page.gauge(
        "inservice_deployment_step",
        "Row of the deployment that the traffic is at.",
        where,
        ((place, seen.step) for place, seen in places if seen.step is not None),
    )
    page.gauge(
        "inservice_variant_weight",
        "Share of the endpoint's traffic, 0 to 1: current, and desired when its deployment ends.",
        (*FleetLabels._fields, "kind"),
        (
            ((*fleet.labels, kind), share)
            for fleet in scrape.fleets
            for kind, share in (("current", fleet.share), ("desired", fleet.desired))
            if share is not None
        ),
    )
    page.gauge(
        "inservice_instances",
        "Instances of a fleet.",
        (*FleetLabels._fields, "state"),
        (
            ((*fleet.labels, state), count)
            for fleet in scrape.fleets
            for state, count in fleet.instances.items()
        ),
    )
    page.gauge(
        "inservice_alarm_state",
        "1 for the state that an alarm is in.",
        ("account", "region", "alarm", "state"),
        ((alarm, 1) for alarm in scrape.alarms),
    )
    page.gauge(
        "inservice_records_set_aside",
        "Records that could not be read when the server started.",
        (),
        [((), scrape.set_aside)],
    )


def rendering(totals: Totals, happenings: Happenings, page: Page | None = None) -> Render:
    """What renders these counts with a scrape, in the text format, of content type CONTENT_TYPE.
    What was written before, or with `page`, spares writing it again."""
    page = page or Page()

    def render(scrape: Scrape) -> bytes:
        totals.write(page, scrape.at, scrape.workers)
        happenings.write(page)
        _write_gauges(page, scrape)
        if scrape.capacity is not None:
            write_capacity(page, *scrape.capacity)
        if scrape.storage is not None:
            write_storage(page, scrape.storage)
        return page.finish()

    return render
