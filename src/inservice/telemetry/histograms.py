"""The borders of Prometheus's buckets, and the sketch of a sum."""

from __future__ import annotations

from collections.abc import Iterator

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import Bins, bin_of, masses

REQUEST_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""A cheap model answers in a millisecond, and no invocation may take longer than a minute."""

START_SECONDS = (
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0),
)
"""A forked instance is ready within some tens of milliseconds; AWS lets a container take an hour.
"""

DEPLOYMENT_SECONDS = (
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
    *(1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0),
)
"""Up to the longest MaximumExecutionTimeoutInSeconds."""


def sum_by_rank(one: Aggregate, other: Aggregate) -> Aggregate:
    """The sums of pairs of which only the parts are known, each part in a sketch of its own.

    Count and sum are exact. Which part belongs to which is not known, so the slowest of one is
    paired with the slowest of the other: of all pairings this has the heaviest tail, that is, the
    mean of the slowest requests is never understated. A single pair is exact.
    """
    bins: Bins = {}
    largest = smallest = 0.0
    for number, (value, count) in enumerate(_pairs(_sorted(one), _sorted(other))):
        smallest, largest = value if number == 0 else smallest, value
        place = bin_of(value)
        bins[place] = bins.get(place, 0) + count
    return Aggregate(one.count, one.total + other.total, smallest, largest, bins)


def _sorted(seen: Aggregate) -> Iterator[tuple[float, float]]:
    return masses(seen.bins or {}, seen.lowest, seen.highest)


def _pairs(
    ones: Iterator[tuple[float, float]], others: Iterator[tuple[float, float]]
) -> Iterator[tuple[float, float]]:
    """(sum, how many) in ascending order, for as long as there are values of both."""
    one, count = next(ones, (0.0, 0.0))
    other, other_count = next(others, (0.0, 0.0))
    while count and other_count:
        both = min(count, other_count)
        yield one + other, both
        count, other_count = count - both, other_count - both
        if not count:
            one, count = next(ones, (0.0, 0.0))
        if not other_count:
            other, other_count = next(others, (0.0, 0.0))
