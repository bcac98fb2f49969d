"""Which composite alarms depend on which alarms, so that a change is followed and nothing else.

A composite is evaluated after the alarms it is made of. Those in a circle, or above one, are left
out: AWS too stops evaluating them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

from inservice.telemetry.base import AlarmKey


class Composites:
    """The composite alarms there are, by what they are made of."""

    def __init__(self) -> None:
        self._children: dict[AlarmKey, frozenset[AlarmKey]] = {}
        self._parents: defaultdict[AlarmKey, set[AlarmKey]] = defaultdict(set)
        self._places: dict[AlarmKey, int] | None = {}  # in the order of evaluation; None: not known

    def put(self, key: AlarmKey, children: Iterable[AlarmKey]) -> None:
        """There is this composite now, in place of any of the key."""
        if self._children.get(key) == (made_of := frozenset(children)):
            return
        self.remove(key)
        self._children[key] = made_of
        for child in made_of:
            self._parents[child].add(key)
        self._places = None

    def remove(self, key: AlarmKey) -> None:
        """There is no such composite."""
        for child in self._children.pop(key, ()):
            self._parents[child].discard(key)
            if not self._parents[child]:
                del self._parents[child]
            self._places = None

    def affected(self, changed: Collection[AlarmKey]) -> list[AlarmKey]:
        """The composites that depend on any of these alarms or are one, children first."""
        found = {key for key in changed if key in self._children}
        new = {parent for key in changed for parent in self._parents.get(key, ())}
        while new := new - found:
            found |= new
            new = {parent for key in new for parent in self._parents.get(key, ())}
        if not found:
            return []
        places = self._in_order()
        return sorted((key for key in found if key in places), key=places.__getitem__)

    def _in_order(self) -> dict[AlarmKey, int]:
        if self._places is None:
            sorter: TopologicalSorter[AlarmKey] = TopologicalSorter()
            for key, children in self._children.items():
                sorter.add(key, *(child for child in children if child in self._children))
            with contextlib.suppress(CycleError):
                sorter.prepare()
            order: list[AlarmKey] = []
            while ready := sorter.get_ready():
                sorter.done(*ready)
                order += ready
            self._places = {key: place for place, key in enumerate(order)}
        return self._places
