"""What a host has, and what of it is held.

An instance *claims* what its type has before it is started, and holds it until it is retired; also
while it is dead and about to be started again, as an instance of AWS's does. Processors and memory
are counted, and only limited where a server is told to. An accelerator is another thing: two that
load a model into the memory of one both fail, at some moment that nobody chose, so a claim names
the very devices, and no device is in two claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inservice.hosting.resources import Resources


class Limits(StrEnum):
    """What a server makes of instance types: INSERVICE_LIMITS."""

    OFF = "off"  # processors and memory are counted
    SOFT = "soft"  # whoever asks for more than the host has is warned
    ENFORCED = "enforced"  # what does not fit is refused, and nobody gets more than its type has


class Sharing(StrEnum):
    """Who sees the GPUs of the host: INSERVICE_GPUS."""

    EXCLUSIVE = "exclusive"  # an instance sees those that its type has, and nobody else does
    SHARED = "shared"  # every instance sees all of them


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or one slice of a GPU that is partitioned (MIG)."""

    uuid: str  # "GPU-…" or "MIG-…"
    name: str = ""  # "NVIDIA A10G"
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """What there is."""

    vcpus: int
    memory_bytes: int
    devices: tuple[Device, ...] = ()
    blind: str = ""
    """Why nobody can tell which GPUs there are although there are some; empty if it is known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one instance holds of it."""

    instance_id: str
    account: str
    endpoint: str
    variant: str
    resources: Resources
    devices: tuple[str, ...] = ()  # UUIDs
    token: str = ""
    """Of this very claim: what is started is let in only as long as this one stands."""


@dataclass(frozen=True, slots=True)
class Used:
    """A sum of claims."""

    vcpus: int
    memory_bytes: int
    devices: int


def used(claims: Sequence[Claim]) -> Used:
    """What they hold together."""
    return Used(
        sum(claim.resources.vcpus for claim in claims),
        sum(claim.resources.memory_bytes for claim in claims),
        sum(len(claim.devices) for claim in claims),
    )


def gib(size_bytes: int) -> str:
    """Of memory, as people say it."""
    return f"{size_bytes / 2**30:.1f}".removesuffix(".0") + " GiB"
