"""One turn of one endpoint: look has been done, here it is decided what to remember and to do.

    keep    when the deployment is over: what died is launched anew, what is left over is stopped
    turn    when something is wrong: the same engine goes on with another table
    walk    otherwise: make the row real; once it is, hold; once held, take the next row

Pure: the same endpoint, deployment, facts and time give the same decision, and a decision that was
lost is decided again. A row is *ready* when the instances it needs are, *in force* from the first
time that it was ready, and *real* while it is ready, acknowledged by every gateway worker and
rid of what it does not want.

Time is what was watched: from one turn to the next of the same watcher, and of that at most
GAP_SECONDS_MAX. So neither a stopped control nor a step of its clock at a restart can end a bake
that nobody watched, and a crash neither restarts a bake nor skips any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from inservice.deployment.actions import (
    Action,
    Launch,
    Retire,
    Route,
    difference,
    has_surplus,
    is_ready,
    is_routed,
    spill,
    wanted,
)
from inservice.deployment.events import Event
from inservice.deployment.facts import Facts
from inservice.deployment.plan import (
    Change,
    Doing,
    Plan,
    deletion,
    scaling_back,
    standstill,
    way_back,
)
from inservice.deployment.set_aside import is_set_aside
from inservice.deployment.state import Decision, Deployment, Kind, Phase
from inservice.deployment.trouble import count_deaths, held_back, trouble
from inservice.deployment.waits import delays, note_waits, replacements
from inservice.hosting.endpoint import FAILURE_REASON_LENGTH_MAX, Endpoint
from inservice.hosting.fleet import Fleet
from inservice.ids import fleet_of, ordinal_of

LOOK_SECONDS = 5.0
"""The longest sleep of a deployment that is under way. Alarms are looked at on every turn; AWS is
believed to look every ten seconds."""

GAP_SECONDS_MAX = 3 * LOOK_SECONDS
"""What a turn that comes late counts at most. Two lost wake-ups are no reason to bake longer."""

NEVER = float("inf")

RETRY_SECONDS = 1.0
"""When to look again after actions whose effect nobody reported."""


def advance(endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float) -> Decision:
    """Decide what to remember and what to do."""
    if is_set_aside(deployment):
        return Decision(endpoint, deployment)
    counted = count_deaths(deployment, facts, now)
    waiting = note_waits(counted, facts)
    told = (*_deaths(deployment, counted, facts, now), *delays(counted, waiting, facts, now))
    counted = waiting
    if deployment.over:
        decision = _keep(endpoint, counted, facts, now)
    else:
        gap = min(max(now - deployment.looked_at, 0.0), GAP_SECONDS_MAX)
        gap = gap if facts.watcher == deployment.watcher else 0.0
        watched = replace(
            counted,
            looked_at=now,
            watcher=facts.watcher,
            spent_seconds=counted.spent_seconds + (0.0 if counted.paused else gap),
        )
        if reason := trouble(watched, facts):
            decision = _turn(endpoint, watched, facts, reason, now)
        else:
            decision = _walk(endpoint, watched, facts, now, gap)
    told = (*told, *replacements(decision, facts, now))
    return replace(decision, events=(*told, *decision.events)) if told else decision


def decide(endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float) -> Decision:
    """`advance`, and where that only enters the next row, what is to be done for that row as well:
    one decision to remember where a turn each would make two.

    No more than one row, none with a hold, whose time begins with a turn that finds it entered, and
    no change of status, each of which is shown. What is found out of the row beside what is to be
    done for it is left to its own turn, which is due at once.
    """
    entered = advance(endpoint, deployment, facts, now)
    if not _only_enters_a_row(deployment, entered.deployment):
        return entered
    begun = advance(entered.endpoint, entered.deployment, facts, now)
    row = entered.deployment
    if (begun.deployment.phase, begun.deployment.row) != (row.phase, row.row):
        return entered
    return replace(begun, events=(*entered.events, *begun.events))


def _only_enters_a_row(before: Deployment, after: Deployment) -> bool:
    return (
        after.phase is before.phase
        and after.row == before.row + 1
        and after.plan is before.plan
        and not after.step.hold_seconds
    )


def only_watched(before: Deployment, after: Deployment) -> bool:
    """Whether nothing has come of a turn but that time has passed. It may be forgotten: the next
    turn counts it from `before` on, as long as it comes within GAP_SECONDS_MAX of that."""
    return before == replace(
        after,
        looked_at=before.looked_at,
        held_seconds=before.held_seconds,
        spent_seconds=before.spent_seconds,
    )


def _deaths(before: Deployment, after: Deployment, facts: Facts, now: float) -> Iterator[Event]:
    if before is after:
        return
    for instance, attempts in after.attempts.items():
        if before.attempts.get(instance) == attempts:
            continue
        gone = facts.of(fleet_of(instance)).gone.get(ordinal_of(instance))
        why = f": {gone.how}" if gone else ""
        seconds = attempts.launch_at - now
        when = f"launching it again in {seconds:.0f} s" if seconds > 0 else "launching it again"
        yield after.event(now, f"Instance {instance} is gone{why}; {when}.")


# ── keep, walk ─────────────────────────────────────────────────────────────────────────────────


def _keep(endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float) -> Decision:
    """Hold the outcome. Where everything is as it should be, this writes and does nothing."""
    kept = _in_force(deployment, facts)
    route = _route(kept, facts)
    waiting = held_back(kept, facts, now)
    actions = difference(kept.step, facts, route, waiting)
    whole = all(len(facts.of(want.fleet).ready) >= want.size for want in kept.step.wants)
    wake_at = None if whole and not actions else _soon(actions, facts, waiting, now)
    return Decision(endpoint, kept, actions, wake_at, route=route)


def _walk(
    endpoint: Endpoint, deployment: Deployment, facts: Facts, now: float, gap: float
) -> Decision:
    """Make the row real, hold it, go on."""
    walked = _in_force(deployment, facts)
    route = _route(walked, facts)
    waiting = held_back(walked, facts, now)
    actions = difference(walked.step, facts, route, waiting)
    if not _is_real(walked, facts, route):
        stopping = walked.stopping or _begins_to_stop(walked, actions)
        later = replace(walked, real=False, stopping=stopping)
        wake_at = _soon(actions, facts, waiting, now)
        return Decision(endpoint, later, actions, wake_at, route=route)
    held = walked.held_seconds + (gap if walked.real and not walked.paused else 0.0)
    left = 0.0 if walked.promoted else walked.step.hold_seconds - held
    if left > 0 or walked.paused:
        stays = replace(walked, real=True, held_seconds=held)
        wake_at = now + (LOOK_SECONDS if walked.paused else min(left, LOOK_SECONDS))
        return Decision(endpoint, stays, actions, wake_at, route=route)
    if walked.row + 1 < len(walked.plan):
        onward = _enter(walked, walked.row + 1, now)
        told = onward.event(now, f"Step {onward.row}: {onward.step.doing}.", reason=onward.reason)
        return Decision(endpoint, onward, (), now, (told,), route)
    return replace(_finish(endpoint, walked, now), route=route)


def _soon(
    actions: Sequence[Action], facts: Facts, waiting: Mapping[str, float], now: float
) -> float:
    """When to look again at what is not as it should be."""
    hopeless = all(isinstance(a, Launch) and facts.of(a.fleet).failure for a in actions)
    return min(now + (LOOK_SECONDS if hopeless else RETRY_SECONDS), *waiting.values(), NEVER)


def _begins_to_stop(deployment: Deployment, actions: Sequence[Action]) -> bool:
    """The point of no return: the first stop of what a rollback would return to."""
    return (
        deployment.phase is Phase.UPDATING
        and _is_at_the_end(deployment)
        and any(isinstance(action, Retire) for action in actions)
    )


def _is_at_the_end(deployment: Deployment) -> bool:
    last = deployment.row + 1 == len(deployment.plan)
    return last and deployment.step.doing is Doing.DELETING


def _in_force(deployment: Deployment, facts: Facts) -> Deployment:
    """A row comes into force when it is ready, and stays so when it is no longer."""
    step = deployment.step
    if not is_ready(step, facts):
        return deployment
    shares, sizes = step.shares, step.sizes
    if deployment.shares == shares and deployment.sizes == sizes:
        return deployment
    return replace(deployment, shares=shares, sizes=sizes)


def _route(deployment: Deployment, facts: Facts) -> Route | None:
    """What is in force, less what is dead; None to leave the table as it is."""
    shares = spill(deployment.shares, deployment.step, facts)
    if shares is None:
        return None
    ordinals = {f: wanted(deployment.sizes.get(f, 0), facts.of(f)) for f in shares}
    return Route(shares, ordinals, deployment.step_id)


def _is_real(deployment: Deployment, facts: Facts, route: Route | None) -> bool:
    """Whether the row is what is. An old fleet that died does not keep it from being so."""
    step = deployment.step
    return (
        (is_ready(step, facts) or deployment.stopping)
        and is_routed(route, facts)
        and not has_surplus(step, facts)
    )


def _enter(deployment: Deployment, row: int, now: float) -> Deployment:
    return replace(deployment, row=row, row_since=now, real=False, held_seconds=0.0, promoted=False)


# ── turn ───────────────────────────────────────────────────────────────────────────────────────


def _turn(
    endpoint: Endpoint, deployment: Deployment, facts: Facts, reason: str, now: float
) -> Decision:
    """Something is wrong: fail, turn back, or, when already on the way back, stand still."""
    if deployment.phase is Phase.CREATING:
        return _fail(endpoint, deployment, reason, now)
    if deployment.phase is Phase.ROLLING_BACK:
        return _stand_still(endpoint, deployment, facts, reason, now)
    return _turn_back(endpoint, deployment, reason, now)


def _turn_back(endpoint: Endpoint, deployment: Deployment, reason: str, now: float) -> Decision:
    back = replace(
        deployment,
        phase=Phase.ROLLING_BACK,
        plan=_plan_back(endpoint, deployment),
        reason=reason,
        spent_seconds=0.0,
        attempts={},  # a fleet that had died before gets its tries again
        paused=False,
        stopping=False,
    )
    back = _enter(back, 0, now)
    told = back.status_event(now, "Rolling back.", reason)
    return Decision(_moved(endpoint, back, now, _rolled_back(reason)), back, (), now, (told,))


def _plan_back(endpoint: Endpoint, deployment: Deployment) -> Plan:
    if deployment.kind is Kind.SCALE:
        return scaling_back(endpoint.fleets)
    sizes = deployment.sizes
    if _is_at_the_end(deployment) and not deployment.stopping:
        sizes = deployment.plan[deployment.row - 1].sizes  # the old fleet is still whole
    return way_back(
        Change(endpoint.fleets, deployment.new),
        sizes=sizes,
        shares=deployment.shares,
        batch=deployment.rollback_batch,
    )


def _fail(endpoint: Endpoint, deployment: Deployment, reason: str, now: float) -> Decision:
    """A creation has nothing to go back to: whatever was started is stopped."""
    failed = replace(
        _enter(deployment, 0, now),
        phase=Phase.FAILED,
        plan=deletion(),
        reason=reason,
        ended_at=now,
    )
    told = failed.status_event(now, "The endpoint could not be created.", reason)
    return Decision(_moved(endpoint, failed, now, reason), failed, (), now, (told,))


def _stand_still(
    endpoint: Endpoint, deployment: Deployment, facts: Facts, reason: str, now: float
) -> Decision:
    """The way back cannot be finished: keep what serves or could, and say so."""
    new = {f.id: len(facts.of(f.id).ready) for f in deployment.new}
    sizes = {
        fleet.id: max(deployment.sizes.get(fleet.id, 0), new.get(fleet.id, 0))
        for fleet in (*endpoint.fleets, *deployment.new)
    }
    fleets = _mixed(endpoint, deployment, sizes)
    half = FAILURE_REASON_LENGTH_MAX // 2 - 30  # room for both, and for the words around them
    why = _rolled_back(_shortened(deployment.reason or "", half))
    full = f"{why} The rollback failed: {_shortened(reason, half)}"
    still = replace(
        _enter(deployment, 0, now),
        phase=Phase.ROLLBACK_FAILED,
        plan=standstill(fleets, sizes, deployment.shares),
        reason=full,
        ended_at=now,
    )
    told = still.status_event(now, "The rollback could not be finished.", full)
    moved = replace(_moved(endpoint, still, now, full), fleets=fleets)
    return Decision(moved, still, (), now, (told,))


def _mixed(
    endpoint: Endpoint, deployment: Deployment, sizes: Mapping[str, int]
) -> tuple[Fleet, ...]:
    """The fleets that are left, sized and weighted as they serve."""
    both = [f for f in (*endpoint.fleets, *deployment.new) if sizes[f.id]]
    return tuple(
        replace(f, size=sizes[f.id], weight=_mixed_weight(f, both, deployment.shares)) for f in both
    )


def _mixed_weight(fleet: Fleet, both: list[Fleet], shares: Mapping[str, int]) -> Fraction:
    """The variant's weight, divided among its fleets as its traffic is."""
    kin = [f for f in both if f.variant.name == fleet.variant.name]
    total = sum(shares.get(f.id, 0) for f in kin)
    if not total:
        return kin[0].weight if fleet is kin[0] else Fraction(0)
    return kin[0].weight * Fraction(shares.get(fleet.id, 0), total)


def _rolled_back(reason: str) -> str:
    return f"The deployment was rolled back: {reason.rstrip('.')}."


# ── finish ─────────────────────────────────────────────────────────────────────────────────────


def _finish(endpoint: Endpoint, deployment: Deployment, now: float) -> Decision:
    """The last row is real and held: the deployment has its outcome."""
    if deployment.phase is Phase.DELETING:
        return Decision(endpoint, deployment, gone=True)
    rolled_back = deployment.phase is Phase.ROLLING_BACK
    outcome = deployment.home if rolled_back else Phase.IN_SERVICE
    over = replace(deployment, phase=outcome, real=False, ended_at=now, looked_at=now)
    if rolled_back:
        told = over.status_event(now, "Rolled back.", over.reason)
        return Decision(
            _moved(endpoint, over, now, endpoint.failure_reason), over, (), now, (told,)
        )
    done = replace(_moved(endpoint, over, now, None), fleets=deployment.new)
    if deployment.kind is Kind.UPDATE and deployment.config is not None:
        mixed = deployment.home is Phase.ROLLBACK_FAILED
        done = replace(
            done,
            config=deployment.config,
            previous_config=None if mixed else endpoint.config,
            previous_fleets=() if mixed else endpoint.fleets,
        )
    told = over.status_event(now, f"{deployment.kind} succeeded.")
    return Decision(done, over, (), now, (told,))


def _moved(
    endpoint: Endpoint, deployment: Deployment, now: float, failure_reason: str | None
) -> Endpoint:
    """The endpoint in the status of its deployment."""
    reason = failure_reason and _shortened(failure_reason, FAILURE_REASON_LENGTH_MAX)
    return replace(endpoint, status=deployment.phase.status, modified_at=now, failure_reason=reason)


def _shortened(reason: str, length: int) -> str:
    """Cut late in its middle: it begins with what happened, the error and the hint, and ends with
    the newest of what was said."""
    if len(reason) <= length:
        return reason
    head = 2 * length // 3
    return f"{reason[:head]} … {reason[head + 3 - length :]}"
