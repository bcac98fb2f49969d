"""Statistics: how AWS spells them, and how each is computed of an aggregate.

    SampleCount  Sum  Average  Minimum  Maximum
    p99.9                 percentile
    tm90  TM(10%:90%)     trimmed mean: of the values between two borders
    wm98  WM(10%:90%)     winsorized mean: values beyond a border count as the border
    tc90  TC(10%:90%)     trimmed count          ts90  TS(10%:90%)   trimmed sum
    PR(100:2000)          percentile rank: percent of values within
    IQM                   interquartile mean, TM(25%:75%)

Borders are percentages of the values, or values; either may be left out. Values equal to the lower
border are outside, values equal to the upper one inside. All but the first five need the sketch, so
they have no value where statistic sets or negative numbers were put (as on AWS).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import bin_of, masses, quantile

PLAIN: dict[str, Callable[[Aggregate], float]] = {
    "SampleCount": lambda seen: seen.count,
    "Sum": lambda seen: seen.total,
    "Average": lambda seen: seen.total / seen.count if seen.count else 0.0,
    "Minimum": lambda seen: seen.lowest,
    "Maximum": lambda seen: seen.highest,
}
"""The five of AWS's `Statistics`; all others are extended."""

_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,10})?"
_SINGLE = re.compile(rf"(?P<kind>p|tm|tc|ts|wm)(?P<upper>{_NUMBER})")
_RANGE = re.compile(
    rf"(?P<kind>TM|TC|TS|WM|PR)\((?P<lower>{_NUMBER})?(?P<p1>%)?:(?P<upper>{_NUMBER})?(?P<p2>%)?\)"
)


class BadStatistic(ValueError):
    """Not the name of a statistic; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic by its name."""

    name: str
    compute: Callable[[Aggregate], float | None]  # None: these values do not have it


@dataclass(frozen=True, slots=True)
class _Borders:
    """(lower, upper] as percentages of the values or as values. None: open."""

    lower: float | None
    upper: float | None
    percent: bool


def parse(name: str) -> Statistic:
    """The statistic of that name. Raises BadStatistic."""
    if name in PLAIN:
        return Statistic(name, PLAIN[name])
    if name == "IQM":
        return Statistic(name, _trimmed_mean(_Borders(25.0, 75.0, percent=True)))
    if match := _SINGLE.fullmatch(name):
        upper = float(match["upper"])
        if upper > 100:
            raise BadStatistic(f"The statistic {name} is beyond 100")
        if match["kind"] == "p":
            return Statistic(name, _percentile(upper / 100))
        return Statistic(name, _KINDS[match["kind"].upper()](_Borders(None, upper, percent=True)))
    if match := _RANGE.fullmatch(name):
        return Statistic(name, _KINDS[match["kind"]](_borders(match)))
    raise BadStatistic(
        f"The value {name} for a statistic is not supported; use one of {', '.join(PLAIN)}, "
        "p99, tm99, wm99, tc99, ts99, IQM, PR(a:b), TM(a%:b%), TC(a%:b%), TS(a%:b%), WM(a%:b%)"
    )


def _borders(match: re.Match[str]) -> _Borders:
    name = match.group()
    lower = None if match["lower"] is None else float(match["lower"])
    upper = None if match["upper"] is None else float(match["upper"])
    signs = {bool(match[sign]) for sign, at in (("p1", lower), ("p2", upper)) if at is not None}
    stray = (lower is None and match["p1"]) or (upper is None and match["p2"])
    if len(signs) != 1 or stray:
        raise BadStatistic(f"The statistic {name} needs borders that are all percent or all not")
    percent = signs.pop()
    if percent and match["kind"] == "PR":
        raise BadStatistic(f"The statistic {name} takes values, not percentages")
    if percent and max(lower or 0.0, upper or 0.0) > 100:
        raise BadStatistic(f"The statistic {name} is beyond 100 %")
    if lower is not None and upper is not None and lower >= upper:
        raise BadStatistic(f"The statistic {name} has a lower border that is not below its upper")
    return _Borders(lower, upper, percent)


def _percentile(fraction: float) -> Callable[[Aggregate], float | None]:
    def compute(seen: Aggregate) -> float | None:
        if not seen.bins:
            return None
        if fraction >= 1.0:
            return seen.highest
        return quantile(masses(seen.bins, seen.lowest, seen.highest), seen.count, fraction)

    return compute


def _within(seen: Aggregate, borders: _Borders) -> list[tuple[float, float]] | None:
    """(value, count) of the values between the borders; None without a sketch."""
    if not seen.bins:
        return None
    if not borders.percent:
        return _within_values(seen, seen.bins, borders)
    ordered = masses(seen.bins, seen.lowest, seen.highest)
    low = 0.0 if borders.lower is None else borders.lower / 100 * seen.count
    high = seen.count if borders.upper is None else borders.upper / 100 * seen.count
    kept, passed = [], 0.0
    for value, mass in ordered:
        inside = min(passed + mass, high) - max(passed, low)
        if inside > 0:
            kept.append((value, inside))
        passed += mass
    return kept


def _within_values(
    seen: Aggregate, bins: Mapping[int, float], borders: _Borders
) -> list[tuple[float, float]]:
    """Bins are compared, not their middles: a value that equals a border is in the border's bin."""
    low = -math.inf if borders.lower is None else bin_of(borders.lower)
    high = math.inf if borders.upper is None else bin_of(borders.upper)
    kept = {number: count for number, count in bins.items() if low < number <= high}
    return list(masses(kept, seen.lowest, seen.highest))


def _trimmed_sum(borders: _Borders) -> Callable[[Aggregate], float | None]:
    def compute(seen: Aggregate) -> float | None:
        kept = _within(seen, borders)
        return None if kept is None else sum(value * mass for value, mass in kept)

    return compute


def _trimmed_count(borders: _Borders) -> Callable[[Aggregate], float | None]:
    def compute(seen: Aggregate) -> float | None:
        kept = _within(seen, borders)
        return None if kept is None else sum(mass for _, mass in kept)

    return compute


def _trimmed_mean(borders: _Borders) -> Callable[[Aggregate], float | None]:
    def compute(seen: Aggregate) -> float | None:
        kept = _within(seen, borders)
        if not kept:
            return None
        return sum(value * mass for value, mass in kept) / sum(mass for _, mass in kept)

    return compute


def _percentile_rank(borders: _Borders) -> Callable[[Aggregate], float | None]:
    count = _trimmed_count(borders)

    def compute(seen: Aggregate) -> float | None:
        inside = count(seen)
        return None if inside is None else 100 * inside / seen.count

    return compute


def _winsorized_mean(borders: _Borders) -> Callable[[Aggregate], float | None]:
    def compute(seen: Aggregate) -> float | None:
        if not seen.bins:
            return None
        low, high = _limits(seen, borders)
        ordered = masses(seen.bins, seen.lowest, seen.highest)
        return sum(min(max(value, low), high) * mass for value, mass in ordered) / seen.count

    return compute


def _limits(seen: Aggregate, borders: _Borders) -> tuple[float, float]:
    """The values at the borders."""
    if not borders.percent:
        low = seen.lowest if borders.lower is None else borders.lower
        return low, (seen.highest if borders.upper is None else borders.upper)
    bins = seen.bins or {}
    low, high = (
        quantile(masses(bins, seen.lowest, seen.highest), seen.count, at / 100)
        for at in (borders.lower or 0.0, 100.0 if borders.upper is None else borders.upper)
    )
    return low, high


_KINDS: dict[str, Callable[[_Borders], Callable[[Aggregate], float | None]]] = {
    "TM": _trimmed_mean,
    "TS": _trimmed_sum,
    "TC": _trimmed_count,
    "WM": _winsorized_mean,
    "PR": _percentile_rank,
}
