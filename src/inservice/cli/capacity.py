"""What this host has for instances and what they hold of it, as `inservice status` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30


def picture(seen: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Of what DescribeServer says; None where it says nothing."""
    if seen is None:
        return None
    return {
        "limits": seen["Limits"],
        "gpu_sharing": seen["Sharing"],
        "vcpus": seen["VcpuCount"],
        "vcpus_held": seen["VcpusHeld"],
        "memory_bytes": seen["MemoryBytes"],
        "memory_bytes_held": seen["MemoryBytesHeld"],
        "gpus": [
            {
                "uuid": gpu["Uuid"],
                "name": gpu["Name"],
                "memory_bytes": gpu.get("MemoryBytes"),
                "instance": gpu.get("InstanceId"),
                "endpoint": gpu.get("EndpointName"),
                "variant": gpu.get("VariantName"),
                "account_id": gpu.get("AccountId"),
            }
            for gpu in seen["Gpus"]
        ],
        "gpus_unknown": seen.get("Blind"),
    }


def lines(capacity: Mapping[str, Any]) -> Sequence[str]:
    """For a terminal."""
    said = [
        (
            f"Instances have {capacity['vcpus_held']} vCPUs and "
            f"{capacity['memory_bytes_held'] / GIB:.1f} GiB by their types; this host has "
            f"{capacity['vcpus']} and {capacity['memory_bytes'] / GIB:.1f} GiB "
            f"(limits: {capacity['limits']})."
        )
    ]
    if capacity["gpus_unknown"]:
        said.append(f"No GPU is given out: {capacity['gpus_unknown']}.")
    if capacity["gpus"]:
        said += ["", f"{'GPU':<44} {'HELD BY':<32} NAME"]
        said += [
            f"{gpu['uuid']:<44} {_holder(gpu, capacity['gpu_sharing']):<32} {gpu['name']}"
            for gpu in capacity["gpus"]
        ]
    return said


def _holder(gpu: Mapping[str, Any], sharing: str) -> str:
    if sharing == "shared":
        return "everybody"
    return f"{gpu['endpoint']}/{gpu['variant']}" if gpu["instance"] else "-"
