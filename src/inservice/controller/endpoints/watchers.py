"""Which endpoints watch which alarms, so that an alarm wakes those and nobody else.

Kept by whoever takes the turns, from what each turn has read: the cost of an alarm's change is that
of its watchers, however many endpoints there are.

Between the beginning of a reading and what it says, nobody knows which alarms it will name. So what
changes in between is noted, and held against that when it is known: no change is missed, and none
wakes an endpoint that it does not concern.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from inservice.ids import EndpointKey
from inservice.store.collections.alarms import AlarmName


class Watchers:
    """Endpoints by the alarms that their deployments turn back for."""

    def __init__(self) -> None:
        self._alarms: dict[EndpointKey, frozenset[AlarmName]] = {}
        self._watchers: defaultdict[AlarmName, set[EndpointKey]] = defaultdict(set)
        self._looking: dict[EndpointKey, set[AlarmName]] = {}  # with what changed meanwhile

    def look(self, key: EndpointKey) -> None:
        """The endpoint is being read, from now until it is `put`."""
        self._looking[key] = set()

    def put(self, key: EndpointKey, alarms: Iterable[AlarmName]) -> bool:
        """The endpoint watches these, and no others. Says whether one of them has changed since the
        `look`, so that what was read may be old."""
        changed = self._looking.pop(key, set())
        now, before = frozenset(alarms), self._alarms.get(key, frozenset())
        for name in before - now:
            self._watchers[name].discard(key)
            if not self._watchers[name]:
                del self._watchers[name]
        for name in now - before:
            self._watchers[name].add(key)
        if now:
            self._alarms[key] = now
        else:
            self._alarms.pop(key, None)
        return not now.isdisjoint(changed)

    def forget(self, key: EndpointKey) -> None:
        """The endpoint is no more."""
        self.put(key, ())

    def changed(self, names: Iterable[AlarmName]) -> set[EndpointKey]:
        """These alarms changed. Gives whom it concerns, but for those that are being read."""
        found: set[EndpointKey] = set()
        for name in names:
            found |= self._watchers.get(name, set())
            for seen in self._looking.values():
                seen.add(name)
        return found
