"""What Prometheus is told of the host: what it has for instances, and what they hold of it."""

from __future__ import annotations

from collections.abc import Sequence

from inservice.placement.host import Claim, Host, used
from inservice.telemetry.page import Page


def write_capacity(page: Page, host: Host, claims: Sequence[Claim]) -> None:
    """As it is now. What instances hold is what their types have, also where that is only counted,
    so it may be more than there is."""
    holding = used(claims)
    for name, says, there, held in (
        ("vcpus", "Processors for instances", host.vcpus, holding.vcpus),
        ("memory_bytes", "Memory for instances", host.memory_bytes, holding.memory_bytes),
    ):
        page.gauge(f"inservice_host_{name}", f"{says}.", (), [((), there)])
        of_it = f"{says} that they have by their types."
        page.gauge(f"inservice_host_{name}_held", of_it, (), [((), held)])
    taken = {uuid for claim in claims for uuid in claim.devices}
    page.gauge(
        "inservice_gpu_held",
        "1 for each GPU, or slice of one, that an instance has for itself; 0 for a free one.",
        ("uuid", "name"),
        (((each.uuid, each.name), float(each.uuid in taken)) for each in host.devices),
    )
