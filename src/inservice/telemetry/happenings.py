"""What control itself did and Prometheus counts: deployments that ended, instances that started.

Like the gateway's counts these begin at zero with each control process. What happened before is in
the events of an endpoint and, for ModelSetupTime, in CloudWatch's metrics.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.histograms import DEPLOYMENT_SECONDS, START_SECONDS, add_histogram
from inservice.telemetry.names import VariantKey

SERIES_MAX = 2_000
"""Of each kind; beyond it the one to which nothing happened the longest is forgotten."""


class Ended(NamedTuple):
    """A kind of end of an endpoint's deployments."""

    account: str
    region: str
    endpoint: str
    strategy: str
    outcome: str  # Done, RolledBack, Failed, RollbackFailed


class Restarted(NamedTuple):
    """A kind of death of a variant's instances."""

    account: str
    region: str
    endpoint: str
    variant: str
    reason: str  # exit, signal, out_of_memory, unknown


class Started(NamedTuple):
    """A variant whose instances became ready."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str


class Posted(NamedTuple):
    """A kind of end of what was posted to a receiver."""

    kind: str  # alarm, deployment
    outcome: str  # delivered, failed, dropped


Key = TypeVar("Key")


class Happenings:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deployments: OrderedDict[Ended, Aggregate] = OrderedDict()
        self._restarts: OrderedDict[Restarted, Aggregate] = OrderedDict()
        self._starts: OrderedDict[Started, Aggregate] = OrderedDict()
        self._posted: OrderedDict[Posted, Aggregate] = OrderedDict()

    def deployment_ended(self, ended: Ended, seconds: float) -> None:
        """A deployment has its outcome, `seconds` after its call."""
        self._count(self._deployments, ended, seconds)

    def instance_restarted(self, restarted: Restarted) -> None:
        """An instance was launched again in place of one whose process had died."""
        self._count(self._restarts, restarted, 0.0)

    def instance_ready(self, variant: VariantKey, seconds: float) -> None:
        """An instance answered its first /ping with 200, `seconds` after its launch."""
        started = Started(
            variant.account, variant.region, variant.endpoint, variant.variant, variant.config
        )
        self._count(self._starts, started, seconds)

    def webhook_ended(self, posted: Posted) -> None:
        """A receiver was told, or it was given up."""
        self._count(self._posted, posted, 0.0)

    def _count(self, counts: OrderedDict[Key, Aggregate], key: Key, seconds: float) -> None:
        with self._lock:
            counts.setdefault(key, Aggregate.zero()).merge(Aggregate.of(max(0.0, seconds) * 1e6))
            counts.move_to_end(key)
            while len(counts) > SERIES_MAX:
                counts.popitem(last=False)

    def families(self) -> Iterator[Metric]:
        """Everything counted, as Prometheus has it."""
        deployments = CounterMetricFamily(
            "inservice_deployments", "Deployments that ended, by how.", labels=Ended._fields
        )
        durations = HistogramMetricFamily(
            "inservice_deployment_duration_seconds",
            "From the call to the outcome of a deployment.",
            labels=Ended._fields,
        )
        restarts = CounterMetricFamily(
            "inservice_container_restarts",
            "Instances launched again because their process had died, by how it died.",
            labels=Restarted._fields,
        )
        starts = HistogramMetricFamily(
            "inservice_cold_start_seconds",
            "From launching an instance to its first ping 200.",
            labels=Started._fields,
        )
        webhooks = CounterMetricFamily(
            "inservice_webhooks",
            "Messages to receivers of alarm actions and deployment outcomes, by how they ended.",
            labels=Posted._fields,
        )
        with self._lock:
            for posted, seen in self._posted.items():
                webhooks.add_metric(posted, seen.count)
            for ended, seen in self._deployments.items():
                deployments.add_metric(ended, seen.count)
                add_histogram(durations, ended, seen, DEPLOYMENT_SECONDS)
            for restarted, seen in self._restarts.items():
                restarts.add_metric(restarted, seen.count)
            for started, seen in self._starts.items():
                add_histogram(starts, started, seen, START_SECONDS)
        yield from (deployments, durations, restarts, starts, webhooks)
