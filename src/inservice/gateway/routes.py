"""The table that a gateway worker serves from, and which instances are in it.

It begins with the table on disk, and follows the channel from then on (`channel.worker`).
"""

from __future__ import annotations

import logging
from collections.abc import Set
from pathlib import Path
from typing import Protocol

from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta
from inservice.routing.table import EndpointRoute, RoutingTable

_log = logging.getLogger(__name__)


class Listed(Protocol):
    """Told what instances the table lists now, when some are not listed any more."""

    def __call__(self, ids: Set[str], addresses: Set[str]) -> None:
        """Sets that go on changing: not to be kept."""
        ...


class Routes:
    """The table that this worker serves from."""

    def __init__(self, path: Path, on_fewer: Listed) -> None:
        self._file = TableFile(path)
        self._on_fewer = on_fewer
        self._ids: set[str] = set()
        self._addresses: set[str] = set()
        self.table = RoutingTable(-1, {}, {})

    def load(self) -> None:
        """Take the table on disk, if there is one, if it can be read, if it is one."""
        try:
            table = self._file.read()
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:  # control has a table too, and the channel is there
            _log.error("a routing table was refused: %s", error)
            return
        if table.version > self.table.version:
            self.serve(table)

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        """Serve from this table from now on; `delta` is all in which it differs from ours."""
        before, self.table = self.table, table
        if delta is None:
            self._ids.clear()
            self._addresses.clear()
            for route in table.endpoints.values():
                listed = _instances(route)
                self._ids.update(listed)
                self._addresses.update(listed.values())
            self._on_fewer(self._ids, self._addresses)
            return
        gone = _instances(before.endpoints.get(delta.endpoint) if delta.endpoint else None)
        come = _instances(delta.route)
        left = gone.items() - come.items()
        self._ids.difference_update(instance for instance, _ in left)
        self._addresses.difference_update(address for _, address in left)
        self._ids.update(come)
        self._addresses.update(come.values())
        if left:
            self._on_fewer(self._ids, self._addresses)


def _instances(route: EndpointRoute | None) -> dict[str, str]:
    """Addresses by instance id."""
    if route is None:
        return {}
    return {one.id: one.address for fleet in route.fleets for one in fleet.instances}
