"""What a row of a gateway worker means as datapoints."""

from __future__ import annotations

from inservice.channel.counts import InvocationRow, Values
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.rows import samples_of

PLACE = ("000000000000", "us-east-1", "e", "v", "g-1-v", "c", "g-1", 60.0)
ERRORS = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")


def seen(*rows: InvocationRow) -> dict[str, tuple[float, float]]:
    """By metric: how many samples of all rows, and their sum."""
    totals: dict[str, Aggregate] = {}
    for row in rows:
        for sample in samples_of(row):
            if "EndpointConfigName" in dict(sample.metric.dimensions):
                continue  # the same again, by config
            totals.setdefault(sample.metric.name, Aggregate.zero()).merge(sample.seen)
    return {name: (total.count, total.total) for name, total in totals.items()}


def values_of(aggregate: Aggregate) -> Values:
    count, total, lowest, highest, bins = aggregate.row()
    return count, total, lowest, highest, bins


def test_a_slow_failure_is_an_error_though_nothing_was_sent_in_its_second() -> None:
    begun = InvocationRow(*PLACE, invocations=1, per_instance=0.5, concurrent_max=1)
    failed = InvocationRow(
        *PLACE, model_errors=1, server_errors=1, model_latency=values_of(Aggregate.of(3e6))
    )
    assert not any(name in seen(begun) for name in ERRORS)
    both = seen(begun, failed)
    assert both == both | {
        "Invocations": (1, 1),
        "InvocationModelErrors": (1, 1),
        "Invocation5XXErrors": (1, 1),
        "Invocation4XXErrors": (1, 0),
    }


def test_the_error_rate_is_that_of_the_answers() -> None:
    latency = Aggregate.of(1e3)
    latency.merge(Aggregate.of(1e3))
    row = InvocationRow(
        *PLACE, invocations=10, per_instance=5.0, model_errors=1, model_latency=values_of(latency)
    )
    assert seen(row)["Invocations"] == (10, 10)
    assert seen(row)["InvocationModelErrors"] == (2, 1)
