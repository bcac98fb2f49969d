"""What operations ask of what runs, where nothing does: no fault is found with anything."""

from __future__ import annotations

from inservice.operations.live import DataSeen


class Lenient:
    """A `Live` for those who make models, configurations and endpoints and look at nothing else."""

    is_strict = False

    def data_seen(self, *_: object) -> DataSeen:
        """Of data in a store that nobody looks into."""
        return DataSeen.ELSEWHERE
