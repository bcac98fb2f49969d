"""What is kept of many values: how many, their sum, the extremes, and a sketch of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from inservice.cloudwatch.metrics.sketches import Bins, bin_of, merge

VALUE_MAX = 2.0**360
"""CloudWatch takes values between -2**360 and 2**360."""


class Aggregate:
    """A mutable sum of values. Merging two is exact.

    An aggregate of no values is a datapoint all the same: a zero, said about a time in which
    nothing was counted. Merged with values it leaves no trace, so it thins out no average.
    """

    __slots__ = ("bins", "count", "highest", "lowest", "total")

    def __init__(
        self,
        count: float = 0.0,
        total: float = 0.0,
        lowest: float = 0.0,
        highest: float = 0.0,
        bins: Bins | None = None,
    ) -> None:
        self.count = count
        self.total = total
        self.lowest = lowest
        self.highest = highest
        self.bins = bins  # None: no percentiles, for values were negative or came already summed

    @classmethod
    def zero(cls) -> Aggregate:
        """A datapoint that says: nothing happened."""
        return cls(bins={})

    @classmethod
    def of(cls, value: float, count: float = 1.0) -> Aggregate:
        """`count` values that are all `value`."""
        return cls(
            count, value * count, value, value, {bin_of(value): count} if value >= 0 else None
        )

    def merge(self, other: Aggregate) -> None:
        """Add what `other` has seen."""
        if not other.count:
            return
        if not self.count:
            self.lowest, self.highest, self.bins = other.lowest, other.highest, {}
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)
        self.count += other.count
        self.total += other.total
        if self.bins is not None and other.bins is not None:
            merge(self.bins, other.bins)
        else:
            self.bins = None

    def copy(self) -> Aggregate:
        """Another one of the same values."""
        bins = None if self.bins is None else dict(self.bins)
        return Aggregate(self.count, self.total, self.lowest, self.highest, bins)

    def row(self) -> list[Any]:
        """As it is stored: flat, the bins as an alternating list of numbers and counts."""
        bins = None if self.bins is None else [part for pair in self.bins.items() for part in pair]
        return [self.count, self.total, self.lowest, self.highest, bins]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Aggregate:
        """What `row` gave."""
        count, total, lowest, highest, flat = row
        bins = None if flat is None else dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(count, total, lowest, highest, bins)


def is_acceptable(value: float) -> bool:
    """Whether CloudWatch takes the value: finite, and not astronomically large."""
    return math.isfinite(value) and abs(value) <= VALUE_MAX
