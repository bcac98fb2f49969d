"""What makes a deployment turn back, and how deaths of instances are counted.

The side that a deployment goes to is watched, the side that it leaves is not: whoever leaves a
broken fleet must not be kept there by its being broken.

    before the new fleet takes traffic      an instance cannot start, or time is up
    from then to the first old stop         also: an alarm trips, a new instance is lost
    after it                                there is no way back to what is being stopped; only if
                                            the new fleet cannot start again while some of the old
                                            still runs do we go back after all
    on the way back                         the old fleet cannot start, or time is up
"""

from __future__ import annotations

from dataclasses import replace

from inservice.deployment.actions import UNHEALTHY_SECONDS_MAX, wanted
from inservice.deployment.facts import Facts
from inservice.deployment.plan import Want
from inservice.deployment.policy import TIMEOUT_SECONDS_DEFAULT
from inservice.deployment.state import Attempts, Deployment, Kind, Phase

START_ATTEMPTS = 2
"""Starts of one ordinal before it counts as one that cannot start. The second try is for what is
not the model's fault, such as the memory of two fleets that load at once."""

BACKOFF_SECONDS_MAX = 300.0
"""Kubernetes' ceiling for a crash loop, for the same reason: an hour of it costs twelve starts."""

LONG_LIFE_SECONDS = 600.0
"""An instance that lived this long was not part of a crash loop when it died."""

SERVED_SECONDS = 1.0
"""An instance that was ready for this long has served. It can start, so its death is none of a
crash loop: waiting would only cost requests. One that is shot at its first request is: a second is
some dozens of requests on an endpoint that is busy enough for the difference to matter."""


def count_deaths(deployment: Deployment, facts: Facts, now: float) -> Deployment:
    """The deployment with every death of a wanted instance counted once.

    The death of an instance that served, and the first of one that did not, are followed by a
    launch at once; of those that come without having served, further ones wait 2, 4, 8 … seconds.
    """
    fresh = {}
    for want in deployment.step.wants:
        seen = facts.of(want.fleet)
        if not seen.gone:
            continue
        kept = wanted(want.size, seen)
        for ordinal, gone in seen.gone.items():
            if ordinal not in kept:
                continue
            instance = f"{want.fleet}/{ordinal}"
            last = deployment.attempts.get(instance)
            if last and last.started_at == gone.started_at:
                continue
            if gone.served_seconds >= SERVED_SECONDS:
                fresh[instance] = Attempts(0, gone.started_at, now)
                continue
            long_life = gone.lived_seconds > LONG_LIFE_SECONDS
            count = 1 if last is None or long_life else last.count + 1
            delay = min(2.0 ** (count - 1), BACKOFF_SECONDS_MAX) if count > 1 else 0.0
            fresh[instance] = Attempts(count, gone.started_at, now + delay)
    if not fresh:
        return deployment
    return replace(deployment, attempts={**deployment.attempts, **fresh})


def held_back(deployment: Deployment, facts: Facts, now: float) -> dict[str, float]:
    """Dead instances that are not due to be launched again, and when they are.

    A time further off than the longest backoff can only come from a step of the clock: due.
    """
    return {
        instance: attempts.launch_at
        for want in deployment.step.wants
        for ordinal in facts.of(want.fleet).gone
        if (attempts := deployment.attempts.get(instance := f"{want.fleet}/{ordinal}"))
        and now < attempts.launch_at <= now + BACKOFF_SECONDS_MAX
    }


def trouble(deployment: Deployment, facts: Facts) -> str | None:
    """Why the deployment cannot go on as planned, or None."""
    if deployment.phase is Phase.DELETING:
        return None
    if deployment.phase is Phase.ROLLING_BACK:
        return cannot_start(deployment, facts) or _out_of_time(deployment, TIMEOUT_SECONDS_DEFAULT)
    if deployment.stopping:
        return cannot_start(deployment, facts) if _old_still_runs(deployment, facts) else None
    return (
        deployment.aborted
        or _alarm(deployment, facts)
        or _lost(deployment, facts)
        or cannot_start(deployment, facts)
        or _out_of_time(deployment, deployment.timeout_seconds)
    )


def cannot_start(deployment: Deployment, facts: Facts) -> str | None:
    """Why the row can never have as many ready instances as it needs, or None."""
    for want in deployment.step.wants:
        seen = facts.of(want.fleet)
        if len(seen.ready) >= want.ready:
            continue
        reasons = [
            reason
            for ordinal in wanted(want.size, seen)
            if (reason := _start_failure(deployment, want, ordinal, facts))
        ]
        if want.size - len(reasons) < want.ready:
            return reasons[0]
    return None


def _start_failure(deployment: Deployment, want: Want, ordinal: int, facts: Facts) -> str | None:
    """Why one instance is given up, or None while it may still become ready."""
    seen = facts.of(want.fleet)
    if ordinal in seen.ready:
        return None
    if gone := seen.gone.get(ordinal):
        attempts = deployment.attempts.get(f"{want.fleet}/{ordinal}")
        if attempts and attempts.count >= START_ATTEMPTS:
            return gone.reason
    if seen.starting.get(ordinal, 0.0) > want.start_seconds_max:
        return seen.late.get(ordinal) or (
            f"The primary container for production variant {want.variant} did not pass the ping "
            f"health check within {want.start_seconds_max} seconds "
            f"(ContainerStartupHealthCheckTimeoutInSeconds). "
            f"Please check CloudWatch logs for this endpoint."
        )
    return seen.failure


def _alarm(deployment: Deployment, facts: Facts) -> str | None:
    """Alarms count from the first activation on: before it there is nothing new to blame."""
    if not facts.tripped or deployment.kind is not Kind.UPDATE:
        return None
    shares = deployment.step.shares
    if not any(fleet.id in shares for fleet in deployment.new):
        return None
    return "; ".join(f'alarm "{name}" {how}' for name, how in sorted(facts.tripped.items()))


def _lost(deployment: Deployment, facts: Facts) -> str | None:
    """A new instance that was ready and is no more, while there is an old fleet to go back to.

    With nothing left of any fleet it was the server that was stopped, not the new model that
    failed: all come back, and the deployment goes on where it was.
    """
    nothing_left = not any(seen.present for seen in facts.fleets.values())
    if deployment.kind is not Kind.UPDATE or nothing_left:
        return None
    for fleet in deployment.new:
        seen = facts.of(fleet.id)
        for ordinal in range(deployment.sizes.get(fleet.id, 0)):
            if ordinal in seen.ready:
                continue
            instance = f"instance {ordinal} of the new fleet of variant {fleet.variant.name}"
            if gone := seen.gone.get(ordinal):
                return f"{instance} was lost: {gone.reason}"
            seconds = seen.unhealthy.get(ordinal)
            if seconds is None and ordinal not in seen.starting:
                return f"{instance} was lost without a trace"
            if seconds is not None and seconds > UNHEALTHY_SECONDS_MAX:
                reason = f"{instance} has failed its health check for {seconds:.0f} seconds"
                note = seen.notes.get(ordinal)
                return f"{reason}. {note}" if note else reason
    return None


def _out_of_time(deployment: Deployment, timeout_seconds: int) -> str | None:
    if deployment.spent_seconds < timeout_seconds:
        return None
    if deployment.kind is Kind.UPDATE and deployment.phase is Phase.UPDATING:
        return (
            f"the deployment took longer than {timeout_seconds} seconds "
            f"(MaximumExecutionTimeoutInSeconds)"
        )
    return f"it took longer than {timeout_seconds} seconds"


def _old_still_runs(deployment: Deployment, facts: Facts) -> bool:
    """Whether there is anything to go back to; for a change in place there always is."""
    if deployment.kind is Kind.SCALE:
        return True
    new = {fleet.id for fleet in deployment.new}
    return any(seen.ready for fleet, seen in facts.fleets.items() if fleet not in new)
