"""What a decision asks to be done: three commands, each safe to run twice and safe to lose.

There is no log of actions. They are the difference between a remembered wish and what is seen, so
whatever was lost is decided again on the next turn, and what was done is not in the difference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from inservice.deployment.facts import Facts, FleetFacts
from inservice.deployment.plan import Step, apportion


@dataclass(frozen=True, slots=True)
class Launch:
    """Start these instances of a fleet, unless they run. One that is gone is started anew."""

    fleet: str
    ordinals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What the routing table must say about the endpoint.

    A fleet in `shares` is listed with those of its `ordinals` that are ready; others are not
    listed. Empty shares: the endpoint is not in the table at all. Publishing what is published
    already makes no new version.
    """

    shares: Mapping[str, int]  # basis points by fleet id; they sum to 10,000 or there are none
    ordinals: Mapping[str, tuple[int, ...]]  # by fleet id: whoever may take traffic once ready
    step: str  # Deployment.step_id, for EndpointRoute.step


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
    step: Step, facts: Facts, route: Route | None, held_back: Collection[str]
) -> tuple[Action, ...]:
    """What to do to make the row real: launch before routing, route before retiring.

    `route` is what the table should say now, None to leave it as it is; `held_back` are the ids of
    instances that died and are not to be launched again yet.
    """
    actions: list[Action] = list(launches(step, facts, held_back))
    if route is not None and not is_routed(route, facts):
        actions.append(route)
    else:
        actions += surplus(step, facts, only_useless=not is_ready(step, facts))
    return (*actions, *worn_out(step, facts))


def wanted(size: int, seen: FleetFacts) -> tuple[int, ...]:
    """Which ordinals of a fleet are the `size` that it should have.

    Whoever is ready stays before whoever is not, so that shrinking a fleet never stops its last
    ready instance to keep a dead one. Otherwise what exists stays before what does not, and lower
    ordinals before higher.
    """
    if len(seen.ready) == size:
        return tuple(sorted(seen.ready))
    order = (seen.ready, seen.starting, seen.unhealthy, seen.gone, range(size))
    kept = dict.fromkeys(
        ordinal for group in order for ordinal in sorted(group) if ordinal not in seen.draining
    )
    return tuple(kept)[:size]


def launches(step: Step, facts: Facts, held_back: Collection[str]) -> list[Launch]:
    """Instances that the row wants and that are not there, or are there no more."""
    found = []
    for want in step.wants:
        seen = facts.of(want.fleet)
        if len(seen.ready) >= want.size:
            continue
        alive = seen.present - seen.gone.keys()
        ordinals = tuple(
            ordinal
            for ordinal in wanted(want.size, seen)
            if ordinal not in alive and f"{want.fleet}/{ordinal}" not in held_back
        )
        room = want.size - len(alive)  # who is being retired takes its room until it is gone
        if ordinals and room > 0:
            found.append(Launch(want.fleet, ordinals[:room]))
    return found


def is_ready(step: Step, facts: Facts) -> bool:
    """Whether every fleet has as many ready instances as the row needs to become real."""
    return all(len(facts.of(want.fleet).ready) >= want.ready for want in step.wants)


def is_routed(route: Route | None, facts: Facts) -> bool:
    """Whether every gateway worker has acknowledged this, and lists nothing that must go."""
    if route is None:
        return True
    if facts.shares != route.shares:
        return False
    return all(
        seen.routed.issubset(route.ordinals.get(fleet, ()))
        for fleet, seen in facts.fleets.items()
        if seen.routed
    )


def surplus(step: Step, facts: Facts, *, only_useless: bool = False) -> list[Retire]:
    """Instances that exist and that the row does not want, once no gateway worker lists them.

    A ready one may still be needed while the row itself is not ready; others serve nobody.
    """
    sizes = step.sizes
    found = []
    for fleet, seen in facts.fleets.items():
        size = sizes.get(fleet, 0)
        if len(seen.present) <= size:
            continue
        spare = seen.present.difference(seen.draining, seen.routed, wanted(size, seen))
        if only_useless:
            spare -= seen.ready
        if spare:
            found.append(Retire(fleet, tuple(sorted(spare))))
    return found


def has_surplus(step: Step, facts: Facts) -> bool:
    """Whether anything is left that the row does not want, be it draining."""
    sizes = step.sizes
    return any(len(seen.present) > sizes.get(fleet, 0) for fleet, seen in facts.fleets.items())


def worn_out(step: Step, facts: Facts) -> list[Retire]:
    """Wanted instances that will not get well by themselves. Once gone they are launched anew."""
    found = []
    for want in step.wants:
        seen = facts.of(want.fleet)
        if not seen.unhealthy and not seen.starting:
            continue
        ill = [o for o, seconds in seen.unhealthy.items() if seconds > UNHEALTHY_SECONDS_MAX]
        late = [o for o, seconds in seen.starting.items() if seconds > want.start_seconds_max]
        kept = wanted(want.size, seen)
        ordinals = tuple(o for o in sorted((*ill, *late)) if o in kept and o not in seen.routed)
        if ordinals:
            found.append(Retire(want.fleet, ordinals))
    return found


def spill(shares: Mapping[str, int], step: Step, facts: Facts) -> Mapping[str, int] | None:
    """The same shares, but a fleet without a ready instance hands its own to those that have one.

    First to the fleets of its variant, then to any. No weight stays stuck on a dead fleet, and a
    fleet that is not in the table yet gets nothing by another's death. None when nobody is left
    to take it: then nothing that the table could say would help.
    """
    alive = {f for f in shares if facts.of(f).ready}
    dead = [f for f, share in shares.items() if share and f not in alive]
    if not dead:
        return shares
    if not alive:
        return None
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
