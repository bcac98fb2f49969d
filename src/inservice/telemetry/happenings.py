"""What control itself did and Prometheus counts: deployments that ended, instances that started.

Like the gateway's counts these begin at zero with each control process. What happened before is in
the events of an endpoint and, for ModelSetupTime, in CloudWatch's metrics.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeVar

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.base import Ended, Posted, Restarted, Started
from inservice.telemetry.histograms import DEPLOYMENT_SECONDS, START_SECONDS
from inservice.telemetry.names import VariantKey
from inservice.telemetry.page import Page

SERIES_MAX = 2_000
"""Of each kind; beyond it the one to which nothing happened the longest is forgotten."""


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

    def write(self, page: Page) -> None:
        """Everything counted, as Prometheus has it."""
        with self._lock:
            ended = [(key, seen.copy()) for key, seen in self._deployments.items()]
            restarts = [(key, seen.count) for key, seen in self._restarts.items()]
            starts = [(key, seen.copy()) for key, seen in self._starts.items()]
            posted = [(key, seen.count) for key, seen in self._posted.items()]
        page.counter(
            "inservice_deployments",
            "Deployments that ended, by how.",
            Ended._fields,
            [(key, seen.count) for key, seen in ended],
        )
        page.histogram(
            "inservice_deployment_duration_seconds",
            "From the call to the outcome of a deployment.",
            Ended._fields,
            ended,
            DEPLOYMENT_SECONDS,
        )
        page.counter(
            "inservice_container_restarts",
            "Instances launched again because their process had died, by how it died.",
            Restarted._fields,
            restarts,
        )
        page.histogram(
            "inservice_cold_start_seconds",
            "From launching an instance to its first ping 200.",
            Started._fields,
            starts,
            START_SECONDS,
        )
        page.counter(
            "inservice_webhooks",
            "Messages to receivers of alarm actions and deployment outcomes, by how they ended.",
            Posted._fields,
            posted,
        )
