"""GPUs of nobody: a hand-written device query, and NVIDIA's module as far as it is without one.

No test here has met a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inservice.placement.host import Device
from inservice.telemetry.base import RunningInstance
from inservice.telemetry.gpus import (
    DriverGpus,
    GpuSeen,
    GpusUnseen,
    NvidiaGpus,
    ShareSeen,
    find_gpus,
    used_by,
)
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


def test_of_a_device_for_itself_an_instance_has_all_whoever_uses_it() -> None:
    """Also in a container, whose processes have other numbers; and of no other's device."""
    mine = GpuSeen({77: 3.0}, None, (ShareSeen("GPU-a", 60.0, 30.0),))
    yours = GpuSeen({10: 90.0}, {10: 90.0}, (ShareSeen("GPU-b", 90.0, 90.0),))
    sliced = GpuSeen(None, None, (ShareSeen("MIG-c", None, 50.0), ShareSeen("MIG-d", None, 1.0)))
    seen = (mine, yours, sliced)

    def used(*devices: str) -> dict[str, float]:
        return dict(used_by(A_AND_ITS_CHILD, seen, devices))

    assert used("GPU-a") == {"GPUUtilization": 60.0, "GPUMemoryUtilization": 30.0}
    assert used("GPU-a", "GPU-b") == {"GPUUtilization": 150.0, "GPUMemoryUtilization": 120.0}
    assert used("MIG-c") == {"GPUMemoryUtilization": 50.0}, "a slice tells no rate"
    assert used("GPU-that-fell-off-its-bus") == {}
    assert used() == {}


# ── attribution ─────────────────────────────────────────────────────────────────────────────────
@dataclass
class FixedGpus:
    seen: Sequence[GpuSeen]

    def look(self) -> Sequence[GpuSeen]:
        return self.seen

    def devices(self) -> Sequence[Device]:
        return [Device(share.uuid) for gpu in self.seen for share in gpu.shares]


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
    slices: dict[int, dict[int, str]] = field(default_factory=dict)  # of a device, by index: UUIDs
    lost: int = 0  # the error of whoever asks for a UUID
    NVMLError = NvmlError
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_ERROR_FUNCTION_NOT_FOUND = 13
    NVML_SUCCESS = 0
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.samples)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, part: int | str) -> str:  # noqa: N802
        if self.lost:
            raise NvmlError(self.lost)
        return f"GPU-{part}" if isinstance(part, int) else part

    def nvmlDeviceGetName(self, part: int | str) -> bytes:  # noqa: N802
        return b"NVIDIA A10G" if isinstance(part, int) else b"NVIDIA A10G MIG 1g.5gb"

    def nvmlDeviceGetMigMode(self, device: int) -> tuple[int, int]:  # noqa: N802
        if device not in self.slices:
            raise NvmlError(3)
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, device: int) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: int, index: int) -> str:  # noqa: N802
        if index not in self.slices[device]:
            raise NvmlError(6)
        return self.slices[device][index]

    def nvmlDeviceGetUtilizationRates(self, part: int | str) -> Any:  # noqa: N802
        if isinstance(part, str):
            raise NvmlError(3)
        return SimpleNamespace(gpu=40)

    def nvmlDeviceGetProcessUtilization(self, device: int, since: int) -> list[Any]:  # noqa: N802
        self.asked_since.append(since)
        samples = self.samples[device]
        if isinstance(samples, int):
            raise NvmlError(samples)
        return [
            SimpleNamespace(pid=pid, smUtil=percent, timeStamp=at) for pid, percent, at in samples
        ]

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=1_000, used=100)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        processes = self.processes[device]
        if isinstance(processes, int):
            raise NvmlError(processes)
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in processes]


def test_samples_become_percentages() -> None:
    nvml = FakeNvml([[(10, 20, 5), (10, 40, 9), (11, 7, 8)], []], [[(10, 250)], []])
    gpus = NvidiaGpus(nvml)
    seen = [GpuSeen({10: 30.0, 11: 7.0}, {10: 25.0}), GpuSeen({}, {})]
    assert [replace(gpu, shares=()) for gpu in gpus.look()] == seen
    gpus.look()
    assert nvml.asked_since == [0, 0, 9, 0], "only what is new since the last look"


def test_what_a_device_does_not_tell() -> None:
    nvml = FakeNvml([0, 6, 3], [[], [(10, None)], 3])
    seen = [replace(gpu, shares=()) for gpu in NvidiaGpus(nvml).look()]
    assert seen == [GpuSeen({}, {}), GpuSeen({}, None), GpuSeen(None, None)]


def test_each_device_and_each_slice_is_somebodys_for_himself() -> None:
    nvml = FakeNvml([[], [], []], [[], [], []], slices={1: {0: "MIG-x", 3: "MIG-y"}, 2: {}})
    gpus = NvidiaGpus(nvml)
    assert gpus.devices() == [
        Device("GPU-0", "NVIDIA A10G", 1_000),
        Device("MIG-x", "NVIDIA A10G MIG 1g.5gb", 1_000),
        Device("MIG-y", "NVIDIA A10G MIG 1g.5gb", 1_000),
    ]
    shares = [share for gpu in gpus.look() for share in gpu.shares]
    assert shares == [
        ShareSeen("GPU-0", 40.0, 10.0),
        ShareSeen("MIG-x", None, 10.0),
        ShareSeen("MIG-y", None, 10.0),
    ]


def test_devices_that_cannot_be_listed_are_not_none() -> None:
    gpus = NvidiaGpus(FakeNvml([[]], [[]], lost=15))
    with pytest.raises(GpusUnseen, match="the driver says"):
        gpus.devices()


INFORMATION = """Model: \t\t NVIDIA GeForce RTX 4090
IRQ:   \t\t 130
GPU UUID: \t GPU-1b2c3d4e-0000-1111-2222-333344445555
Video BIOS: \t 95.02.3c.00.8e
"""


def test_without_the_library_the_driver_tells_which_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nodes, driver = tmp_path / "dev", tmp_path / "driver"
    nodes.mkdir()
    (nodes / "nvidiactl").touch()
    assert find_gpus(nodes, driver) is None
    (nodes / "nvidia0").touch()
    gpus = find_gpus(nodes, driver)
    assert isinstance(gpus, DriverGpus)
    with pytest.raises(GpusUnseen, match="there are devices in"):
        gpus.devices()
    information = driver / "gpus" / "0000:01:00.0" / "information"
    information.parent.mkdir(parents=True)
    information.write_text(INFORMATION)
    (device,) = gpus.devices()
    assert device == Device("GPU-1b2c3d4e-0000-1111-2222-333344445555", "NVIDIA GeForce RTX 4090")
    assert not gpus.look()
    (driver / "capabilities" / "gpu0" / "mig" / "gi1").mkdir(parents=True)
    with pytest.raises(GpusUnseen, match="MIG"):
        gpus.devices()
    information.write_text("GPU UUID: \t ??\n")
    with pytest.raises(GpusUnseen):
        gpus.devices()


def test_a_lost_device_is_looked_for_again() -> None:
    nvml = FakeNvml([15], [[]])
    gpus = NvidiaGpus(nvml)
    assert gpus.look() == []
    nvml.samples = [[(10, 50, 1)]]
    assert [gpu.busy for gpu in gpus.look()] == [{10: 50.0}]


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
