"""GPUs of nobody: a hand-written device query, and NVIDIA's module as far as it is without one.

No test here has met a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inservice.telemetry.base import RunningInstance
from inservice.telemetry.gpus import GpuSeen, NvidiaGpus, find_gpus, used_by
from inservice.telemetry.names import INSTANCES_NAMESPACE, METRICS, VariantKey
from inservice.telemetry.utilization import Utilization

A_AND_ITS_CHILD = (10, 11)


def of(*gpus: GpuSeen) -> dict[str, float]:
    return dict(used_by(A_AND_ITS_CHILD, gpus))


def test_devices_and_processes_add_up() -> None:
    first = GpuSeen(busy={10: 40.0, 11: 25.0, 99: 30.0}, memory={10: 50.0, 99: 12.5})
    second = GpuSeen(busy={11: 90.0}, memory={11: 75.0})
    assert of(first, second) == {"GPUUtilization": 155.0, "GPUMemoryUtilization": 125.0}


def test_no_device_is_more_than_full() -> None:
    """Samples of two processes are of different moments, so they may exceed the whole."""
    gpu = GpuSeen(busy={10: 80.0, 11: 80.0}, memory={})
    assert of(gpu, gpu)["GPUUtilization"] == 200.0


def test_idle_is_zero_and_unknown_is_nothing() -> None:
    assert of(GpuSeen({99: 70.0}, {})) == {"GPUUtilization": 0.0, "GPUMemoryUtilization": 0.0}
    assert of(GpuSeen(None, {10: 5.0})) == {"GPUMemoryUtilization": 5.0}
    assert of(GpuSeen({10: 5.0}, {}), GpuSeen(None, None)) == {}
    assert of() == {}


# ── attribution ─────────────────────────────────────────────────────────────────────────────────
@dataclass
class FixedGpus:
    seen: Sequence[GpuSeen]

    def look(self) -> Sequence[GpuSeen]:
        return self.seen


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.communicate(b"\\n")
"""


@pytest.fixture
def parent_and_child() -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.communicate(b"")


def test_a_variant_has_what_its_processes_use(
    tmp_path: Path, parent_and_child: tuple[int, int]
) -> None:
    parent, child = parent_and_child
    blue = VariantKey("000000000000", "us-east-1", "e", "blue", "c")
    green = VariantKey("000000000000", "us-east-1", "e", "green", "c")
    gpus = FixedGpus([GpuSeen({parent: 10.0, child: 30.0}, {child: 60.0}), GpuSeen({}, {})])
    utilization = Utilization(tmp_path, 0.0, gpus=gpus)
    uses = utilization.measure(
        [RunningInstance(blue, parent, 0.0, None), RunningInstance(green, os.getppid(), 0.0, None)],
        100.0,
    )
    of = {use.variant: use.values for use in uses}
    assert of.keys() == {blue, green}
    assert of[blue]["GPUUtilization"] == 40.0
    assert of[blue]["GPUMemoryUtilization"] == 60.0
    assert METRICS["GPUUtilization"].namespace == INSTANCES_NAMESPACE
    assert METRICS["GPUMemoryUtilization"].unit == "Percent"


def test_without_gpus_nothing_is_said_of_them(tmp_path: Path) -> None:
    variant = VariantKey("000000000000", "us-east-1", "e", "v", "c")
    uses = Utilization(tmp_path, 0.0).measure(
        [RunningInstance(variant, os.getpid(), 0.0, None)], 100.0
    )
    assert len(uses) == 1
    assert not [name for name in uses[0].values if name.startswith("GPU")]


# ── NVIDIA's module ─────────────────────────────────────────────────────────────────────────────
class NvmlError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class FakeNvml:
    """Answers as pynvml does; `samples` and `processes` are by device, or the error to raise."""

    samples: list[list[tuple[int, int, int]] | int]  # (process id, percent, timestamp)
    processes: list[list[tuple[int, int | None]] | int]  # (process id, bytes)
    asked_since: list[int] = field(default_factory=list)
    NVMLError = NvmlError
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.samples)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetProcessUtilization(self, device: int, since: int) -> list[Any]:  # noqa: N802
        self.asked_since.append(since)
        samples = self.samples[device]
        if isinstance(samples, int):
            raise NvmlError(samples)
        return [
            SimpleNamespace(pid=pid, smUtil=percent, timeStamp=at) for pid, percent, at in samples
        ]

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=1_000)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        processes = self.processes[device]
        if isinstance(processes, int):
            raise NvmlError(processes)
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in processes]


def test_samples_become_percentages() -> None:
    nvml = FakeNvml([[(10, 20, 5), (10, 40, 9), (11, 7, 8)], []], [[(10, 250)], []])
    gpus = NvidiaGpus(nvml)
    assert gpus.look() == [GpuSeen({10: 30.0, 11: 7.0}, {10: 25.0}), GpuSeen({}, {})]
    gpus.look()
    assert nvml.asked_since == [0, 0, 9, 0], "only what is new since the last look"


def test_what_a_device_does_not_tell() -> None:
    nvml = FakeNvml([0, 6, 3], [[], [(10, None)], 3])
    assert NvidiaGpus(nvml).look() == [GpuSeen({}, {}), GpuSeen({}, None), GpuSeen(None, None)]


def test_a_lost_device_is_looked_for_again() -> None:
    nvml = FakeNvml([15], [[]])
    gpus = NvidiaGpus(nvml)
    assert gpus.look() == []
    nvml.samples = [[(10, 50, 1)]]
    assert gpus.look() == [GpuSeen({10: 50.0}, {})]


def test_without_the_library_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpus() is None


def test_without_the_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoDriver(FakeNvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise NvmlError(12)

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver([], []))
    assert find_gpus() is None


def test_the_library_has_what_is_asked_of_it() -> None:
    nvml = pytest.importorskip("pynvml")
    for name in [name for name in vars(FakeNvml) if name.startswith(("nvml", "NVML"))]:
        assert hasattr(nvml, name), name
    for name in ("NVML_SUCCESS", "NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_NOT_FOUND"):
        assert getattr(nvml, name) == getattr(FakeNvml, name)
    assert nvml.NVMLError(nvml.NVML_ERROR_NOT_FOUND).value == nvml.NVML_ERROR_NOT_FOUND
