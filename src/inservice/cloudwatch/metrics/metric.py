"""What tells one metric from another, and how long its datapoints are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TIERS: Mapping[int, int] = {1: 3 * 3_600, 60: 15 * 86_400, 300: 63 * 86_400, 3_600: 455 * 86_400}
"""Seconds of a bucket → seconds it is kept. CloudWatch's retention table."""

Dimensions = tuple[tuple[str, str], ...]
"""((name, value), …) in the order of the names. Part of a metric's identity."""


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """What tells one series from another, but for the unit."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: Dimensions = ()
