"""How an instance is told which accelerators are its own.

CUDA numbers the devices that CUDA_VISIBLE_DEVICES lists, so on AWS a model that sets it to 0 means
the first of its instance. On a host that shares its GPUs out, 0 would be the first of the host:
somebody else's. So what a model asks for is read as what it would be on an instance of its own, and
said by UUID.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

CUDA = "CUDA_VISIBLE_DEVICES"
NVIDIA = "NVIDIA_VISIBLE_DEVICES"
"""What NVIDIA's container runtime gives to a container."""

_VOID = "void"
"""NVIDIA's word for no device, and no driver either."""


def environment(own: Mapping[str, str], devices: Sequence[str]) -> dict[str, str]:
    """The environment of a container that sees these devices only, whatever of them it asks for.

    `own` is what its user has set. Of that, what names devices is read as CUDA reads it, among the
    instance's own: up to the first that is none of them.
    """
    asked = own.get(CUDA)
    seen = list(devices) if asked is None else list(_asked_for(asked, devices))
    return {**own, CUDA: ",".join(seen), NVIDIA: ",".join(devices) or _VOID}


def _asked_for(asked: str, devices: Sequence[str]) -> Sequence[str]:
    """CUDA's rules: numbers or UUIDs or their beginnings; it stops at the first that is invalid,
    and if one is named twice there is none at all."""
    found = [_meant(part.strip(), devices) for part in asked.split(",")]
    valid = list(itertools.takewhile(lambda uuid: uuid is not None, found))
    seen = [uuid for uuid in valid if uuid is not None]
    return seen if len(set(seen)) == len(seen) else []


def _meant(word: str, devices: Sequence[str]) -> str | None:
    if word.isascii() and word.isdigit():
        return devices[int(word)] if len(word) < 6 and int(word) < len(devices) else None
    if not word.startswith(("GPU-", "MIG-")):
        return None
    found = [uuid for uuid in devices if uuid.startswith(word)]
    return found[0] if len(found) == 1 else None
