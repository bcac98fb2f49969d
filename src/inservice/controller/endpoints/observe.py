"""Look: everything that one turn is decided from, as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from inservice.controller.endpoints import explain, sightings
from inservice.controller.endpoints.instances import Instances
from inservice.controller.endpoints.launches import Launches
from inservice.controller.kit.tables import Tables
from inservice.deployment.facts import Facts, FleetFacts, Gone
from inservice.deployment.state import Deployment, Phase, fleets_of
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.fleet import Fleet
from inservice.ids import EndpointKey
from inservice.runtimes.base import InstanceState

NOBODY: frozenset[int] = frozenset()


class Observer:
    """Sees for the reconciler."""

    def __init__(self, instances: Instances, launches: Launches, tables: Tables) -> None:
        self._instances = instances
        self._launches = launches
        self._tables = tables
        self._watcher = uuid4().hex  # time counts between two looks of one control only

    def facts(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        tripped: Mapping[str, str],
        now: float,
    ) -> Facts:
        """What is. `tripped` are the alarms that are not quiet, with what is wrong with them."""
        key = endpoint.key
        known = fleets_of(endpoint, deployment)
        own = self._instances.fleets_of(endpoint.generation)
        routed = self._tables.routed(key)
        back = deployment.phase is Phase.ROLLING_BACK
        fleets = {
            # In one order, since the order of what is done follows from it.
            fleet: self._fleet(fleet, known.get(fleet), routed.get(fleet, NOBODY), back, now)
            for fleet in sorted(own | known.keys())
        }
        return Facts(
            fleets={fleet: facts for fleet, facts in fleets.items() if facts != FleetFacts()},
            shares=self._shares(key),
            tripped=tripped,
            watcher=self._watcher,
        )

    def _shares(self, key: EndpointKey) -> Mapping[str, int] | None:
        if not self._tables.agreed(key):
            return None
        route = self._tables.current(key)
        return {fleet.fleet: fleet.share for fleet in route.fleets} if route else {}

    def _fleet(
        self, fleet: str, known: Fleet | None, routed: frozenset[int], back: bool, now: float
    ) -> FleetFacts:
        ready, draining = set(), set()
        starting: dict[int, float] = dict.fromkeys(self._launches.under_way(fleet), 0.0)
        unhealthy: dict[int, float] = {}
        gone: dict[int, Gone] = {}
        note = self._launches.note(fleet)
        notes: dict[int, str] = dict.fromkeys(starting, note) if note else {}
        late: dict[int, str] = {}
        for watched in self._instances.of_fleet(fleet):
            ordinal = watched.ordinal
            match watched.sight.state:
                case _ if watched.retiring:
                    draining.add(ordinal)
                case InstanceState.READY:
                    ready.add(ordinal)
                case InstanceState.STARTING:
                    starting[ordinal] = max(0.0, now - watched.started_at)
                    if said := explain.waiting(watched.sight):
                        notes[ordinal] = said
                    if reason := sightings.late(watched, known, now):
                        late[ordinal] = reason
                case InstanceState.UNHEALTHY:
                    unhealthy[ordinal] = max(0.0, now - watched.since)
                    notes[ordinal] = explain.ill(watched.sight)
                case InstanceState.GONE if ordinal not in starting:
                    gone[ordinal] = sightings.gone(watched, known, now)
        listed = routed
        if not self._tables.is_known():
            listed = listed.union(ready, starting, unhealthy, gone, draining)
        return FleetFacts(
            ready=frozenset(ready),
            starting=starting,
            unhealthy=unhealthy,
            gone=gone,
            draining=frozenset(draining),
            routed=listed,
            notes=notes,
            phase=self._launches.phase(fleet),
            late=late,
            failure=self._launches.failure(fleet, patient=back),
        )
