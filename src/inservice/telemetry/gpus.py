"""What processes use of the GPUs of this host, by NVIDIA's management library.

The library is the package `nvidia-ml-py` (the extra `gpu`) and the driver's `libnvidia-ml`. They
are looked for once; without either there are no GPUs, and nothing more is ever tried. Processes
are known by their ids on the host: in a container with process ids of its own, nothing is seen.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class GpuSeen:
    """One device at one look. None: it does not tell, as in MIG mode."""

    busy: Mapping[int, float] | None  # process id → percent of the device's time, since last look
    memory: Mapping[int, float] | None  # process id → percent of the device's memory


class Gpus(Protocol):
    """The GPUs of this host."""

    def look(self) -> Sequence[GpuSeen]:
        """Every device; none when they could not be seen just now."""
        ...


class NvidiaGpus:
    """Through the functions of `pynvml`."""

    def __init__(self, nvml: Any) -> None:
        """`nvml` is the module, initialised. Raises its NVMLError."""
        self._nvml = nvml
        self._devices = [
            nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())
        ]
        self._looked_at = [0] * len(self._devices)  # microseconds, of the driver's clock

    def look(self) -> Sequence[GpuSeen]:
        """See Gpus."""
        try:
            return [
                GpuSeen(self._busy(number), self._memory(device))
                for number, device in enumerate(self._devices)
            ]
        except self._nvml.NVMLError:
            return []  # a device that fell off its bus or is being reset; the next look may see it

    def _busy(self, number: int) -> Mapping[int, float] | None:
        """The mean of each process's samples: only processes that did something have any."""
        nvml = self._nvml
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(
                self._devices[number], self._looked_at[number]
            )
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            # pynvml raises its success, too, when there is no sample at all.
            if error.value in (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND):
                return {}
            raise
        by_pid: defaultdict[int, list[float]] = defaultdict(list)
        for sample in samples:
            by_pid[sample.pid].append(float(sample.smUtil))
            self._looked_at[number] = max(self._looked_at[number], sample.timeStamp)
        return {pid: sum(values) / len(values) for pid, values in by_pid.items()}

    def _memory(self, device: Any) -> Mapping[int, float] | None:
        nvml = self._nvml
        try:
            total_bytes = nvml.nvmlDeviceGetMemoryInfo(device).total
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(device)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            raise
        if any(process.usedGpuMemory is None for process in processes):
            return None
        return {process.pid: 100 * process.usedGpuMemory / total_bytes for process in processes}


def find_gpus() -> Gpus | None:
    """The GPUs of this host; None when the library, the driver or a device is missing."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return NvidiaGpus(nvml) if nvml.nvmlDeviceGetCount() else None
    except nvml.NVMLError:
        return None


def used_by(pids: Collection[int], gpus: Sequence[GpuSeen]) -> Iterator[tuple[str, float]]:
    """(metric, percent) of the processes of one instance: 100 for each device that they fill."""
    if not gpus:
        return
    for name, devices in (
        ("GPUUtilization", [gpu.busy for gpu in gpus]),
        ("GPUMemoryUtilization", [gpu.memory for gpu in gpus]),
    ):
        known = [device for device in devices if device is not None]
        if len(known) == len(devices):
            yield name, sum(min(100.0, sum(of.get(pid, 0.0) for pid in pids)) for of in known)
