"""The histogram behind percentiles: logarithmic bins in a plain dict.

A value v > 0 falls in bin ceil(log v / log γ), γ = 1.02. The middle of a bin is then within 1 %
of every value in it, whatever the scale: microseconds and megabytes alike, nothing to configure.
Two sketches are merged by adding counts, so what workers counted apart is exactly what one process
would have counted together, and an hour is exactly the sum of its seconds.

Why not the `ddsketch` package, whose idea this is: its `add` took 0.55 µs here against 0.22, its
merge wants two objects in one process, and its serialised form is protobuf. Ours is `{bin: count}`,
which JSON and MessagePack carry as it is, so a gateway worker's histogram *is* what is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

GAMMA = 1.02
"""Ratio of neighbouring bin borders. 60 s in microseconds is bin 905: a latency series that met
every magnitude has under a thousand bins, a usual one has thirty."""

ZERO = -32_768
"""The bin of the value 0. CloudWatch takes values of at most 2**360 in size, so no other value has
a bin below -13,000."""

_LOG_GAMMA = math.log(GAMMA)

Bins = dict[int, float]
"""Bin → how many values. Counts are floats: PutMetricData's `Counts` are."""


def bin_of(value: float) -> int:
    """The bin of a value, which may not be negative."""
    if value == 0:
        return ZERO
    return math.ceil(math.log(value) / _LOG_GAMMA - 1e-9)


def middle_of(number: int) -> float:
    """The value that stands for all values of a bin: at most 1 % away from each."""
    if number == ZERO:
        return 0.0
    return 2.0 * math.exp(number * _LOG_GAMMA) / (1.0 + GAMMA)


def merge(into: Bins, other: Mapping[int, float]) -> None:
    """Add the counts of `other` to `into`."""
    for number, count in other.items():
        into[number] = into.get(number, 0) + count


def masses(
    bins: Mapping[int, float], lowest: float, highest: float
) -> Iterator[tuple[float, float]]:
    """(value, count) in ascending order, values kept within what was really seen.

    Because of the clamp a series of equal values, and the two ends of any series, are exact.
    """
    for number in sorted(bins):
        yield min(max(middle_of(number), lowest), highest), bins[number]


def quantile(ordered: Iterable[tuple[float, float]], count: float, fraction: float) -> float:
    """The smallest value with at least `fraction` of the values at or below it."""
    rank = max(fraction * count, math.ulp(1.0))
    seen = 0.0
    value = math.nan
    for value, mass in ordered:  # noqa: B007 - the last value is the answer when counts round off
        seen += mass
        if seen >= rank - 1e-9:
            break
    return value
