"""What a decision asks to be done: three commands, each safe to run twice and safe to lose.

There is no log of actions. They are the difference between a remembered wish and what is seen, so
whatever was lost is decided again on the next turn, and what was done is not in the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from inservice.deployment.facts import Facts
from inservice.deployment.plan import Step, Want, apportion


@dataclass(frozen=True, slots=True)
class Launch:
    """Start these instances of a fleet, unless they run. One that is gone is started anew."""

    fleet: str
    ordinals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What the routing table must say about the endpoint.

    A fleet in `shares` is listed with its ready instances whose ordinal is below `sizes[fleet]`;
    others are not listed. Empty shares: the endpoint is not in the table at all. Publishing what
    is published already makes no new version.
    """

    shares: Mapping[str, int]  # basis points by fleet id; they sum to 10,000 or there are none
    sizes: Mapping[str, int]  # by fleet id: only ordinals below this take traffic
    step: str  # "<deployment id>/<row>", for EndpointRoute.step


@dataclass(frozen=True, slots=True)
class Retire:
    """Let these instances finish what they have, stop them, forget them."""

    fleet: str
    ordinals: tuple[int, ...]


Action = Launch | Route | Retire

UNHEALTHY_SECONDS_MAX = 30.0
"""How long /ping may fail on an instance that was ready before it is replaced. The gateway avoids
it from the first failure on; half a minute is what AWS gives a container to end, and longer than a
garbage collection or a page-in lasts."""


def difference(
    step: Step, facts: Facts, route: Route, held_back: Collection[str]
) -> tuple[Action, ...]:
    """What to do to make the row real: launch before routing, route before retiring.

    `route` is what the table should say now; `held_back` are the ids of instances that died and
    are not to be launched again yet.
    """
    actions: list[Action] = list(launches(step, facts, held_back))
    if not is_routed(route, facts):
        actions.append(route)
    else:
        actions += surplus(step, facts, only_useless=not is_ready(step, facts))
    return (*actions, *worn_out(step, facts))


def launches(step: Step, facts: Facts, held_back: Collection[str]) -> list[Launch]:
    """Instances that the row wants and that are not there, or are there no more."""
    found = []
    for want in step.wants:
        seen = facts.of(want.fleet)
        if len(seen.ready) >= want.size and not seen.gone:
            continue
        alive = seen.present - seen.gone.keys()
        ordinals = tuple(
            ordinal
            for ordinal in range(want.size)
            if ordinal not in alive and f"{want.fleet}/{ordinal}" not in held_back
        )
        if ordinals:
            found.append(Launch(want.fleet, ordinals))
    return found


def is_ready(step: Step, facts: Facts) -> bool:
    """Whether every fleet has as many ready instances as the row needs to become real."""
    return all(ready_count(want, facts) >= want.ready for want in step.wants)


def ready_count(want: Want, facts: Facts) -> int:
    """The instances that are both wanted and ready."""
    return sum(1 for ordinal in facts.of(want.fleet).ready if ordinal < want.size)


def is_routed(route: Route, facts: Facts) -> bool:
    """Whether every gateway worker has acknowledged this, and lists nothing that must go."""
    if facts.shares != route.shares:
        return False
    return all(
        max(seen.routed, default=-1) < (route.sizes.get(fleet, 0) if fleet in route.shares else 0)
        for fleet, seen in facts.fleets.items()
    )


def surplus(step: Step, facts: Facts, *, only_useless: bool = False) -> list[Retire]:
    """Instances that exist and that the row does not want, once no gateway worker lists them.

    A ready one may still be needed while the row itself is not ready; others serve nobody.
    """
    sizes = step.sizes
    found = []
    for fleet, seen in facts.fleets.items():
        size = sizes.get(fleet, 0)
        ordinals = tuple(
            ordinal
            for ordinal in sorted(seen.present - seen.draining - seen.routed)
            if ordinal >= size and not (only_useless and ordinal in seen.ready)
        )
        if ordinals:
            found.append(Retire(fleet, ordinals))
    return found


def has_surplus(step: Step, facts: Facts) -> bool:
    """Whether anything is left that the row does not want, be it draining."""
    sizes = step.sizes
    return any(
        max(seen.present, default=-1) >= sizes.get(fleet, 0) for fleet, seen in facts.fleets.items()
    )


def worn_out(step: Step, facts: Facts) -> list[Retire]:
    """Wanted instances that will not get well by themselves. Once gone they are launched anew."""
    found = []
    for want in step.wants:
        seen = facts.of(want.fleet)
        if not seen.unhealthy and not seen.starting:
            continue
        ill = [o for o, seconds in seen.unhealthy.items() if seconds > UNHEALTHY_SECONDS_MAX]
        late = [o for o, seconds in seen.starting.items() if seconds > want.start_seconds_max]
        ordinals = tuple(o for o in sorted((*ill, *late)) if o < want.size and o not in seen.routed)
        if ordinals:
            found.append(Retire(want.fleet, ordinals))
    return found


def spill(shares: Mapping[str, int], step: Step, facts: Facts) -> Mapping[str, int]:
    """The same shares, but a fleet without a ready instance hands its own to those that have one.

    First to the fleets of its variant, then to any. No weight stays stuck on a dead fleet, and a
    fleet that is not in the table yet gets nothing by another's death. With nobody left to take
    it, everything stays as it is.
    """
    alive = {f for f in shares if facts.of(f).ready}
    dead = [f for f, share in shares.items() if share and f not in alive]
    if not dead or not alive:
        return shares
    variants = {want.fleet: want.variant for want in step.wants}
    moved = {f: share if f in alive else 0 for f, share in shares.items()}
    for fleet in dead:
        kin = [f for f in shares if f in alive and variants.get(f) == variants.get(fleet)]
        heirs = kin or [f for f in shares if f in alive]
        weights = {f: Fraction(shares[f]) for f in heirs}
        if not any(weights.values()):
            weights = dict.fromkeys(heirs, Fraction(1))
        for heir, part in apportion(weights, shares[fleet]).items():
            moved[heir] += part
    return moved
