"""How a gateway chooses: a fleet by its share, then one of the fleet's instances by its strategy.

Chance is an argument, and so is who is busy (`Outstanding`): the same draw among the same always
chooses the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute


class NoSuchVariant(Exception):
    """TargetVariant names none of the endpoint's variants."""


class _Levels:
    """One fleet's instances by how many invocations each has: `levels[n]` are those that have n.

    Every invocation moves one instance by one level, so the lowest level that is not empty is
    never further away than one step, and nothing is ever searched.
    """

    __slots__ = ("fewest", "instances", "levels", "places")

    def __init__(self, instances: tuple[InstanceRoute, ...], counts: Mapping[str, int]) -> None:
        self.instances = instances
        self.levels: list[list[InstanceRoute]] = [[]]
        self.places: dict[str, tuple[int, int]] = {}  # level, and where in it
        for instance in instances:
            self._put(instance, counts.get(instance.id, 0))
        self.fewest = next(n for n, level in enumerate(self.levels) if level)

    def move(self, instance_id: str, level: int) -> None:
        """An instance has so many now: one more or one less than before."""
        before, at = self.places[instance_id]
        left = self.levels[before]
        instance, last = left[at], left.pop()
        if last is not instance:
            left[at] = last
            self.places[last.id] = (before, at)
        self._put(instance, level)
        if level < self.fewest or not self.levels[self.fewest]:
            self.fewest = level

    def _put(self, instance: InstanceRoute, level: int) -> None:
        while len(self.levels) <= level:
            self.levels.append([])
        self.places[instance.id] = (level, len(self.levels[level]))
        self.levels[level].append(instance)


class Outstanding:
    """How many invocations are under way at each instance, and which of a fleet has the fewest.

    To know the latter costs the same for a fleet of 64 as for one of two: what has begun and ended
    since is known from when it did.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._fleets: dict[str, _Levels] = {}
        self._of: dict[str, _Levels] = {}  # by instance id

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        """Ids of the instances that have any."""
        return iter(self._counts)

    def get(self, instance_id: str) -> int:
        """How many an instance has."""
        return self._counts.get(instance_id, 0)

    def begun(self, instance_id: str) -> int:
        """One more; how many that makes."""
        count = self._counts[instance_id] = self._counts.get(instance_id, 0) + 1
        if self._of and (levels := self._of.get(instance_id)) is not None:
            levels.move(instance_id, count)
        return count

    def ended(self, instance_id: str) -> int:
        """One less; how many are left."""
        left = self._counts[instance_id] - 1
        if left:
            self._counts[instance_id] = left
        else:
            del self._counts[instance_id]
        if self._of and (levels := self._of.get(instance_id)) is not None:
            levels.move(instance_id, left)
        return left

    def fewest(self, fleet: FleetRoute, avoid: Collection[str] = ()) -> Sequence[InstanceRoute]:
        """The instances that have the fewest, but for those in `avoid`: in no particular order,
        not to be kept, and none only if all are avoided."""
        levels = self._fleets.get(fleet.fleet)
        if levels is None or levels.instances is not fleet.instances:
            levels = self._learn(fleet)
        ready: Sequence[InstanceRoute] = levels.levels[levels.fewest]
        if not avoid:
            return ready
        for level in levels.levels[levels.fewest :]:
            if ready := [one for one in level if one.id not in avoid]:
                return ready
        return ()

    def retain(self, ids: Collection[str]) -> None:
        """Forget the fleets of instances that are not in the table any more."""
        for name, levels in list(self._fleets.items()):
            if not any(instance.id in ids for instance in levels.instances):
                self._forget(name)

    def _learn(self, fleet: FleetRoute) -> _Levels:
        """The fleet is new here, or has other instances than it had."""
        self._forget(fleet.fleet)
        levels = self._fleets[fleet.fleet] = _Levels(fleet.instances, self._counts)
        for instance in fleet.instances:
            self._of[instance.id] = levels
        return levels

    def _forget(self, name: str) -> None:
        if (levels := self._fleets.pop(name, None)) is not None:
            for instance in levels.instances:
                if self._of.get(instance.id) is levels:
                    del self._of[instance.id]


Choice = tuple[FleetRoute, InstanceRoute]


def choose(
    route: EndpointRoute,
    draw: float,
    *,
    target_variant: str | None = None,
    outstanding: Outstanding,
    avoid: Collection[str] = (),
) -> Choice | None:
    """The fleet by its share, then an instance by the fleet's strategy; None if none is ready.

    `draw` is uniform in [0, 1) and decides everything that is left to chance: the fleet takes its
    leading part, the instance what remains of it. `outstanding` knows the invocations under way;
    instances in `avoid` are not taken. `target_variant` overrides the shares, so a
    variant of weight 0 is reached by its name.

    A fleet without an instance to take *spills* to any instance of the endpoint (of the variant, if
    one was named): weights follow health only as fast as control looks, and a request must not
    fail while somebody could answer it. Raises NoSuchVariant.
    """
    fleets = route.fleets
    if target_variant is not None:
        fleets = tuple(fleet for fleet in fleets if fleet.variant == target_variant)
        if not fleets:
            raise NoSuchVariant(target_variant)
    fleet, rest = _fleet(fleets, draw)
    instance = _instance(fleet, rest, outstanding, avoid)
    if instance is not None:
        return fleet, instance
    others = [
        (other, ready)
        for other in fleets
        for ready in other.instances
        if other is not fleet and ready.id not in avoid
    ]
    return others[int(rest * len(others))] if others else None


def _fleet(fleets: tuple[FleetRoute, ...], draw: float) -> tuple[FleetRoute, float]:
    """The fleet whose stretch of the line holds the draw, and where in its stretch, in [0, 1)."""
    if len(fleets) == 1:
        return fleets[0], draw
    whole = sum(fleet.share for fleet in fleets)
    if whole == 0:  # a named variant of weight 0: the first fleet that can answer
        ready = (fleet for fleet in fleets if fleet.instances)
        return next(ready, fleets[0]), draw
    point = draw * whole
    for fleet in fleets:
        if point < fleet.share:
            return fleet, point / fleet.share
        point -= fleet.share
    last = next(fleet for fleet in reversed(fleets) if fleet.share)  # rounding pushed us off
    return last, 0.0


def _instance(
    fleet: FleetRoute, draw: float, outstanding: Outstanding, avoid: Collection[str]
) -> InstanceRoute | None:
    """One of the fleet's instances; of those with the fewest outstanding, if that is its way."""
    ready: Sequence[InstanceRoute] = fleet.instances
    if len(ready) > 1 and fleet.strategy == "LEAST_OUTSTANDING_REQUESTS":
        ready = outstanding.fewest(fleet, avoid)
    elif avoid:
        ready = [instance for instance in ready if instance.id not in avoid]
    return ready[int(draw * len(ready))] if ready else None
