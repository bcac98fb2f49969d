"""What instances use of the host: CPU, memory, GPUs and disk, of each with all its descendants; and
how long they took to become ready."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inservice.telemetry.base import RunningInstance, Use
from inservice.telemetry.gpus import Gpus, used_by
from inservice.telemetry.names import VariantKey
from inservice.telemetry.processes import Process, Processes

_MEMORY_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
        self._processes = Processes()
        self._before: dict[tuple[int, int], _Spent] = {}
        self._started_at = started_at
        self._told: set[tuple[int, float]] = set()  # whose setup time was told

    def measure(self, instances: Sequence[RunningInstance], now: float) -> list[Use]:
        """What every one of these instances uses that is still there."""
        usage = shutil.disk_usage(self._disk)
        disk_percent = 100 * usage.used / usage.total
        gpus = self._gpus.look() if self._gpus is not None else ()
        family = self._processes.look()
        uses: list[Use] = []
        for instance in instances:
            if processes := family.of(instance.pid):
                used = self._use_of(processes, now)
                values = {
                    "MemoryUtilization": used.memory_percent,
                    "DiskUtilization": disk_percent,
                    **dict(used_by(used.pids, gpus, instance.devices)),
                }
                if used.cpu_percent is not None:
                    values["CPUUtilization"] = used.cpu_percent
                uses.append(Use(instance.variant, values))
        return uses

    def newly_ready(self, instances: Sequence[RunningInstance]) -> list[Use]:
        """How long those took to become ready of which nobody was told, once."""
        uses: list[Use] = []
        for instance in instances:
            setup_seconds = self._setup_seconds(instance)
            if setup_seconds is not None:
                uses.append(Use(instance.variant, {"ModelSetupTime": 1e6 * setup_seconds}))
                self._on_ready(instance.variant, setup_seconds)
        return uses

    def retain(self, instances: Sequence[RunningInstance]) -> None:
        """Forget what is known of others than these."""
        pids = {instance.pid for instance in instances}
        self._before = {key: spent for key, spent in self._before.items() if key[0] in pids}
        self._told &= {(instance.pid, instance.started_at) for instance in instances}

    def _setup_seconds(self, instance: RunningInstance) -> float | None:
        """From launch to readiness, once. Of what was ready before this process began, an earlier
        one has told."""
        key, ready_at = (instance.pid, instance.started_at), instance.ready_at
        if ready_at is None or ready_at < self._started_at or key in self._told:
            return None
        self._told.add(key)
        return max(0.0, ready_at - instance.started_at)

    def _use_of(self, processes: Sequence[Process], now: float) -> _Used:
        """What an instance uses: the first of these, and its descendants."""
        key = (processes[0].pid, processes[0].start_ticks)
        cpu_seconds = sum(process.cpu_seconds for process in processes)
        memory_bytes = sum(self._processes.memory_bytes(process, now) for process in processes)
        before, self._before[key] = self._before.get(key), _Spent(cpu_seconds, now)
        cpu_percent = None
        if before is not None and now > before.at:
            percent = 100 * (cpu_seconds - before.cpu_seconds) / (now - before.at)
            # The kernel counts in ticks, and a busy host looks later than `now`: over a short while
            # that can come to more than all of its processors.
            cpu_percent = min(max(0.0, percent), 100.0 * (os.cpu_count() or 1))
        memory_percent = 100 * memory_bytes / _MEMORY_BYTES
        return _Used(cpu_percent, memory_percent, frozenset(one.pid for one in processes))
