"""A driver of two GPUs that nobody has, found by a server in place of NVIDIA's module."""

# ruff: noqa: N802 - NVIDIA's names

from __future__ import annotations

from types import SimpleNamespace

NVML_SUCCESS, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NOT_FOUND = 0, 3, 6
NVML_ERROR_FUNCTION_NOT_FOUND, NVML_DEVICE_MIG_ENABLE = 13, 1


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


def nvmlInit() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return 2


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetUUID(device: int) -> str:
    return f"GPU-0000000{device}"


def nvmlDeviceGetName(_: int) -> str:
    return "NVIDIA Nothing"


def nvmlDeviceGetMigMode(_: int) -> tuple[int, int]:
    raise NVMLError(NVML_ERROR_NOT_SUPPORTED)


def nvmlDeviceGetMemoryInfo(device: int) -> SimpleNamespace:
    return SimpleNamespace(total=2**30, used=2**28 * (device + 1))


def nvmlDeviceGetUtilizationRates(device: int) -> SimpleNamespace:
    return SimpleNamespace(gpu=10 * (device + 1))


def nvmlDeviceGetProcessUtilization(*_: int) -> list[SimpleNamespace]:
    raise NVMLError(NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetComputeRunningProcesses(_: int) -> list[SimpleNamespace]:
    return []
