"""Telling a history that an instance takes its time, and for what.

Two kinds of waiting. A launch waits for the host, which is short of something just now: that is
told once for each reason, and remembered for it. An instance that runs waits for its model to load:
that is told after a while, and then each time that it has lasted twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from inservice.deployment.events import Event
from inservice.deployment.facts import Facts
from inservice.deployment.state import Deployment

TOLD_AFTER_SECONDS = 30.0
"""Most models are loaded by then, and whoever looks at a history has begun to wonder."""


def note_waits(deployment: Deployment, facts: Facts) -> Deployment:
    """The deployment with what launches wait for now remembered."""
    waits = {
        f"{want.fleet}/{ordinal}": note
        for want in deployment.step.wants
        for ordinal, note in facts.of(want.fleet).notes.items()
        if facts.of(want.fleet).starting.get(ordinal) == 0.0
    }
    return deployment if waits == deployment.waits else replace(deployment, waits=waits)


def delays(before: Deployment, after: Deployment, facts: Facts, now: float) -> Iterator[Event]:
    """What to tell of waiting; `before` and `after` its being noted."""
    for instance, note in after.waits.items():
        if before.waits.get(instance) != note:
            yield after.event(now, f"Instance {instance} cannot be launched yet: {note}.")
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


def _doublings(seconds: float) -> int:
    """How often it was to be told within that time."""
    return int(seconds / TOLD_AFTER_SECONDS).bit_length()
