"""What the gateways serve from, endpoint by endpoint, and what they may still be serving from.

A worker chooses from its newest table, and nobody knows which one that is until the worker has
acknowledged it. So every version of an endpoint's route is remembered until all live workers have
acknowledged a newer one: an instance is free of invocations when no remembered route lists it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inservice.channel.publishing import Gateways
from inservice.ids import EndpointKey
from inservice.routing import EndpointRoute, KeyRoute


@dataclass
class Tables:
    """Routes of endpoints as they were published, newest last."""

    gateways: Gateways
    _published: dict[EndpointKey, list[tuple[int, EndpointRoute | None]]] = field(
        default_factory=dict
    )
    _unsettled: set[EndpointKey] = field(default_factory=set)
    """Asked for, or published, and not agreed on then: whoever asked waits for it."""

    def adopt(self) -> None:
        """Begin with what the gateways serve from already."""
        table = self.gateways.table
        for key, route in table.endpoints.items():
            self._published[key] = [(table.version, route)]

    def publish(self, key: EndpointKey, route: EndpointRoute | None) -> None:
        """Make `route` what the table says about an endpoint; None takes it out of the table.

        Publishing what is published already makes no new version.
        """
        if self.current(key) == route:
            return
        version = self.gateways.publish_route(key, route)
        self._published.setdefault(key, []).append((version, route))
        self._unsettled.add(key)

    def newly_agreed(self) -> list[EndpointKey]:
        """Endpoints whose newest route every live worker serves by since this was last asked."""
        agreed = [key for key in self._unsettled if self.agreed(key)]
        self._unsettled.difference_update(agreed)
        return agreed

    def publish_keys(self, keys: Mapping[str, KeyRoute]) -> None:
        """Make these the access keys that gateways accept."""
        if dict(self.gateways.table.keys) != dict(keys):
            self.gateways.publish_keys(tuple(keys.values()))

    def keys(self) -> set[EndpointKey]:
        """Every endpoint that some table still says something about."""
        return set(self._published)

    def current(self, key: EndpointKey) -> EndpointRoute | None:
        """What the newest table says."""
        history = self._published.get(key)
        return history[-1][1] if history else None

    def agreed(self, key: EndpointKey) -> bool:
        """Whether every live worker serves this endpoint by the newest table."""
        self._forget_superseded(key)
        history = self._published.get(key)
        agreed = not history or self.gateways.acknowledged() >= history[-1][0]
        if not agreed:
            self._unsettled.add(key)
        return agreed

    def routed(self, key: EndpointKey) -> frozenset[str]:
        """Ids of the instances that some worker may still choose."""
        self._forget_superseded(key)
        return frozenset().union(*(_ids(route) for _, route in self._published.get(key, ())))

    def served(self) -> set[str]:
        """Ids of the instances that every live worker may choose, of all endpoints."""
        found: set[str] = set()
        for key in self.keys():
            self._forget_superseded(key)
            history = self._published.get(key, [])
            if history and self.gateways.acknowledged() >= history[0][0]:
                found |= set.intersection(*(_ids(route) for _, route in history))
        return found

    def _forget_superseded(self, key: EndpointKey) -> None:
        history = self._published.get(key)
        if not history:
            return
        seen = self.gateways.acknowledged()
        while len(history) > 1 and history[1][0] <= seen:
            history.pop(0)
        version, route = history[-1]
        if route is None and version <= seen:
            del self._published[key]  # out of the table, and everybody knows


def _ids(route: EndpointRoute | None) -> set[str]:
    if route is None:
        return set()
    return {instance.id for fleet in route.fleets for instance in fleet.instances}
