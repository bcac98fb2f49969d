"""DescribeInstanceTypes: the EC2 types behind those of SageMaker hosting.

The SageMaker SDK asks how many vCPUs, GPUs and how much memory a type has before it chooses how to
deploy a model. Told is what the table has; what else AWS knows of a type (networks, disks,
boot modes) is absent, as it is nothing that a host here has. A filter by what is not told finds
nothing, and one that AWS does not know is refused.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from inservice.errors import InvalidParameterValue, SenderError
from inservice.hosting.instance_types import InstanceType, instance_types
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything

PAGE_SIZE: Final = 100
"""Types of a page at most, and where the request does not say."""

_MIB: Final = 2**20

_MAKERS: Final = {"nvidia": "NVIDIA", "habana": "Habana", "aws": "AWS"}


class InvalidInstanceType(SenderError):
    """A type that is asked for by name is none."""

    code = "InvalidInstanceType"


class DryRunOperation(SenderError):
    """Whoever asked would be allowed, and did not want more than to know that."""

    code = "DryRunOperation"
    status = 412


class InvalidNextToken(SenderError):
    """No page ended so."""

    code = "InvalidNextToken"


class InvalidParameterCombination(SenderError):
    """Each is right, and both together are not."""

    code = "InvalidParameterCombination"


@operation("ec2", "DescribeInstanceTypes", on=(anything,))
def describe_instance_types(
    call: Call,
    *,
    dry_run: bool = False,
    instance_types: Sequence[str] = (),
    filters: Sequence[Mapping[str, object]] = (),
    max_results: int | None = None,
    next_token: str | None = None,
    include_unsupported_in_region: bool = False,
) -> Document:
    """What each has, by name. Every region has all of them here."""
    del call, include_unsupported_in_region
    if dry_run:
        raise DryRunOperation("Request would have succeeded, but DryRun flag is set.")
    if instance_types and (max_results is not None or next_token is not None):
        raise InvalidParameterCombination(
            "The parameter InstanceTypes cannot be used with the parameter MaxResults"
        )
    known = _known()
    if unknown := [name for name in instance_types if name not in known]:
        raise InvalidInstanceType(
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        )
    wanted = [_wanted(one) for one in filters]
    after = "" if next_token is None else _position(next_token)
    found = [
        one
        for name, one in sorted(known.items())
        if name > after
        and (not instance_types or name in instance_types)
        and all(fits(one) for fits in wanted)
    ]
    page = found if instance_types else found[: max_results or PAGE_SIZE]
    more = {"NextToken": _token(page[-1].ec2_name)} if len(page) < len(found) else {}
    return {"InstanceTypes": [_told(one) for one in page], **more}


def _known() -> Mapping[str, InstanceType]:
    return {one.ec2_name: one for one in instance_types().values()}


def _told(one: InstanceType) -> Document:
    has = one.resources
    threads = 1 if one.architecture == "arm64" or has.vcpus == 1 else 2
    accelerators = has.accelerators
    picture: dict[str, object] = {
        "InstanceType": one.ec2_name,
        "CurrentGeneration": one.family not in _FORMER,
        "BareMetal": False,
        "ProcessorInfo": {"SupportedArchitectures": [one.architecture]},
        "VCpuInfo": {
            "DefaultVCpus": has.vcpus,
            "DefaultCores": has.vcpus // threads,
            "DefaultThreadsPerCore": threads,
        },
        "MemoryInfo": {"SizeInMiB": has.memory_bytes // _MIB},
        "BurstablePerformanceSupported": one.family.startswith("t"),
    }
    if accelerators is not None:
        memory_mib = accelerators.memory_bytes // _MIB
        device = {
            "Name": accelerators.model,
            "Count": accelerators.count,
            "MemoryInfo": {"SizeInMiB": memory_mib},
        }
        if accelerators.maker == "aws":
            picture["NeuronInfo"] = {
                "NeuronDevices": [device],
                "TotalNeuronDeviceMemoryInMiB": memory_mib * accelerators.count,
            }
        else:
            picture["GpuInfo"] = {
                "Gpus": [{**device, "Manufacturer": _MAKERS[accelerators.maker]}],
                "TotalGpuMemoryInMiB": memory_mib * accelerators.count,
            }
    return picture


_FORMER: Final = frozenset(("m4", "c4", "p2", "p3", "t2"))
"""Families that AWS calls of the previous generation."""


def _flag(value: object) -> str:
    return "true" if value else "false"


_FILTERS: Final[Mapping[str, Callable[[InstanceType], str]]] = {
    "instance-type": lambda one: one.ec2_name,
    "bare-metal": lambda _: "false",
    "burstable-performance-supported": lambda one: _flag(one.family.startswith("t")),
    "current-generation": lambda one: _flag(one.family not in _FORMER),
    "processor-info.supported-architecture": lambda one: one.architecture,
    "vcpu-info.default-vcpus": lambda one: str(one.resources.vcpus),
    "memory-info.size-in-mib": lambda one: str(one.resources.memory_bytes // _MIB),
}
"""By what a type can be found here."""

_UNTOLD: Final = (
    *("auto-recovery-supported", "dedicated-hosts-supported", "free-tier-eligible"),
    *("ebs-info.*", "hibernation-supported", "hypervisor", "instance-storage-info.*"),
    *("instance-storage-supported", "network-info.*", "nitro-enclaves-support"),
    *("nitro-tpm-*", "processor-info.*", "reboot-migration-support", "supported-*"),
    "vcpu-info.*",
)
"""Filters of AWS's by what nothing is told of."""


def _wanted(one: Mapping[str, object]) -> Callable[[InstanceType], bool]:
    """Whether a type fits a filter: by any of its values, in which * and ? stand for what they do
    on AWS."""
    name, given = str(one.get("Name", "")), one.get("Values") or ()
    values = [str(value) for value in given] if isinstance(given, Iterable) else []
    if name in _FILTERS:
        told = _FILTERS[name]
        patterns = [value.replace("[", "[[]") for value in values]
        return lambda each: any(fnmatchcase(told(each), pattern) for pattern in patterns)
    if any(fnmatchcase(name, pattern) for pattern in _UNTOLD):
        return lambda _: False
    raise InvalidParameterValue(f"The filter '{name}' is invalid")


def _token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _position(token: str) -> str:
    try:
        after = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii")
    except ValueError:
        after = ""
    if after not in _known():
        raise InvalidNextToken("The specified NextToken is invalid")
    return after
