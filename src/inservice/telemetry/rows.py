"""What a gateway worker tells control about once a second, and the samples it means.

A row is what one worker counted of one fleet at one step of a deployment. Latencies are sketches
(`cloudwatch.metrics.sketches`): what the workers counted apart adds up to what one of them would
have counted.
The row's members are those of `transport.tables.InvocationRow`, which is the worker's end of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import ZERO, bin_of
from inservice.telemetry.datapoints import Sample
from inservice.telemetry.names import METRICS, VariantKey
from inservice.telemetry.step_counts import StepCount

Values = tuple[float, float, float, float, list[int]]
"""(count, sum, smallest, largest, bins): what `Aggregate.row` gives."""

NO_VALUES: Values = (0, 0.0, 0.0, 0.0, [])

_STEP = re.compile(r"(?P<generation>[^/]+)-(?P<number>\d+)/(?P<place>.+)")
""""<deployment id>/<row>", or "<deployment id>/back/<row>"."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """About a second of one fleet, as one worker saw it."""

    account: str
    region: str
    endpoint: str
    variant: str
    fleet: str
    config: str
    step: str  # what it is counted under: see `deployment.state.Deployment.step_id`
    at: float  # when this stretch of counting ended
    invocations: int = 0  # sent to the variant, whatever came of them
    taken_back: int = 0  # counted by an earlier row, and could not be sent after all
    client_errors: int = 0  # the model answered 4xx
    server_errors: int = 0  # the model answered 5xx
    model_errors: int = 0  # not 2xx, no answer, or no HTTP
    gateway_errors: int = 0  # answered by the gateway itself
    retried: int = 0  # moved to another instance before anything was sent
    mid_stream_errors: int = 0  # streams that broke after their first byte
    abandoned: int = 0  # the client left before the answer
    per_instance: float = 0.0  # sum of 1/n over the invocations
    concurrent_max: int = 0  # the most under way at once
    model_latency: Values = NO_VALUES
    overhead_latency: Values = NO_VALUES
    first_chunk_latency: Values = NO_VALUES

    @property
    def begun(self) -> int:
        """What the row adds to the invocations that the rows before it have told; may be negative.

        Sums go by it. A datapoint cannot take back what an earlier one has said.
        """
        return self.invocations - self.taken_back

    @property
    def variant_key(self) -> VariantKey:
        """Whose metrics these are."""
        return VariantKey(self.account, self.region, self.endpoint, self.variant, self.config)


def samples_of(row: GatewayRow) -> Iterator[Sample]:
    """The row as samples of every metric it says something about, in both dimension sets."""
    for name, seen in _aggregates(row):
        for metric in row.variant_key.metrics(name):
            yield Sample(metric, METRICS[name].unit, row.at, seen)


def step_counts_of(rows: Iterable[GatewayRow], worker: str) -> list[StepCount]:
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


def _aggregates(row: GatewayRow) -> Iterator[tuple[str, Aggregate]]:
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
