"""What the gateways serve from, endpoint by endpoint, and what they may still be serving from.

A worker chooses from its newest table, and nobody knows which one that is until the worker has
acknowledged it. So every version of an endpoint's route is remembered until all live workers have
acknowledged a newer one: an instance is free of invocations when no remembered route lists it.

A control that starts remembers none. The table that it finds is the newest, and a worker that its
predecessor had not reached serves by an older one, of which nothing is known. So until every live
worker has acknowledged what was found, nobody agrees on anything, and whatever runs may be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inservice.channel.base import Publishing
from inservice.ids import EndpointKey, instance_id, ordinal_of
from inservice.routing.table import EndpointRoute, KeyRoute, SessionRoute

Listed = Mapping[str, frozenset[int]]
"""Instances that may be chosen: ordinals by fleet."""


class _Published:
    """What one version of the table says of an endpoint."""

    __slots__ = ("listed", "route", "version")

    def __init__(self, version: int, route: EndpointRoute | None) -> None:
        self.version = version
        self.route = route
        self.listed: Listed = _listed(route)  # each turn asks, and the route never changes


@dataclass
class Tables:
    """Routes of endpoints as they were published, newest last."""

    gateways: Publishing
    _published: dict[EndpointKey, list[_Published]] = field(default_factory=dict)
    _unsettled: set[EndpointKey] = field(default_factory=set)
    """Asked for, or published, and not agreed on then: whoever asked waits for it."""
    _found: int = -1
    """The version of the table that was found, until every live worker has acknowledged it."""

    def adopt(self) -> None:
        """Begin with what the gateways serve from already."""
        table = self.gateways.table
        self._found = table.version or -1  # there is no table 0: nothing was ever published
        for key, route in table.endpoints.items():
            self._published[key] = [_Published(table.version, route)]

    def publish(self, key: EndpointKey, route: EndpointRoute | None) -> None:
        """Make `route` what the table says about an endpoint; None takes it out of the table.

        Publishing what is published already makes no new version.
        """
        if self.current(key) == route:
            return
        version = self.gateways.publish_route(key, route)
        self._published.setdefault(key, []).append(_Published(version, route))
        self._unsettled.add(key)

    def newly_agreed(self) -> list[EndpointKey]:
        """Endpoints whose newest route every live worker serves by since this was last asked."""
        agreed = sorted(key for key in self._unsettled if self.agreed(key))
        self._unsettled.difference_update(agreed)
        return agreed

    def publish_keys(self, keys: Mapping[str, KeyRoute | None]) -> None:
        """Make this what these permanent keys are, None for one that is no more."""
        table = self.gateways.table
        changed = {each: key for each, key in keys.items() if table.keys.get(each) != key}
        if changed:
            self.gateways.publish_keys(changed)

    def renew_keys(self, keys: Mapping[str, KeyRoute]) -> None:
        """Make these all permanent keys that gateways accept."""
        none: dict[str, KeyRoute | None] = dict.fromkeys(self.gateways.table.keys)
        self.publish_keys({**none, **keys})

    def publish_sessions(self, sessions: Mapping[str, SessionRoute | None]) -> None:
        """Make this what these temporary keys are, None for one that is no more."""
        table = self.gateways.table
        changed = {each: key for each, key in sessions.items() if table.sessions.get(each) != key}
        if changed:
            self.gateways.publish_sessions(changed)

    def renew_sessions(self, sessions: Mapping[str, SessionRoute]) -> None:
        """Make these all temporary keys that gateways accept."""
        none: dict[str, SessionRoute | None] = dict.fromkeys(self.gateways.table.sessions)
        self.publish_sessions({**none, **sessions})

    def publish_grants(
        self, authorities: Mapping[str, str | None], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Make this what these principals hold, None for nothing, and these endpoints are tagged
        with. What is published already makes no new version."""
        table = self.gateways.table
        held = {
            arn: text for arn, text in authorities.items() if table.authorities.get(arn) != text
        }
        labels = {arn: each for arn, each in tags.items() if table.tags.get(arn, {}) != each}
        if held or labels:
            self.gateways.publish_grants(held, labels)

    def renew_grants(
        self, authorities: Mapping[str, str], tags: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Make this all that anybody holds, and all tags that endpoints have."""
        table = self.gateways.table
        nothing: dict[str, str | None] = dict.fromkeys(table.authorities)
        bare: dict[str, Mapping[str, str]] = {arn: {} for arn in table.tags}
        self.publish_grants({**nothing, **authorities}, {**bare, **tags})

    def keys(self) -> set[EndpointKey]:
        """Every endpoint that some table still says something about."""
        return set(self._published)

    def current(self, key: EndpointKey) -> EndpointRoute | None:
        """What the newest table says."""
        history = self._published.get(key)
        return history[-1].route if history else None

    def agreed(self, key: EndpointKey) -> bool:
        """Whether every live worker serves this endpoint by the newest table."""
        self._forget_superseded(key)
        history = self._published.get(key)
        agreed = self.is_known() and (
            not history or self.gateways.acknowledged() >= history[-1].version
        )
        if not agreed:
            self._unsettled.add(key)
        return agreed

    def is_known(self) -> bool:
        """Whether every table is known that a worker may serve from."""
        if self._found >= 0 and self.gateways.acknowledged() >= self._found:
            self._found = -1  # for good: a worker that starts begins with the newest
        return self._found < 0

    def routed(self, key: EndpointKey) -> Listed:
        """The instances that some worker may still choose, as far as that `is_known`."""
        self._forget_superseded(key)
        history = self._published.get(key, ())
        if len(history) == 1:
            return history[0].listed
        found: dict[str, frozenset[int]] = {}
        for published in history:
            for fleet, ordinals in published.listed.items():
                found[fleet] = found.get(fleet, frozenset()) | ordinals
        return found

    def served(self) -> set[str]:
        """Ids of the instances that every live worker may choose, of all endpoints."""
        found: set[str] = set()
        for key in self.keys():
            self._forget_superseded(key)
            history = self._published.get(key, [])
            if self.is_known() and history and self.gateways.acknowledged() >= history[0].version:
                found |= set.intersection(*(_ids(each.listed) for each in history))
        return found

    def _forget_superseded(self, key: EndpointKey) -> None:
        history = self._published.get(key)
        if not history:
            return
        seen = self.gateways.acknowledged()
        while len(history) > 1 and history[1].version <= seen:
            history.pop(0)
        newest = history[-1]
        if newest.route is None and newest.version <= seen:
            del self._published[key]  # out of the table, and everybody knows


def _listed(route: EndpointRoute | None) -> Listed:
    if route is None:
        return {}
    return {
        fleet.fleet: frozenset(ordinal_of(instance.id) for instance in fleet.instances)
        for fleet in route.fleets
    }


def _ids(listed: Listed) -> set[str]:
    return {instance_id(fleet, ordinal) for fleet, each in listed.items() for ordinal in each}
