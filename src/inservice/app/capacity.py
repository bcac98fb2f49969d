"""What this host has, put together from who can tell."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from inservice.config import Settings
from inservice.operations.live import CapacitySeen
from inservice.placement.host import Claim, Device, Host, Limits, Sharing
from inservice.placement.place import Rules
from inservice.runtimes import host
from inservice.runtimes.claims import Claims, ClaimsUnreadable
from inservice.telemetry.gpus import Gpus, GpusUnseen

log = structlog.get_logger()


class Capacity:
    """The host, what is held of it, and by which rules."""

    def __init__(self, settings: Settings, gpus: Gpus | None) -> None:
        self.rules = Rules(Limits(settings.limits), Sharing(settings.gpus))
        self.claims = Claims(settings.run_dir)
        self._gpus = gpus

    def host(self) -> Host:
        """What there is just now."""
        devices: tuple[Device, ...] = ()
        blind = ""
        if self._gpus is not None:
            try:
                devices = tuple(self._gpus.devices())
            except GpusUnseen as error:
                blind = str(error)
                log.warning("no GPU can be given out", why=blind)
        return Host(host.vcpus(), host.memory_bytes(), devices, blind)

    def seen(self) -> CapacitySeen:
        """For the operations. What cannot be read is held by nobody that they could name."""
        try:
            claims = tuple(self.claims.all().values())
        except ClaimsUnreadable as error:
            log.warning("nobody knows who holds what", why=str(error))
            claims = ()
        return CapacitySeen(self.host(), claims, self.rules)

    def held(self) -> tuple[Host, Sequence[Claim]]:
        """What there is, and who holds it."""
        seen = self.seen()
        return seen.host, seen.claims

    def devices_of(self, instance_id: str) -> tuple[str, ...] | None:
        """The GPUs that an instance has for itself; None where it shares them, or nobody knows."""
        if self._gpus is None or self.rules.sharing is Sharing.SHARED:
            return None
        try:
            claim = self.claims.all().get(instance_id)
        except ClaimsUnreadable:
            return None
        return None if claim is None else claim.devices
