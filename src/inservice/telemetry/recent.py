"""What each fleet was asked and answered in the last seconds, for a live view.

A live view must be true at once. A rate over a fixed window is not: a fleet that has taken traffic
for two seconds would show a fraction of its rate, and one that takes none any more would go on
showing some. So the window begins where the present step of the deployment did, since the step is
what decides who gets which traffic, is at most WINDOW_SECONDS long, and counts only what gateway
workers counted under that step. A worker tells once a second, so a window has that resolution.

Nothing here is kept through an end of control: the next one knows again within a second.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import masses, quantile
from inservice.telemetry.base import Traffic

WINDOW_SECONDS = 10.0
"""Long enough that a few requests a second make a steady number, short enough to see a change."""

SILENT_SECONDS = 2.0
"""A worker that counted anything tells it within one second; one that says nothing for two has
nothing to tell, and the time counts as time without requests."""

_KEPT_SECONDS = WINDOW_SECONDS + SILENT_SECONDS


class RecentTraffic:
    """The newest rows of every fleet. May be used from any thread."""

    def __init__(self, began: float) -> None:
        """`began`, epoch seconds: of what was before, this process has not been told."""
        self._began = began
        self._lock = threading.Lock()
        self._rows: dict[str, deque[InvocationRow]] = {}

    def add(self, rows: Iterable[InvocationRow]) -> None:
        """Keep rows; each is given once."""
        with self._lock:
            for row in rows:
                kept = self._rows.pop(row.fleet, None) or deque()
                kept.append(row)
                while kept[0].at <= row.at - _KEPT_SECONDS:
                    kept.popleft()
                self._rows[row.fleet] = kept  # at the end: whoever is silent comes first
                while self._rows[silent := next(iter(self._rows))][-1].at < row.at - _KEPT_SECONDS:
                    del self._rows[silent]

    def of(self, fleet: str, step: str, *, since: float, now: float) -> Traffic:
        """A fleet at a step (`Deployment.step_id`) that began at `since`, epoch seconds."""
        begin = max(since, now - WINDOW_SECONDS, self._began)
        with self._lock:
            kept = [
                row
                for row in self._rows.get(fleet, ())
                if row.step == step and begin < row.at <= now + SILENT_SECONDS
            ]
        return _summed(kept, begin, now)


def _summed(rows: list[InvocationRow], begin: float, now: float) -> Traffic:
    # What came after the newest row is not told yet, unless it would have been by now.
    told = max((row.at for row in rows), default=now)
    end = now if now - told > SILENT_SECONDS else told
    seconds = max(1.0, end - begin)
    answered = sum(int(row.model_latency[0]) for row in rows)
    refused = sum(row.gateway_errors for row in rows)
    errors = sum(row.model_errors for row in rows) + refused
    latency = Aggregate.zero()
    for row in rows:
        latency.merge(Aggregate.from_row(row.model_latency))
    return Traffic(
        seconds=seconds,
        requests_per_second=max(0, sum(row.begun for row in rows) + refused) / seconds,
        error_percent=100 * errors / (answered + refused) if answered + refused else None,
        p50_ms=_quantile_ms(latency, 0.5),
        p99_ms=_quantile_ms(latency, 0.99),
    )


def _quantile_ms(latency: Aggregate, fraction: float) -> float | None:
    """Of latencies in microseconds."""
    if not latency.count or not latency.bins:
        return None
    ordered = masses(latency.bins, latency.lowest, latency.highest)
    return quantile(ordered, latency.count, fraction) / 1000
