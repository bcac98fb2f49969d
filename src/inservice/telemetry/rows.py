"""The samples that a gateway worker's rows mean, and what they say of deployments' steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from inservice.channel.counts import InvocationRow
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import ZERO, bin_of
from inservice.telemetry.base import Sample, StepCount
from inservice.telemetry.names import METRICS, VariantKey

_STEP = re.compile(r"(?P<generation>[^/]+)-(?P<number>\d+)/(?P<place>.+)")
""""<deployment id>/<row>", or "<deployment id>/back/<row>"."""


def variant_of(row: InvocationRow) -> VariantKey:
    """Whose metrics these are."""
    return VariantKey(row.account, row.region, row.endpoint, row.variant, row.config)


def samples_of(row: InvocationRow) -> Iterator[Sample]:
    """The row as samples of every metric it says something about, in both dimension sets."""
    for name, seen in _aggregates(row):
        for metric in variant_of(row).metrics(name):
            yield Sample(metric, METRICS[name].unit, row.at, seen)


def step_counts_of(rows: Iterable[InvocationRow], worker: str) -> list[StepCount]:
    """What rows say of steps. Rows from between deployments say nothing of any."""
    return [
        StepCount(
            generation=step["generation"],
            number=int(step["number"]),
            place=step["place"],
            fleet=row.fleet,
            worker=worker,
            invocations=row.begun,
            answered=int(row.model_latency[0]),
            model_errors=row.model_errors,
            abandoned=row.abandoned,
            gateway_errors=row.gateway_errors,
            retried=row.retried,
        )
        for row in rows
        if (step := _STEP.fullmatch(row.step))
    ]


def _aggregates(row: InvocationRow) -> Iterator[tuple[str, Aggregate]]:
    sent, answered = row.invocations, int(row.model_latency[0])
    if row.concurrent_max:
        yield "ConcurrentRequestsPerModel", Aggregate.of(row.concurrent_max)
    if sent:
        each = row.per_instance / sent
        yield "Invocations", Aggregate.of(1.0, sent)
        yield (
            "InvocationsPerInstance",
            Aggregate(sent, row.per_instance, each, each, {bin_of(each): sent}),
        )
    if answered:
        yield "Invocation4XXErrors", _flags(row.client_errors, answered)
        yield "Invocation5XXErrors", _flags(row.server_errors, answered)
        yield "InvocationModelErrors", _flags(row.model_errors, answered)
        if row.mid_stream_errors:
            yield "MidStreamErrors", _flags(row.mid_stream_errors, answered)
    for name, values in (
        ("ModelLatency", row.model_latency),
        ("OverheadLatency", row.overhead_latency),
        ("FirstChunkModelLatency", row.first_chunk_latency),
    ):
        if values[0]:
            yield name, Aggregate.from_row(values)


def _flags(ones: int, count: int) -> Aggregate:
    """A one for each of `ones` and a zero for each of the rest: their average is the error rate.

    Of the answers of that time, and not of what was sent in it: a model that fails slowly fails in
    seconds in which it is sent nothing.
    """
    bins = {bin_of(1.0): float(ones), ZERO: float(count - ones)}
    return Aggregate(
        count,
        ones,
        1.0 if ones == count else 0.0,
        1.0 if ones else 0.0,
        {number: mass for number, mass in bins.items() if mass},
    )
