"""`context.metrics`: what user code counts and times, written to the log as MMS writes it.

    context.metrics.add_time("Tokenize", 12.5)
    → [METRICS]Tokenize.Milliseconds:12.5|#ModelName:model,Level:Model|#hostname:…,1767225600,<id>

On AWS these lines reach CloudWatch Logs, where a metric filter makes a metric of them; here they
are in the same log group.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

_UNITS = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "count": "Count",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "kB": "Kilobytes",
    "B": "Bytes",
    None: "unit",
}


class Dimension:
    """A name and a value that a reading is told apart by."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"


class Reading:
    """One metric of one request."""

    def __init__(
        self, name: str, value: Any, unit: str | None, dimensions: list[Any], request_id: str | None
    ) -> None:
        self.name = name
        self.value = value
        self.unit = _UNITS.get(unit, unit)
        self.dimensions = dimensions
        self.request_id = request_id

    def __str__(self) -> str:
        dimensions = ",".join(map(str, self.dimensions))
        request = f",{self.request_id}" if self.request_id else ""
        where = f"#hostname:{socket.gethostname()},{int(time.time())}{request}"
        return f"{self.name}.{self.unit}:{self.value}|#{dimensions}|{where}"


class Readings:
    """All of one request, or of loading. Methods and their arguments are those of MMS's store."""

    def __init__(self, request_ids: Mapping[int, str] | None, model_name: str) -> None:
        self.store: list[Reading] = []
        self.request_ids = request_ids
        self.model_name = model_name
        self._known: dict[tuple[str, ...], Reading] = {}

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: list[Any] | None = None
    ) -> None:
        """Count up."""
        self._add(name, value, self._request(idx), "count", dimensions, counts=True)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: list[Any] | None = None,
    ) -> None:
        """A time, in ms or s. Raises ValueError for another unit."""
        if unit not in ("ms", "s"):
            raise ValueError("the unit for a timed metric should be one of ['ms', 's']")
        self._add(name, value, self._request(idx), unit, dimensions)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: list[Any] | None = None,
    ) -> None:
        """A size, in MB, kB, GB or B. Raises ValueError for another unit."""
        if unit not in ("MB", "kB", "GB", "B"):
            raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self._add(name, value, self._request(idx), unit, dimensions)

    def add_percent(
        self, name: str, value: float, idx: int | None = None, dimensions: list[Any] | None = None
    ) -> None:
        """A share of a hundred."""
        self._add(name, value, self._request(idx), "percent", dimensions)

    def add_error(self, name: str, value: Any, dimensions: list[Any] | None = None) -> None:
        """An error, in words."""
        self._add(name, value, None, "", dimensions)

    def add_metric(
        self,
        name: str,
        value: Any,
        idx: int | None = None,
        unit: str | None = None,
        dimensions: list[Any] | None = None,
    ) -> None:
        """Anything else."""
        self._add(name, value, self._request(idx), unit, dimensions)

    def lines(self) -> list[str]:
        """What goes into the log."""
        return [f"[METRICS]{reading}" for reading in self.store]

    def _request(self, idx: int | None) -> str:
        ids = self.request_ids or {}
        return ids[idx] if idx is not None and idx in ids else ",".join(ids.values())

    def _add(
        self,
        name: str,
        value: Any,
        request_id: str | None,
        unit: str | None,
        dimensions: list[Any] | None,
        *,
        counts: bool = False,
    ) -> None:
        if dimensions is not None and not isinstance(dimensions, list):
            raise ValueError("Please provide a list of dimensions")
        level = "Error" if request_id is None else "Model"
        own = [Dimension("Level", level)]
        if request_id is not None:
            own.insert(0, Dimension("ModelName", self.model_name))
        all_dimensions = [*(dimensions or ()), *own]
        key = (name, str(unit), str(request_id), *map(str, all_dimensions))
        known = self._known.get(key)
        if known is None:
            known = Reading(name, value, unit, all_dimensions, request_id)
            self._known[key] = known
            self.store.append(known)
        else:
            known.value = known.value + value if counts else value
