"""What AWS's instance types have, by `instance_types.csv` beside this.

The table is data of the program and read once, like the code around it. It has a row for each type
that AWS's model of the API knows, which a test holds it to.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from inservice.hosting.resources import GIB, Accelerators, Resources

ML = "ml."
"""What SageMaker puts before the name of the EC2 type that is behind one of its own."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One row of the table."""

    name: str  # "ml.m5.large"
    architecture: str  # "x86_64" or "arm64", in EC2's words
    resources: Resources

    @property
    def ec2_name(self) -> str:
        """The EC2 type behind it."""
        return self.name.removeprefix(ML)

    @property
    def family(self) -> str:
        """ "m5" of ml.m5.large."""
        return self.ec2_name.partition(".")[0]


@functools.cache
def instance_types() -> Mapping[str, InstanceType]:
    """Every type of SageMaker hosting, by its name."""
    text = files("inservice.hosting").joinpath("instance_types.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({row["instance_type"]: _type_of(row) for row in rows})


def resources_of(instance_type: str | None) -> Resources:
    """What an instance of a type has. Of none, and of one that AWS made since this was written,
    nothing is known: it is asked for nothing, and limited by nothing."""
    known = instance_types().get(instance_type or "")
    return Resources(instance_type or "") if known is None else known.resources


def _type_of(row: Mapping[str, str]) -> InstanceType:
    accelerators = None
    if row["accelerators"]:
        accelerators = Accelerators(
            row["maker"],
            row["model"],
            int(row["accelerators"]),
            int(row["accelerator_gib"]) * GIB,
        )
    resources = Resources(
        row["instance_type"],
        int(row["vcpus"]),
        int(float(row["memory_gib"]) * GIB),
        accelerators,
    )
    return InstanceType(row["instance_type"], row["architecture"], resources)
