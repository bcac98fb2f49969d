"""A page for Prometheus, in its text format, of which only what changed is written anew.

With three hundred endpoints there are ten thousand lines, most of them of histograms to which
nothing was added since the last scrape. So the text of a histogram is kept with its count and its
sum, and of everything else the text of its labels: what a scrape costs grows with what happened,
and with the number of lines only as copying does. What a page does not name is forgotten with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.sketches import bin_of

_DIGITS_MAX = 6
"""Before the point, beyond which Go writes an exponent."""

Labels = tuple[str, ...]
"""Values, in the order of a family's names."""


class Page:
    """Made once, and begun anew for each scrape. Not for two threads at once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Labels], tuple[float, float, str]] = {}
        self._named: dict[tuple[Labels, Labels], str] = {}
        self._parts: list[str] = []
        self._now_kept: dict[tuple[str, Labels], tuple[float, float, str]] = {}
        self._now_named: dict[tuple[Labels, Labels], str] = {}
        self.written = 0
        """Histograms whose text was made so far."""

    def finish(self) -> bytes:
        """The page, and the end of it."""
        text = "".join(self._parts).encode()
        self._parts = []
        self._kept, self._now_kept = self._now_kept, {}
        self._named, self._now_named = self._now_named, {}
        return text

    def counter(
        self,
        name: str,
        says: str,
        names: Sequence[str],
        values: Iterable[tuple[Sequence[str], float]],
    ) -> None:
        """Counts; the name is given its `_total` here."""
        self._family(f"{name}_total", "counter", says, names, values)

    def gauge(
        self,
        name: str,
        says: str,
        names: Sequence[str],
        values: Iterable[tuple[Sequence[str], float]],
    ) -> None:
        """How things stand."""
        self._family(name, "gauge", says, names, values)

    def histogram(
        self,
        name: str,
        says: str,
        names: Sequence[str],
        values: Iterable[tuple[Sequence[str], Aggregate]],
        borders_seconds: Sequence[float],
    ) -> None:
        """Values that were counted in microseconds. A border is off by 1 % at most."""
        self._begin(name, "histogram", says)
        for labels, seen in values:
            key = (name, tuple(labels))
            kept = self._kept.get(key)
            if kept is None or kept[:2] != (seen.count, seen.total):
                self.written += 1
                text = self._histogram_text(name, tuple(names), key[1], seen, borders_seconds)
                kept = (seen.count, seen.total, text)
            self._now_kept[key] = kept
            self._parts.append(kept[2])

    def _family(
        self,
        name: str,
        kind: str,
        says: str,
        names: Sequence[str],
        values: Iterable[tuple[Sequence[str], float]],
    ) -> None:
        self._begin(name, kind, says)
        for labels, value in values:
            shown = self._shown(tuple(names), tuple(labels))
            braces = f"{{{shown}}}" if shown else ""
            self._parts.append(f"{name}{braces} {_number(value)}\n")

    def _begin(self, name: str, kind: str, says: str) -> None:
        self._parts.append(f"# HELP {name} {_escaped(says, quotes=False)}\n# TYPE {name} {kind}\n")

    def _shown(self, names: Labels, labels: Labels) -> str:
        """Labels as they stand between the braces, in the order of their names."""
        key = (names, labels)
        shown = self._named.get(key)
        if shown is None:
            pairs = sorted(zip(names, labels, strict=True))
            shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
        self._now_named[key] = shown
        return shown

    def _histogram_text(
        self,
        name: str,
        names: Labels,
        labels: Labels,
        seen: Aggregate,
        borders_seconds: Sequence[float],
    ) -> str:
        shown = self._shown(names, labels)
        bins = sorted((seen.bins or {}).items())
        lines, at, within = [], 0, 0.0
        for seconds in sorted(borders_seconds):
            border = bin_of(seconds * 1e6)
            while at < len(bins) and bins[at][0] <= border:
                within += bins[at][1]
                at += 1
            lines.append(f'{name}_bucket{{{shown},le="{seconds}"}} {_number(within)}\n')
        count = _number(seen.count)
        lines.append(f'{name}_bucket{{{shown},le="+Inf"}} {count}\n')
        lines.append(f"{name}_count{{{shown}}} {count}\n")
        lines.append(f"{name}_sum{{{shown}}} {_number(seen.total / 1e6)}\n")
        return "".join(lines)


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    """As Go writes a float, and so Prometheus: prometheus_client has a function for it, and brings
    a web server along."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    whole, dot, rest = text.partition(".")
    if value < 0 or not dot or len(whole) <= _DIGITS_MAX:
        return text
    mantissa = f"{whole[0]}.{whole[1:]}{rest}".rstrip("0.")
    return f"{mantissa}e+{len(whole) - 1:02d}"
