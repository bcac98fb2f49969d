"""A part of a core for each of some processes, by the kernel's bandwidth control.

On a machine with two cores nothing can be shown with two workers: load and model need them too. Two
workers that have a quarter of a core each do have it to themselves.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

PERIOD_US = 10_000

_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"))
"""Of version 2, and of version 1."""


@contextlib.contextmanager
def limited(processes: Sequence[subprocess.Popen[bytes]], cores: float) -> Iterator[None]:
    """Each process may use so much of a core. Raises OSError where the kernel or its owner does not
    let us say so."""
    groups: list[Path] = []
    try:
        for process in processes:
            groups.append(_group(process.pid, int(cores * PERIOD_US)))
            (groups[-1] / "cgroup.procs").write_text(str(process.pid))
        yield
    finally:
        for group, process in zip(groups, processes, strict=False):
            with contextlib.suppress(OSError):  # it has ended
                (group.parent / "cgroup.procs").write_text(str(process.pid))
            group.rmdir()


def _group(pid: int, quota_us: int) -> Path:
    for root in _ROOTS:
        group = root / f"inservice-bench-{os.getpid()}-{pid}"
        with contextlib.suppress(OSError):
            group.mkdir()
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            return group
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
            return group
        with contextlib.suppress(OSError):
            group.rmdir()
    raise OSError("no cgroup with bandwidth control can be made here")
