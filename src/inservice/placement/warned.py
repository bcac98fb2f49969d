"""What is said beforehand of what will not fit, or not as its type promises.

It is said when something is asked for, of what is held then: what will be held when it starts is
another matter, and then it either finds a place or does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inservice.hosting.resources import Resources
from inservice.placement.host import Claim, Host, Limits, Sharing, gib, used
from inservice.placement.place import Rules


def warnings(
    host: Host, claims: Sequence[Claim], asked: Sequence[Resources], rules: Rules
) -> Iterator[str]:
    """Of so many instances more, one of `asked` each, in sentences."""
    if rules.limits is Limits.SOFT:
        yield from _beyond(host, claims, asked)
    if rules.sharing is Sharing.SHARED:
        return
    wanted = sum(has.gpus for has in asked)
    free = len(host.devices) - used(claims).devices
    if host.devices and wanted > free:
        yield (
            f"At the most {wanted} GPUs are needed at a time, and of the {len(host.devices)} of "
            f"this host {max(0, free)} are free for that: what finds none is not started."
        )
    if rules.limits is Limits.ENFORCED:
        return
    for instance_type, has in {each.instance_type: each for each in asked}.items():
        its = has.accelerators
        if its is None or (has.gpus and (host.devices or host.blind)):
            continue
        kind = "GPU" if has.gpus else f"{its.model} accelerator"
        yield (
            f"An {instance_type} has {its.count} {its.model} on AWS, and this host has no {kind}: "
            "its instances run on the CPU."
        )


def over(host: Host, claims: Sequence[Claim]) -> Iterator[str]:
    """Of what is held already."""
    yield from _beyond(host, claims, ())


def _beyond(host: Host, claims: Sequence[Claim], asked: Sequence[Resources]) -> Iterator[str]:
    holding = used(claims)
    vcpus = holding.vcpus + sum(has.vcpus for has in asked)
    memory_bytes = holding.memory_bytes + sum(has.memory_bytes for has in asked)
    if vcpus > host.vcpus:
        yield (
            f"The instances of this host have {vcpus} vCPUs by their types, and the host has "
            f"{host.vcpus}."
        )
    if memory_bytes > host.memory_bytes:
        yield (
            f"The instances of this host have {gib(memory_bytes)} of memory by their types, and "
            f"the host has {gib(host.memory_bytes)}."
        )
