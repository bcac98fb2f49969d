"""Whether an instance finds a place on a host.

A refusal is AWS's, and then says what AWS does not: how much there is, and who holds it. It comes
at once, since on one's own host nothing becomes free by waiting but what one frees oneself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inservice.placement.host import Claim, Host, Limits, Sharing, gib, used

INSUFFICIENT = (
    "CapacityError: Unable to provision requested ML compute capacity due to "
    "InsufficientInstanceCapacity error. Please retry using a different ML instance type or after "
    "some time."
)
"""AWS's words of today after its code of earlier, which AWS's SDK looks for."""

_HOLDERS_SAID = 4
"""Of those who hold something: a FailureReason has 1,024 characters."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server makes of instance types."""

    limits: Limits = Limits.OFF
    sharing: Sharing = Sharing.EXCLUSIVE


@dataclass(frozen=True, slots=True)
class NoRoom:
    """It does not fit."""

    why: str  # a sentence

    @property
    def reason(self) -> str:
        """Fit for a FailureReason."""
        return f"{INSUFFICIENT} {self.why}"


def place(host: Host, claims: Sequence[Claim], wanted: Claim, rules: Rules) -> Claim | NoRoom:
    """The claim that an instance gets, or why it gets none.

    `wanted` names no devices. One that has a claim already keeps it, as long as its devices are
    there and as many as its type has: it may be running on them.
    """
    others = [claim for claim in claims if claim.instance_id != wanted.instance_id]
    if rules.limits is Limits.ENFORCED and (why := _too_much(host, others, wanted)):
        return NoRoom(why)
    if rules.sharing is Sharing.SHARED:
        return wanted
    count = wanted.resources.gpus
    if not count or not (host.devices or host.blind):
        if rules.limits is Limits.ENFORCED and wanted.resources.accelerators is not None:
            return NoRoom(_has_none(wanted))
        return wanted
    if host.blind:
        return NoRoom(f"{_needs(wanted)}, and this host cannot tell which it has: {host.blind}.")
    return _on_devices(host, others, wanted, _own(host, claims, wanted))


def _own(host: Host, claims: Sequence[Claim], wanted: Claim) -> tuple[str, ...]:
    there = {device.uuid for device in host.devices}
    for claim in claims:
        if claim.instance_id == wanted.instance_id and there.issuperset(claim.devices):
            return claim.devices
    return ()


def _on_devices(
    host: Host, others: Sequence[Claim], wanted: Claim, own: tuple[str, ...]
) -> Claim | NoRoom:
    count = wanted.resources.gpus
    held = {uuid for claim in others for uuid in claim.devices}
    if len(own) == count and held.isdisjoint(own):
        return replace(wanted, devices=own)
    free = [device.uuid for device in host.devices if device.uuid not in held]
    if len(free) >= count:
        return replace(wanted, devices=tuple(free[:count]))
    total = len(host.devices)
    if total < count:
        return NoRoom(f"{_needs(wanted)}, and this host has {total}.")
    taken = total - len(free)
    return NoRoom(f"{_needs(wanted)}: {taken} of {_gpus(total)} {_held(others, wanted, total)}.")


def _needs(wanted: Claim) -> str:
    return f"An {wanted.resources.instance_type} has {_gpus(wanted.resources.gpus)} for itself"


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _has_none(wanted: Claim) -> str:
    its = wanted.resources.accelerators
    assert its is not None
    return (
        f"An {wanted.resources.instance_type} has {its.count} {its.model}, and this host has no "
        f"{'GPU' if wanted.resources.gpus else 'such accelerator'} (INSERVICE_LIMITS=enforced)."
    )


def _held(claims: Sequence[Claim], wanted: Claim, total: int) -> str:
    """By whom: "are held by digits/AllTraffic (2)". Another account's are not told by name."""
    holders = Counter[str]()
    for claim in claims:
        if claim.devices:
            theirs = claim.account != wanted.account
            holders["another account" if theirs else holder(claim)] += len(claim.devices)
    said = [name if count == 1 else f"{name} ({count})" for name, count in holders.most_common()]
    more = len(said) - _HOLDERS_SAID
    if more > 0:
        said[_HOLDERS_SAID:] = [f"{more} more"]
    are = "is" if total == 1 else "are"
    return f"{are} held by {', '.join(said)}" if said else f"{are} held"


def holder(claim: Claim) -> str:
    """Who holds it, for people."""
    return f"{claim.endpoint}/{claim.variant}"


def _too_much(host: Host, others: Sequence[Claim], wanted: Claim) -> str:
    """What of processors and memory is not there, by type; "" if all is."""
    holding, asks = used(others), wanted.resources
    if holding.vcpus + asks.vcpus > host.vcpus:
        return (
            f"An {asks.instance_type} has {asks.vcpus} vCPUs, and of the {host.vcpus} of this host "
            f"{holding.vcpus} are held (INSERVICE_LIMITS=enforced)."
        )
    if holding.memory_bytes + asks.memory_bytes > host.memory_bytes:
        return (
            f"An {asks.instance_type} has {gib(asks.memory_bytes)} of memory, and of the "
            f"{gib(host.memory_bytes)} of this host {gib(holding.memory_bytes)} are held "
            "(INSERVICE_LIMITS=enforced)."
        )
    return ""
