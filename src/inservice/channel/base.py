"""What the controller sees of the channel: tables are published, and workers serve by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from inservice.ids import EndpointKey
from inservice.routing.table import EndpointRoute, KeyRoute, RoutingTable, SessionRoute


class Publishing(Protocol):
    """What the gateway workers serve from, and how far each of them is."""

    @property
    def table(self) -> RoutingTable:
        """The newest."""
        ...

    def publish_route(self, key: EndpointKey, route: EndpointRoute | None) -> int:
        """Make this what workers know of an endpoint; gives the version. Raises OSError when it
        cannot be written down, and then nothing has been published."""
        ...

    def publish_keys(self, keys: Mapping[str, KeyRoute | None]) -> None:
        """Make this what these permanent access keys are; None for one that is no more. Raises
        OSError, as above."""
        ...

    def publish_grants(
        self, authorities: Mapping[str, str | None], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Make this what these principals hold, and these endpoints are tagged with. Raises
        OSError, as above."""
        ...

    def publish_sessions(self, sessions: Mapping[str, SessionRoute | None]) -> None:
        """Make this what these temporary keys are; None for one that is no more. Raises OSError,
        as above."""
        ...

    def acknowledged(self) -> int:
        """The newest version that every live worker serves from; -1 if one has said nothing."""
        ...
