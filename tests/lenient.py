"""What operations ask of what runs, where nothing does: no fault is found with anything."""

from __future__ import annotations

from inservice.operations.live import CapacitySeen, DataSeen
from inservice.placement.host import Host
from inservice.placement.place import Rules


class Lenient:
    """A `Live` for those who make models, configurations and endpoints and look at nothing else."""

    is_strict = False
    placement_rules = Rules()

    def capacity(self) -> CapacitySeen:
        """Of a host that nothing runs on."""
        return CapacitySeen(Host(2, 8 * 2**30), (), self.placement_rules)

    def data_seen(self, *_: object) -> DataSeen:
        """Of data in a store that nobody looks into."""
        return DataSeen.ELSEWHERE
