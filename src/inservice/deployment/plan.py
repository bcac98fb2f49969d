"""A deployment is a table: rows of instances wanted, shares of traffic, and how long to hold.

Every strategy and every way back is a function that writes such a table; `advance` walks any of
them. So a strategy reads like the page of AWS's guide that defines it, and a new one never touches
the engine. A row says which instances should run and who gets which share of the traffic. Capacity
comes up in a row of its own before a row gives it traffic, and goes in a row of its own after: no
row asks for both.

An endpoint with several variants has one table. Each variant has its own numbers in it, and all
are walked in step: a variant that has fewer stages than another waits with what it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import ceil
from typing import TypeVar

from inservice.deployment.policy import (
    CANARY_PERCENT_MAX,
    LINEAR_PERCENT_MAX,
    ROLLING_PERCENT_MAX,
    CapacitySize,
)
from inservice.hosting.fleet import Fleet
from inservice.routing.table import WHOLE

ALL, NONE = Fraction(1), Fraction(0)

_T = TypeVar("_T")

WAIT_INTERVAL = "WaitIntervalInSeconds"
TERMINATION_WAIT = "TerminationWaitInSeconds"


class Doing(StrEnum):
    """What a step is for. The value is the VariantStatus that DescribeEndpoint shows."""

    CREATING = "Creating"
    SHIFTING = "ActivatingTraffic"
    BAKING = "Baking"
    UPDATING = "Updating"
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True)
class Want:
    """What one step wants of one fleet."""

    fleet: str
    variant: str
    size: int  # the ordinals 0 … size-1 should run; whatever else of the fleet exists is retired
    share: int | None  # basis points; 0: only TargetVariant reaches it; None: not in the table
    ready: int  # the step is not real while fewer than this are ready
    start_seconds_max: int  # an instance that has been starting for longer is given up


@dataclass(frozen=True, slots=True)
class Step:
    """One row: the instances and the traffic we want, and how long to stay once they are real."""

    doing: Doing
    wants: tuple[Want, ...]
    hold_seconds: int = 0
    hold_name: str = ""  # the member of DeploymentConfig that says how long

    @property
    def shares(self) -> Mapping[str, int]:
        """Basis points by fleet, of the fleets that are in the routing table."""
        return {w.fleet: w.share for w in self.wants if w.share is not None}

    @property
    def sizes(self) -> Mapping[str, int]:
        """Instances wanted by fleet."""
        return {w.fleet: w.size for w in self.wants}


Plan = tuple[Step, ...]

Moved = Mapping[str, Fraction]
"""By variant: the part of its traffic that has gone over to its new fleet."""


@dataclass(frozen=True, slots=True)
class Change:
    """From which fleets to which. A variant that comes or goes has fleets on one side only.

    A variant has two old fleets after a rolling rollback that failed, and one otherwise.
    """

    old: tuple[Fleet, ...]
    new: tuple[Fleet, ...]

    def all_moved(self, part: Fraction) -> Moved:
        """The same part for every variant."""
        return {fleet.variant.name: part for fleet in (*self.old, *self.new)}

    def shares(self, moved: Moved) -> Mapping[str, int]:
        """Basis points by fleet, of those that are in the table at all.

        Between variants the weights decide, within a variant the part that has moved. Old and new
        weights are normalised each, so a change of weights moves along with the traffic.
        """
        parts = {}
        for fleets, is_new in ((self.old, False), (self.new, True)):
            total = sum((fleet.weight for fleet in fleets), NONE)
            for fleet in fleets:
                part = moved[fleet.variant.name] if is_new else 1 - moved[fleet.variant.name]
                if part:
                    parts[fleet.id] = part * fleet.weight / total
        return apportion(parts)

    def step(
        self,
        doing: Doing,
        kept: Mapping[str, int],
        made: Mapping[str, int],
        moved: Moved,
        *,
        back: bool = False,
        hold: tuple[int, str] = (0, ""),
    ) -> Step:
        """One row. The side that we go to must be ready for it, the side that we leave need not:
        an update is how a broken fleet gets mended, and must not wait for it.

        On the way forward an old fleet that has lost its last share stays in the table for as long
        as it has instances: should the new one die, gateways spill to it before anybody decides.
        """
        shares = dict(self.shares(moved))
        if not back:
            stays = {fleet.variant.name for fleet in self.new}
            for fleet in self.old:
                if kept[fleet.id] and fleet.variant.name in stays:
                    shares.setdefault(fleet.id, 0)
        old = [_want(f, kept[f.id], shares.get(f.id), kept[f.id] if back else 0) for f in self.old]
        new = [_want(f, made[f.id], shares.get(f.id), 0 if back else made[f.id]) for f in self.new]
        return Step(doing, (*old, *new), *hold)


# ── blue/green ─────────────────────────────────────────────────────────────────────────────────


def all_at_once(change: Change, *, wait_seconds: int) -> Plan:
    """The whole new fleet comes up, takes all traffic, bakes; then the old fleet goes."""
    return _blue_green(change, [change.all_moved(ALL)], 0, wait_seconds)


def canary(change: Change, *, size: CapacitySize, bake_seconds: int, wait_seconds: int) -> Plan:
    """All at once, but a small part of the traffic goes first and bakes.

    On a fleet of one instance the canary is the whole fleet, and bakes all the same.
    """
    part = {f.variant.name: _part(size, f.size, CANARY_PERCENT_MAX) for f in change.new}
    return _blue_green(change, [part, change.all_moved(ALL)], bake_seconds, wait_seconds)


def linear(change: Change, *, step: CapacitySize, bake_seconds: int, wait_seconds: int) -> Plan:
    """The traffic goes over in equal steps, each baked; the last one may be smaller.

    The last step bakes TerminationWaitInSeconds only. A fleet of one instance has a single step,
    which bakes both waits.
    """
    stages = list(
        _in_step(
            (f.variant.name, [Fraction(n, f.size) for n in batches(f.size, batch)])
            for f in change.new
            for batch in [step.instances(f.size, LINEAR_PERCENT_MAX)]
        )
    )
    stages = stages if len(stages) > 1 else stages * 2
    return _blue_green(change, stages, bake_seconds, wait_seconds)


def _blue_green(change: Change, stages: Sequence[Moved], bake: int, wait: int) -> Plan:
    """Provision the whole new fleet, shift to it stage by stage, then retire the old one.

    The old fleet stays whole until the last row: rolling back is a flip of the routing.
    """
    old, new = _whole(change.old), _whole(change.new)
    moved = change.all_moved(NONE)
    rows = [change.step(Doing.CREATING, old, new, moved)]
    for number, stage in enumerate(stages, start=1):
        if stage != moved:
            rows += [change.step(Doing.SHIFTING, old, new, stage)]
        moved = stage
        hold = (wait, TERMINATION_WAIT) if number == len(stages) else (bake, WAIT_INTERVAL)
        if hold[0]:
            rows += [change.step(Doing.BAKING, old, new, moved, hold=hold)]
    return (*rows, change.step(Doing.DELETING, _none(change.old), new, moved))


# ── rolling ────────────────────────────────────────────────────────────────────────────────────


def rolling(change: Change, *, batch: CapacitySize, bake_seconds: int) -> Plan:
    """Bring up a batch, shift its part of the traffic, bake, retire as much of the old; repeat.

    The old fleet keeps ⌈its size × the share it still serves⌉ instances: with fleets of different
    sizes, rounding down could leave none for a share that is not yet nothing.
    """
    rows: list[Step] = []
    kept, moved = _whole(change.old), change.all_moved(NONE)
    stages = _in_step(
        (f.id, list(batches(f.size, batch.instances(f.size, ROLLING_PERCENT_MAX))))
        for f in change.new
    )
    for made in stages:
        rows += [change.step(Doing.CREATING, kept, made, moved)]
        moved = {f.variant.name: Fraction(made[f.id], f.size) for f in change.new}
        rows += [change.step(Doing.SHIFTING, kept, made, moved)]
        if bake_seconds:
            hold = (bake_seconds, WAIT_INTERVAL)
            rows += [change.step(Doing.BAKING, kept, made, moved, hold=hold)]
        kept = {f.id: ceil(f.size * (1 - moved[f.variant.name])) for f in change.old}
        rows += [change.step(Doing.DELETING, kept, made, moved)]
    return tuple(rows)


# ── the way back ───────────────────────────────────────────────────────────────────────────────


def way_back(
    change: Change,
    *,
    sizes: Mapping[str, int],  # of both sides, as they are in force where we turn
    shares: Mapping[str, int],
    batch: CapacitySize | None,  # None: all of the old fleet at once
) -> Plan:
    """From wherever we are to the old fleets, whole, with all the traffic.

    Where the old fleets are still whole (blue/green, until they are retired) this is one flip,
    and one ready instance of each is enough for it: whatever made us turn back is worse. Otherwise
    the old capacity comes back batch by batch and the traffic follows it.
    """
    whole, kept = _whole(change.old), {f.id: sizes.get(f.id, 0) for f in change.old}
    made = {f.id: sizes.get(f.id, 0) for f in change.new}
    home, none = change.all_moved(NONE), _none(change.new)
    if kept == whole:
        flip = change.step(Doing.SHIFTING, whole, made, home, back=True)
        rows = [flip, change.step(Doing.DELETING, whole, none, home, back=True)]
        return tuple(_with_one_ready(row) for row in rows)
    rows = []
    here = {f.id: shares.get(f.id) for f in (*change.old, *change.new)}
    first, was = dict(made), _moved_so_far(change, here)
    moved = was
    for part in _parts_back(change, kept, batch):
        kept = {f.id: max(kept[f.id], ceil(f.size * part)) for f in change.old}
        up = change.step(Doing.CREATING, kept, made, moved, back=True)
        rows += [up if rows else _with_shares(up, here)]
        moved = {name: min(moved[name], 1 - part) for name in moved}
        rows += [change.step(Doing.SHIFTING, kept, made, moved, back=True)]
        made = {
            f.id: ceil(first[f.id] * moved[v] / was[v]) if was[v] else 0
            for f in change.new
            for v in [f.variant.name]
        }
        rows += [change.step(Doing.DELETING, kept, made, moved, back=True)]
    return tuple(rows)


def _parts_back(
    change: Change, kept: Mapping[str, int], batch: CapacitySize | None
) -> Iterator[Fraction]:
    """The parts of the old capacity that are up after each batch on the way back, the last ALL."""
    total = sum(fleet.size for fleet in change.old)
    up, size = sum(kept.values()), batch.instances(total) if batch else total
    while up < total:
        up = min(up + size, total)
        yield Fraction(up, total)


def _moved_so_far(change: Change, shares: Mapping[str, int | None]) -> dict[str, Fraction]:
    """By variant, the part of its traffic that its new fleets have."""
    moved = {}
    for name in change.all_moved(NONE):
        new = sum(shares[f.id] or 0 for f in change.new if f.variant.name == name)
        old = sum(shares[f.id] or 0 for f in change.old if f.variant.name == name)
        listed = any(shares[f.id] is not None for f in change.new if f.variant.name == name)
        moved[name] = Fraction(new, new + old) if new + old else Fraction(listed)
    return moved


def _with_shares(step: Step, shares: Mapping[str, int | None]) -> Step:
    """The first row back brings capacity and leaves the traffic exactly as it is."""
    wants = [replace(want, share=shares[want.fleet]) for want in step.wants]
    return replace(step, wants=tuple(wants))


def _with_one_ready(step: Step) -> Step:
    return replace(step, wants=tuple(replace(w, ready=min(w.ready, 1)) for w in step.wants))


# ── in place ───────────────────────────────────────────────────────────────────────────────────


def creation(new: tuple[Fleet, ...]) -> Plan:
    """Every fleet of a new endpoint is ready before any of them takes traffic."""
    change = Change((), new)
    whole = _whole(new)
    return (
        change.step(Doing.CREATING, {}, whole, change.all_moved(NONE)),
        change.step(Doing.SHIFTING, {}, whole, change.all_moved(ALL)),
    )


def scaling(old: tuple[Fleet, ...], new: tuple[Fleet, ...]) -> Plan:
    """The same fleets with other sizes and weights: grow, then weigh, then shrink."""
    before = Change((), old).shares(Change((), old).all_moved(ALL))
    after = Change((), new).shares(Change((), new).all_moved(ALL))
    grown = {f.id: max(f.size, o.size) for o, f in zip(old, new, strict=True)}
    final = _whole(new)
    rows = [_in_place(new, grown, before), _in_place(new, grown, after)]
    if grown != final:
        rows += [_in_place(new, final, after, Doing.DELETING)]
    return tuple(rows)


def scaling_back(old: tuple[Fleet, ...]) -> Plan:
    """The sizes and weights that the fleets had; nothing that is missing keeps it from ending."""
    shares = Change((), old).shares(Change((), old).all_moved(ALL))
    step = _in_place(old, _whole(old), shares, Doing.DELETING)
    return (replace(step, wants=tuple(replace(want, ready=0) for want in step.wants)),)


def deletion() -> Plan:
    """Nothing is wanted of any fleet."""
    return (Step(Doing.DELETING, ()),)


def standstill(
    fleets: Iterable[Fleet], sizes: Mapping[str, int], shares: Mapping[str, int]
) -> Plan:
    """Keep what serves: the mixed fleets that a failed rollback leaves behind.

    A fleet without a share is listed all the same, so that it takes over when the other dies.
    """
    wants = [_want(f, sizes.get(f.id, 0), shares.get(f.id, 0), 0) for f in fleets]
    return (Step(Doing.UPDATING, tuple(wants)),)


def _in_place(
    fleets: Iterable[Fleet],
    sizes: Mapping[str, int],
    shares: Mapping[str, int],
    doing: Doing = Doing.UPDATING,
) -> Step:
    return Step(doing, tuple(_want(f, sizes[f.id], shares[f.id], sizes[f.id]) for f in fleets))


# ── arithmetic ─────────────────────────────────────────────────────────────────────────────────


def apportion(parts: Mapping[str, Fraction], whole: int = WHOLE) -> dict[str, int]:
    """Integers in proportion to `parts` that sum to exactly `whole`, by largest remainder.

    Ties go to the earlier key, so the same parts always give the same shares.
    """
    total = sum(parts.values(), NONE)
    if not total:
        return dict.fromkeys(parts, 0)
    exact = {key: part * whole / total for key, part in parts.items()}
    shares = {key: int(number) for key, number in exact.items()}
    left = whole - sum(shares.values())
    for key in sorted(exact, key=lambda key: shares[key] - exact[key])[:left]:
        shares[key] += 1
    return shares


def batches(total: int, size: int) -> Iterator[int]:
    """How many there are after each batch: 2 of 5 → 2, 4, 5."""
    return (min(count, total) for count in range(size, total + size, size))


def _in_step(stages_of: Iterable[tuple[str, Sequence[_T]]]) -> Iterator[dict[str, _T]]:
    """Walk several lists of stages at once; one that has ended stays at its last stage."""
    of = dict(stages_of)
    for number in range(max(map(len, of.values()))):
        yield {key: stages[min(number, len(stages) - 1)] for key, stages in of.items()}


def _part(size: CapacitySize, total: int, percent_max: int) -> Fraction:
    return Fraction(size.instances(total, percent_max), total)


def _whole(fleets: Iterable[Fleet]) -> dict[str, int]:
    return {fleet.id: fleet.size for fleet in fleets}


def _none(fleets: Iterable[Fleet]) -> dict[str, int]:
    return {fleet.id: 0 for fleet in fleets}


def _want(fleet: Fleet, size: int, share: int | None, ready: int) -> Want:
    patience = fleet.variant.startup_timeout_seconds
    return Want(fleet.id, fleet.variant.name, size, share, ready, patience)
