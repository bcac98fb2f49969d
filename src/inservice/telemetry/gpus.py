"""Which GPUs this host has, and what is used of them, by NVIDIA's management library.

The library is the package `nvidia-ml-py` (the extra `gpu`) and the driver's `libnvidia-ml`. They
are looked for once. Without either nothing is seen of what is used, and which GPUs there are is
what the driver itself tells; where even that is not to be had although there are some, nobody gets
one. Processes are known by their ids on the host: in a container with process ids of its own,
nothing is seen of them, and of devices that an instance has for itself everything.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inservice.placement.host import Device

DRIVER = Path("/proc/driver/nvidia")
NODES = Path("/dev")

_UUID = re.compile(r"^GPU UUID:\s+(GPU-\S+)", re.MULTILINE)
_MODEL = re.compile(r"^Model:\s+(.+?)\s*$", re.MULTILINE)


class GpusUnseen(Exception):
    """There are GPUs, and nobody can tell which; the message says why, in a clause."""


@dataclass(frozen=True, slots=True)
class GpuSeen:
    """One device at one look. None: it does not tell, as in MIG mode."""

    busy: Mapping[int, float] | None  # process id → percent of the device's time, since last look
    memory: Mapping[int, float] | None  # process id → percent of the device's memory
    shares: tuple[ShareSeen, ...] = ()
    """The device as a whole; of one that is partitioned, each of its slices."""


@dataclass(frozen=True, slots=True)
class ShareSeen:
    """What somebody can have for himself, at one look, whoever uses it."""

    uuid: str
    busy: float | None  # percent of its time
    memory: float | None  # percent of its memory


class Gpus(Protocol):
    """The GPUs of this host."""

    def look(self) -> Sequence[GpuSeen]:
        """Every device; none when they could not be seen just now."""
        ...

    def devices(self) -> Sequence[Device]:
        """What an instance can have for itself: each device, or each slice of it. Raises
        GpusUnseen."""
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
                GpuSeen(self._busy(number), self._memory(device), tuple(self._shares(device)))
                for number, device in enumerate(self._devices)
            ]
        except self._nvml.NVMLError:
            return []  # a device that fell off its bus or is being reset; the next look may see it

    def devices(self) -> Sequence[Device]:
        """See Gpus. Looked for anew each time: slices come and go."""
        nvml = self._nvml
        try:
            count = nvml.nvmlDeviceGetCount()
            whole = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            return [
                Device(
                    _text(nvml.nvmlDeviceGetUUID(part)),
                    _text(nvml.nvmlDeviceGetName(part)),
                    nvml.nvmlDeviceGetMemoryInfo(part).total,
                )
                for device in whole
                for part in self._parts(device)
            ]
        except nvml.NVMLError as error:
            raise GpusUnseen(f"the driver says {error}") from error

    def _parts(self, device: Any) -> Sequence[Any]:
        """The device itself, or its slices, of which there may be none."""
        nvml = self._nvml
        try:
            mode, _ = nvml.nvmlDeviceGetMigMode(device)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                return [device]  # of a kind, or a driver, that knows no slices
            raise
        if mode != nvml.NVML_DEVICE_MIG_ENABLE:
            return [device]
        slices = []
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
            try:
                slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index))
            except nvml.NVMLError as error:
                if error.value != nvml.NVML_ERROR_NOT_FOUND:
                    raise  # an index without a slice is none to worry about
        return slices

    def _shares(self, device: Any) -> Iterator[ShareSeen]:
        for part in self._parts(device):
            memory = self._known(self._nvml.nvmlDeviceGetMemoryInfo, part)
            rates = self._known(self._nvml.nvmlDeviceGetUtilizationRates, part)
            yield ShareSeen(
                _text(self._nvml.nvmlDeviceGetUUID(part)),
                None if rates is None else float(rates.gpu),
                None if memory is None else 100 * memory.used / memory.total,
            )

    def _known(self, ask: Callable[[Any], Any], part: Any) -> Any | None:
        try:
            return ask(part)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            raise

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


class DriverGpus:
    """As the driver itself tells, where the library is not there: which they are, and no more."""

    def __init__(self, driver: Path = DRIVER) -> None:
        """`driver` is the directory that the kernel's module shows."""
        self._driver = driver

    def look(self) -> Sequence[GpuSeen]:
        """See Gpus."""
        return ()

    def devices(self) -> Sequence[Device]:
        """See Gpus."""
        if any(self._driver.glob("capabilities/gpu*/mig/gi*")):
            raise GpusUnseen(
                "some are partitioned (MIG), and the package nvidia-ml-py, which could list the "
                "slices, is not installed: pip install 'inservice[gpu]'"
            )
        found = []
        for path in sorted(self._driver.glob("gpus/*/information")):
            text = path.read_text(errors="replace")
            if (uuid := _UUID.search(text)) is None:
                raise GpusUnseen(
                    f"{path} tells no UUID, and the package nvidia-ml-py is not installed: "
                    "pip install 'inservice[gpu]'"
                )
            model = _MODEL.search(text)
            found.append(Device(uuid[1], model[1] if model else ""))
        if not found:
            raise GpusUnseen(f"there are devices in {NODES} and none in {self._driver}")
        return found


def find_gpus(nodes: Path = NODES, driver: Path = DRIVER) -> Gpus | None:
    """The GPUs of this host; None when there is none, or no driver for it."""
    with contextlib.suppress(ImportError):
        nvml = importlib.import_module("pynvml")
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlInit()
            return NvidiaGpus(nvml) if nvml.nvmlDeviceGetCount() else None
    there = any(path.name[6:].isdecimal() for path in nodes.glob("nvidia[0-9]*"))
    return DriverGpus(driver) if there else None


def used_by(
    pids: Collection[int], gpus: Sequence[GpuSeen], devices: Collection[str] | None = None
) -> Iterator[tuple[str, float]]:
    """(metric, percent) of one instance: 100 for each device that it fills.

    Of one that has `devices` for itself it is what these do, whichever process does it; of one that
    shares all with everybody (None), what its own processes do.
    """
    if not gpus:
        return
    for name, whole, of_processes in (
        ("GPUUtilization", "busy", [gpu.busy for gpu in gpus]),
        ("GPUMemoryUtilization", "memory", [gpu.memory for gpu in gpus]),
    ):
        if devices is not None:
            shares = [share for gpu in gpus for share in gpu.shares if share.uuid in devices]
            percents = [getattr(share, whole) for share in shares]
            if devices and len(percents) == len(devices) and None not in percents:
                yield name, sum(percents)
            continue
        known = [device for device in of_processes if device is not None]
        if len(known) == len(of_processes):
            yield name, sum(min(100.0, sum(of.get(pid, 0.0) for pid in pids)) for of in known)


def _text(said: str | bytes) -> str:
    """Of pynvml, which has given one and the other."""
    return said.decode() if isinstance(said, bytes) else said
