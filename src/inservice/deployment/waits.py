"""Telling a history that an instance takes its time, and for what, or is replaced while it runs.

Three kinds of waiting. A launch waits for the host, which is short of something just now: that is
told once for each reason, and remembered for it. A launch is in a long phase of its own, as is the
building of an environment: its begin is told, and its end. An instance that runs waits for its
model to load: that is told after a while, and then each time that it has lasted twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from inservice.deployment.actions import worn_out
from inservice.deployment.events import Event
from inservice.deployment.facts import Facts, FleetFacts
from inservice.deployment.plan import Want
from inservice.deployment.state import Decision, Deployment
from inservice.ids import fleet_of, ordinal_of

TOLD_AFTER_SECONDS = 30.0
"""Most models are loaded by then, and whoever looks at a history has begun to wonder."""


def note_waits(deployment: Deployment, facts: Facts) -> Deployment:
    """The deployment with what launches wait for, and are at, now remembered."""
    waits = {
        f"{want.fleet}/{ordinal}": note
        for want in deployment.step.wants
        for ordinal, note in _waiting(deployment, want, facts).items()
        if facts.of(want.fleet).starting.get(ordinal) == 0.0
    }
    phases = {
        want.fleet: phase
        for want in deployment.step.wants
        if (phase := _phase(deployment, want, facts)) is not None
    }
    if waits == deployment.waits and phases == deployment.phases:
        return deployment
    return replace(deployment, waits=waits, phases=phases)


def _waiting(deployment: Deployment, want: Want, facts: Facts) -> Mapping[int, str]:
    """What launches of a fleet wait for, by ordinal. One that is at work again waited for what it
    did: it may have to once more, and it would be told each time."""
    seen = facts.of(want.fleet)
    if seen.phase is None:
        return seen.notes
    return {ordinal_of(k): v for k, v in deployment.waits.items() if fleet_of(k) == want.fleet}


def _phase(deployment: Deployment, want: Want, facts: Facts) -> str | None:
    """What the launch of a fleet is at. Until it has come to something it is at what it was: a
    control that has just begun does not know it yet."""
    seen = facts.of(want.fleet)
    if seen.phase is not None or seen.failure is not None or _has_launched(seen):
        return seen.phase
    return deployment.phases.get(want.fleet)


def _has_launched(seen: FleetFacts) -> bool:
    return bool(seen.ready or seen.unhealthy or seen.gone or any(seen.starting.values()))


def delays(before: Deployment, after: Deployment, facts: Facts, now: float) -> Iterator[Event]:
    """What to tell of waiting; `before` and `after` its being noted."""
    for instance, note in after.waits.items():
        if before.waits.get(instance) != note:
            yield after.event(now, f"Instance {instance} cannot be launched yet: {note}.")
    for fleet, phase in before.phases.items():
        other = after.phases.get(fleet)
        if other != phase and (other is not None or _has_launched(facts.of(fleet))):
            yield after.event(now, f"Fleet {fleet}: {phase} is done.")
    for fleet, phase in after.phases.items():
        if before.phases.get(fleet) != phase:
            yield after.event(now, f"Fleet {fleet}: {phase}.")
    if after.over:
        return
    for want in after.step.wants:
        seen = facts.of(want.fleet)
        for ordinal, seconds in sorted(seen.starting.items()):
            looked = max(0.0, seconds - max(0.0, now - after.looked_at))
            if _doublings(seconds) > _doublings(looked):
                words = f"Instance {want.fleet}/{ordinal} has been starting for {seconds:.0f} s"
                what = seen.notes.get(ordinal)
                yield after.event(now, f"{words}; {what}." if what else f"{words}.")


def replacements(decision: Decision, facts: Facts, now: float) -> Iterator[Event]:
    """Why instances are stopped that run and are wanted: they are ill, or late."""
    patience = {want.fleet: want.start_seconds_max for want in decision.deployment.step.wants}
    for action in worn_out(decision.deployment.step, facts):
        if action not in decision.actions:
            continue
        seen = facts.of(action.fleet)
        for ordinal in action.ordinals:
            if (seconds := seen.unhealthy.get(ordinal)) is not None:
                why, known = f"has failed its health check for {seconds:.0f} s", seen.notes
            else:
                why, known = f"was not ready within {patience[action.fleet]} s", seen.late
            message = f"Instance {action.fleet}/{ordinal} {why}; replacing it."
            yield decision.deployment.event(now, message, reason=known.get(ordinal))


def _doublings(seconds: float) -> int:
    """How often it was to be told within that time."""
    return int(seconds / TOLD_AFTER_SECONDS).bit_length()
