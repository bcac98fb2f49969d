"""What an instance has: processors, memory, accelerators.

It is what its instance type has on AWS, and it is asked of the host that the instance runs on.
Whoever runs it makes of that what the server is told to: nothing, a warning, or limits.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30

NVIDIA = "nvidia"
"""The maker whose accelerators a host here can have. Of another maker's it has none."""


@dataclass(frozen=True, slots=True)
class Accelerators:
    """The accelerators of an instance, all of one kind."""

    maker: str  # "nvidia", "aws", "habana"
    model: str  # "A10G"; a host gives one of its own, whatever it is called
    count: int  # at least 1
    memory_bytes: int  # of each


@dataclass(frozen=True, slots=True)
class Resources:
    """What one instance has. Nothing of all that: nobody said of which type it is."""

    instance_type: str = ""  # "ml.g5.xlarge"
    vcpus: int = 0
    memory_bytes: int = 0
    accelerators: Accelerators | None = None

    @property
    def gpus(self) -> int:
        """How many of a host's GPUs it has for itself."""
        its = self.accelerators
        return its.count if its is not None and its.maker == NVIDIA else 0


NO_TYPE = Resources()
"""Of an instance that was given no type."""
