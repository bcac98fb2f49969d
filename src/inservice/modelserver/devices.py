"""Where a model's tensors live, and how many threads compute: chosen here, for every plug.

An instance is given its accelerators by `CUDA_VISIBLE_DEVICES`, which is as the runtime set it, and
whatever is visible is the instance's own. So the first one is taken, as in AWS's containers, and
never another by its number on the host.

A numeric library reads how many threads it may have when it is imported. Instances are forked from
a process that has imported it with one; what the model's own Environment says comes later, so it is
said again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def torch_device() -> Any:
    """The GPU if this instance has one, else the CPU."""
    import torch  # type: ignore[import-not-found,unused-ignore]

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_torch_threads(environment: Mapping[str, str]) -> None:
    """As many as OMP_NUM_THREADS says now."""
    import torch

    if (count := threads(environment)) is not None:
        torch.set_num_threads(count)


def threads(environment: Mapping[str, str]) -> int | None:
    """How many threads one computation may use; None where nothing says it.

    OpenMP allows a list, for the levels of nested regions: the first is the outermost.
    """
    first = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdecimal() and int(first) > 0 else None
