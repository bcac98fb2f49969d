"""What a process uses of the host, seen from outside, against what it was told to use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from inservice.telemetry.base import RunningInstance
from inservice.telemetry.names import VariantKey
from inservice.telemetry.utilization import Utilization

VARIANT = VariantKey("000000000000", "us-east-1", "e", "AllTraffic", "c")
BUSY = """
import subprocess, sys, time
held = bytearray(b"x") * (64 << 20)
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
print("ready", flush=True)
sys.stdin.read()
child.kill()
"""


def test_a_busy_instance_with_a_child(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        began = time.time()
        utilization = Utilization(tmp_path, began)
        instance = RunningInstance(VARIANT, process.pid, began - 2.5, began + 0.1)
        gone = RunningInstance(VARIANT, 2**22 + 1, began, None)
        first = _values(utilization, [instance, gone], began)
        assert "CPUUtilization" not in first, "a percentage needs two looks"
        assert 0 < first["DiskUtilization"] < 100
        assert first["MemoryUtilization"] > 0

        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline:
            second = _values(utilization, [instance, gone], time.time())
            if second.get("CPUUtilization", 0.0) > 5.0:
                break
        assert second["CPUUtilization"] > 5.0, "the child's CPU counts"
        assert second["CPUUtilization"] <= 100.0 * (os.cpu_count() or 1)
    finally:
        process.communicate(b"")


def test_setup_time_is_told_once(tmp_path: Path) -> None:
    utilization = Utilization(tmp_path, 1_000.0)
    pid = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        told = [
            _values(utilization, [RunningInstance(VARIANT, pid.pid, 1_001.0, ready)], now)
            for now, ready in ((1_005.0, None), (1_015.0, 1_006.0), (1_025.0, 1_006.0))
        ]
        assert [one.get("ModelSetupTime") for one in told] == [None, 5_000_000.0, None]
    finally:
        pid.communicate(b"\n")


def _values(
    utilization: Utilization, instances: list[RunningInstance], now: float
) -> dict[str, float]:
    """Metric → value."""
    return {
        name: value
        for use in (*utilization.measure(instances, now), *utilization.newly_ready(instances))
        for name, value in use.values.items()
    }
