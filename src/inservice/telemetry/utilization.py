"""What instances use of the host: CPU, memory, GPUs and disk, of each with all its descendants; and
how long they took to become ready."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.telemetry.datapoints import Sample
from inservice.telemetry.gpus import Gpus, used_by
from inservice.telemetry.names import METRICS, VariantKey


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that has a process on this host."""

    variant: VariantKey
    pid: int
    started_at: float  # epoch seconds
    ready_at: float | None  # when /ping first answered 200


@dataclass(frozen=True, slots=True)
class _Used:
    """One look at an instance."""

    cpu_percent: float | None  # None at first sight
    memory_percent: float
    pids: frozenset[int]  # its process and all its descendants


@dataclass(frozen=True, slots=True)
class _Spent:
    """What a process had used of the CPU, and when that was looked at."""

    cpu_seconds: float
    at: float


class Utilization:
    """Measures again and again; a CPU percentage needs two looks."""

    def __init__(
        self,
        disk: Path,
        started_at: float,
        *,
        gpus: Gpus | None = None,
        on_ready: Callable[[VariantKey, float], None] = lambda *_: None,
    ) -> None:
        """`disk` is a directory on the disk that instances write to. `on_ready` is told how long
        each instance took to become ready, once."""
        self._disk = disk
        self._gpus = gpus
        self._on_ready = on_ready
        self._before: dict[tuple[int, float], _Spent] = {}
        self._started_at = started_at
        self._told: set[tuple[int, float]] = set()  # whose setup time was told

    def measure(self, instances: Sequence[RunningInstance], now: float) -> list[Sample]:
        """Samples of every instance that is still there."""
        usage = shutil.disk_usage(self._disk)
        disk_percent = 100 * usage.used / usage.total
        seen: dict[tuple[int, float], _Spent] = {}
        gpus = self._gpus.look() if self._gpus is not None else ()
        samples: list[Sample] = []
        for instance in instances:
            used = self._one(instance.pid, now, seen)
            if used is not None:
                values = {
                    "MemoryUtilization": used.memory_percent,
                    "DiskUtilization": disk_percent,
                    **dict(used_by(used.pids, gpus)),
                }
                if used.cpu_percent is not None:
                    values["CPUUtilization"] = used.cpu_percent
                setup_seconds = self._setup_seconds(instance)
                if setup_seconds is not None:
                    values["ModelSetupTime"] = 1e6 * setup_seconds
                    self._on_ready(instance.variant, setup_seconds)
                samples += _samples(instance.variant, values, now)
        self._before = seen
        self._told &= {(instance.pid, instance.started_at) for instance in instances}
        return samples

    def _setup_seconds(self, instance: RunningInstance) -> float | None:
        """From launch to readiness, once. Of what was ready before this process began, an earlier
        one has told."""
        key = (instance.pid, instance.started_at)
        if instance.ready_at is None or instance.ready_at < self._started_at or key in self._told:
            return None
        self._told.add(key)
        return max(0.0, instance.ready_at - instance.started_at)

    def _one(self, pid: int, now: float, seen: dict[tuple[int, float], _Spent]) -> _Used | None:
        """What it uses; None for a process that is gone."""
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            key = (pid, process.create_time())
        except psutil.Error:
            return None
        cpu_seconds, memory_bytes = 0.0, 0
        for member in family:
            try:
                times = member.cpu_times()
                cpu_seconds += times.user + times.system
                # Instances are forked: what they share with others is shared out by `pss`.
                memory_bytes += member.memory_full_info().pss
            except psutil.Error:
                continue
        before, seen[key] = self._before.get(key), _Spent(cpu_seconds, now)
        cpu_percent = None
        if before is not None and now > before.at:
            percent = 100 * (cpu_seconds - before.cpu_seconds) / (now - before.at)
            # The kernel counts in ticks, and a busy host looks later than `now`: over a short while
            # that can come to more than all of its processors.
            cpu_percent = min(max(0.0, percent), 100.0 * (os.cpu_count() or 1))
        memory_percent = 100 * memory_bytes / psutil.virtual_memory().total
        return _Used(cpu_percent, memory_percent, frozenset(member.pid for member in family))


def _samples(variant: VariantKey, values: dict[str, float], now: float) -> Iterator[Sample]:
    for name, value in values.items():
        for metric in variant.metrics(name):
            yield Sample(metric, METRICS[name].unit, now, Aggregate.of(value))
