"""What must never happen in a deployment, checked at every turn that was remembered.

The letters are those of the project's list of invariants: S for safety, L for liveness. The rules
know the plan as it was laid at the start and nothing else of the engine's state: what has been
baked, seen and stopped is written down here a second time, independently.

They go by the facts that the turn was decided from. Whether those are what is, and whether what was
decided is what came to be, is another question: `watch` asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from inservice.deployment.actions import Action, Launch, Retire, Route
from inservice.deployment.facts import Facts
from inservice.deployment.plan import Doing
from inservice.deployment.state import Decision, Deployment, Kind, Phase
from inservice.hosting.endpoint import Endpoint, EndpointStatus, IllegalMove, check_move

GAP_SECONDS_MAX = 15.0
"""What a late turn may count of a bake; see S15."""


STORAGE_AWAY = "The storage does not answer."
"""What is said of a storage that will be back."""


class Violation(AssertionError):
    """A rule was broken."""


def must(holds: object, rule: str) -> None:
    if not holds:
        raise Violation(rule)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what it was decided from, when by the true time, and by which life of control."""

    endpoint: Endpoint
    deployment: Deployment
    facts: Facts
    at: float
    life: int


class Ledger:
    """The second memory: of one deployment, from its begin to its outcome."""

    def __init__(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        *,
        capacity_before: int,
        deaths: Callable[[], int],
        left: Callable[[], list[str]],
    ) -> None:
        """`endpoint` as it was before; `deaths` tells how many instances died that nobody ordered,
        and `left` the ids of all that there are."""
        self.deaths = deaths
        self.left = left
        self.before = endpoint  # as it was when the deployment began, status aside
        self.plan = deployment.plan
        self.kind = deployment.kind
        self.rolling = deployment.strategy == "rolling"
        self.canary = deployment.strategy == "canary"
        self.new = {fleet.id: fleet for fleet in deployment.new}
        self.old = {fleet.id: fleet for fleet in endpoint.fleets}
        self.capacity_before = capacity_before
        self.batch = max(
            (
                later.sizes[f] - earlier.get(f, 0)
                for earlier, later in zip(
                    ({}, *(step.sizes for step in self.plan)), self.plan, strict=False
                )
                for f in self.new
                if f in later.sizes
            ),
            default=0,
        )
        self.timeout_seconds = deployment.timeout_seconds
        self.baked: dict[int, float] = {}  # by row: true seconds that were watched
        self.surely_baked: dict[int, float] = {}  # the same, while nothing at all was amiss
        self.surely_baked_before: dict[int, float] = {}  # as of the turn before the last
        self.last_quiet_row: int | None = None
        self.promoted: set[int] = set()
        self.last_look: float | None = None  # true time of the last saved turn
        self.last_life = 0  # of control
        self.last_real_row: int | None = None  # the row that was real at that turn
        self.spent = 0.0
        self.stopped_old = False  # a ready old instance was decided to be stopped, in the last row
        self.last_share_of_new = 0
        self.causes: set[str] = set()  # everything seen that may end in a rollback
        self.proven: set[tuple[str, int]] = set()

    # ── at every save ──

    def saved(self, turn: Turn, decision: Decision) -> None:
        """A turn was decided and remembered."""
        before, facts = turn.deployment, turn.facts
        endpoint, after = decision.endpoint, decision.deployment
        try:
            check_move(turn.endpoint.status, None if decision.gone else endpoint.status)
        except IllegalMove as illegal:
            raise Violation(f"S14 {illegal}") from illegal
        must(endpoint.status == after.phase.status, "S14 the status is that of the deployment")
        watched = self.last_look is not None and self.last_life == turn.life
        gap = turn.at - self.last_look if watched and self.last_look is not None else 0.0
        self._bake(before, facts, min(gap, GAP_SECONDS_MAX))
        self._see_causes(before, facts)
        if before.phase in (Phase.CREATING, Phase.UPDATING) and not self.stopped_old:
            late = [
                want.fleet
                for want in before.step.wants
                if want.ready == want.size
                and any(s > want.start_seconds_max for s in facts.of(want.fleet).starting.values())
            ]
            must(not late or after.phase is not before.phase, f"A7 {late} is waited for too long")
        if before.phase is Phase.UPDATING and self.kind is Kind.UPDATE:
            self._forward(before, after, facts)
        if not before.over and after.over:
            self._outcome(endpoint, after)
        self.last_look, self.last_life = turn.at, turn.life
        self._note_stops(after, decision)

    def _bake(self, before: Deployment, facts: Facts, gap: float) -> None:
        """S15: a bake counts only between two looks that both found the row real."""
        if before.over:
            return
        if not before.paused:
            self.spent += gap
        step, row = before.step, before.row
        held = (
            before.phase is Phase.UPDATING
            and facts.shares is not None
            and all(facts.shares.get(f, -1) >= step.shares.get(f, -1) for f in self.new)
            and all(len(facts.of(f).ready) >= step.sizes.get(f, 0) for f in self.new)
        )
        if held and self.last_real_row == row and not before.paused:
            self.baked[row] = self.baked.get(row, 0.0) + gap
        self.last_real_row = row if held else None
        quiet = facts.shares == step.shares and all(
            len(seen.ready) == len(seen.present) == step.sizes.get(f, 0)
            for f, seen in facts.fleets.items()
        )
        if quiet and self.last_quiet_row == row and not before.paused:
            self.surely_baked_before[row] = self.surely_baked.get(row, 0.0)
            self.surely_baked[row] = self.surely_baked.get(row, 0.0) + gap
        self.last_quiet_row = row if quiet else None

    def _forward(self, before: Deployment, after: Deployment, facts: Facts) -> None:
        """An update on its way forward."""
        turned = after.phase is Phase.ROLLING_BACK
        blamed = any(f in before.step.shares for f in self.new)
        if facts.tripped and blamed and not self.stopped_old:
            must(turned, "S8 a tripped alarm turns the deployment back on the same turn")
        if before.aborted and not self.stopped_old:
            must(turned, "an abort turns the deployment back")
        if not self.stopped_old:
            lost = [key for key in self.proven if facts.of(key[0]).gone.get(key[1])]
            must(turned or not lost, f"A8 a lost instance of the new fleet turns it back: {lost}")
            must(
                turned or self.spent < self.timeout_seconds + GAP_SECONDS_MAX,
                "S9 out of time and not turned back",
            )
        if turned and self.stopped_old:
            must("instance" in self.causes, "S4 turned back beyond the point of no return")
        if turned or after.phase is not Phase.UPDATING:
            must(turned or not before.paused, "a paused deployment went on")
            return
        must(after.row == before.row or not before.paused, "a paused deployment went on")
        for fleet in self.new:
            seen = facts.of(fleet)
            if fleet in after.shares:
                self.proven |= {(fleet, o) for o in seen.ready if o < after.sizes.get(fleet, 0)}
        for fleet in self.new:
            if after.shares.get(fleet, -1) > before.shares.get(fleet, -1):
                must(
                    len(facts.of(fleet).ready) >= after.step.sizes[fleet],
                    "S2 weight is raised on a new fleet that is not all ready",
                )
        if self.canary and len(self.new) == 1 and after.step.hold_name == "WaitIntervalInSeconds":
            small = all(
                after.shares.get(f, 0) <= 5_000 or new.size == 1 for f, new in self.new.items()
            )
            must(small, "S6 a canary is at most half")
        share_of_new = sum(share for f, share in after.shares.items() if f in self.new)
        must(share_of_new >= self.last_share_of_new, "S6 the new share only grows")
        self.last_share_of_new = share_of_new
        if after.row != before.row:
            must(after.row == before.row + 1, "a row was skipped")
            self._left(before)

    def _left(self, before: Deployment) -> None:
        """S15: a held row is left after its hold, not before and not later."""
        hold, row = before.step.hold_seconds, before.row
        if not hold or row in self.promoted or before.promoted:
            return
        baked = self.baked.get(row, 0.0)
        must(baked >= hold - 1e-6, f"S15 row {row} left after {baked} of {hold} seconds")
        late = self.surely_baked_before.get(row, 0.0)
        must(late < hold, f"S15 row {row} was baked already, {late} of {hold} seconds, and stayed")

    def _see_causes(self, before: Deployment, facts: Facts) -> None:
        if facts.tripped:
            self.causes.add("alarm")
        if before.aborted:
            self.causes.add("abort")
        if self.spent > self.timeout_seconds - GAP_SECONDS_MAX:
            self.causes.add("time")
        for want in before.step.wants:
            seen = facts.of(want.fleet)
            if seen.gone or seen.failure or seen.unhealthy:
                self.causes.add("instance")
            if any(seconds > want.start_seconds_max for seconds in seen.starting.values()):
                self.causes.add("instance")
        if self.deaths():
            self.causes.add("instance")

    def _note_stops(self, after: Deployment, decision: Decision) -> None:
        """The point of no return is when a stop of a ready old instance is remembered in the last
        row; whether it is then carried out no longer matters."""
        last = after.phase is Phase.UPDATING and after.row + 1 == len(after.plan)
        if last and after.step.doing is Doing.DELETING:
            for action in decision.actions:
                if isinstance(action, Retire) and action.fleet in self.old:
                    self.stopped_old = True

    def _outcome(self, endpoint: Endpoint, after: Deployment) -> None:
        """S7 and what an outcome promises."""
        self.outcome_of = after
        if after.phase is Phase.FAILED:
            must(self.kind is Kind.CREATE and self.causes, "Failed without a cause")
            must(endpoint.failure_reason, "Failed has a FailureReason")
        elif after.phase is Phase.ROLLBACK_FAILED and after.home is not Phase.ROLLBACK_FAILED:
            must(
                "instance" in self.causes or "time" in self.causes,
                "UpdateRollbackFailed without a cause",
            )
            must(endpoint.failure_reason, "UpdateRollbackFailed has a FailureReason")
            why = (endpoint.failure_reason or "").rpartition("The rollback failed: ")[2]
            must(STORAGE_AWAY not in why, "a storage that is away for a while ended a rollback")
        elif after.reason is not None and after.phase is after.home:
            must(self.causes, f"rolled back without a cause: {after.reason}")
            must(endpoint.fleets == self.before.fleets, "S7 the old fleets are as they were")
            must(endpoint.config == self.before.config, "S7 the old config serves again")
            must(endpoint.failure_reason, "a rollback leaves a FailureReason")
            going = self.new.keys() - self.old.keys()
            left = [one for one in self.left() if one.rpartition("/")[0] in going]
            must(not left, f"S7 instances of the new fleet are left: {left}")
        elif after.phase is Phase.IN_SERVICE:
            must(endpoint.fleets == after.new, "success: the new fleets serve")
            must(endpoint.failure_reason is None, "success leaves no FailureReason")
            if after.config is not None:
                must(endpoint.config == after.config, "success: the new config serves")

    # ── at every action, just before it is carried out ──

    def acting(self, action: Action, decision: Decision, facts: Facts) -> None:
        """An action is about to be carried out."""
        endpoint, deployment = decision.endpoint, decision.deployment
        if isinstance(action, Route):
            self._routing(action, endpoint, deployment, facts)
        elif isinstance(action, Retire):
            self._retiring(action, endpoint, deployment, facts)
        elif isinstance(action, Launch):
            seen = facts.of(action.fleet)
            must(
                len(seen.present - seen.gone.keys()) < deployment.step.sizes.get(action.fleet, 0),
                "S10 an instance is launched that the step does not want",
            )

    def _routing(
        self, route: Route, endpoint: Endpoint, deployment: Deployment, facts: Facts
    ) -> None:
        shares = route.shares
        ready = {fleet: len(facts.of(fleet).ready) for fleet in {*shares, *deployment.shares}}
        must(not shares or sum(shares.values()) == 10_000, "S1 shares sum to 10,000")
        must(all(share >= 0 for share in shares.values()), "S1 no share is negative")
        must(
            all(f.startswith(f"{endpoint.generation}-") for f in shares),
            "S1 only fleets of this generation",
        )
        if all(ready[fleet] for fleet, share in deployment.shares.items() if share):
            must(shares == deployment.shares, "S6 the shares are those in force, nobody being dead")
        for fleet, share in shares.items():
            if share > (facts.shares or {}).get(fleet, share):
                must(ready[fleet], "S2b weight is raised on a fleet of which nothing is ready")
        if self.kind is not Kind.DELETE and deployment.phase is not Phase.FAILED:
            stuck = [f for f, share in shares.items() if share and not ready[f]]
            free = [f for f in shares if ready[f]]
            must(not (stuck and free), f"A9 weight is left on the dead fleet {stuck}")

    def _retiring(
        self, action: Retire, endpoint: Endpoint, deployment: Deployment, facts: Facts
    ) -> None:
        seen = facts.of(action.fleet)
        must(
            not seen.routed.intersection(action.ordinals),
            "S12 an instance is stopped that a gateway may still choose",
        )
        going = seen.ready.intersection(action.ordinals)
        if not going or endpoint.status in (EndpointStatus.DELETING, EndpointStatus.FAILED):
            return
        useless = seen.gone.keys() - seen.routed - {*action.ordinals}
        must(not useless, f"S3 ready instances are stopped, and the dead {sorted(useless)} kept")
        there = sum(len(fleet.ready) for fleet in facts.fleets.values())
        must(there > len(going), "S3 the last ready instance of the endpoint is stopped")
        weighted = (facts.shares or deployment.shares).get(action.fleet)
        must(
            not weighted or len(seen.ready) > len(going),
            "S3 the last ready instance of a weighted fleet is stopped",
        )
        if (
            deployment.phase is Phase.UPDATING
            and self.kind is Kind.UPDATE
            and action.fleet in self.old
        ):
            self._stopping_old(deployment, facts)

    def _stopping_old(self, deployment: Deployment, facts: Facts) -> None:
        """S4, S5: what must have been before an old instance may be stopped."""
        row = deployment.row
        must(deployment.step.doing is Doing.DELETING, "S4 old instances go only in their row")
        for fleet in self.new.values():
            size = deployment.step.sizes[fleet.id]
            must(
                len(facts.of(fleet.id).ready) >= size,
                "S4 an old instance is stopped, the new are not ready",
            )
            if not self.rolling:
                must(size == fleet.size, "S4 blue/green stops the old fleet with the new one whole")
        acked = facts.shares or {}
        must(
            all(acked.get(f, -1) >= deployment.step.shares.get(f, -1) for f in self.new),
            "S4 an old instance is stopped before the gateways took the new shares",
        )
        for earlier, step in enumerate(self.plan[:row]):
            if step.hold_seconds and earlier not in self.promoted:
                must(
                    self.baked.get(earlier, 0.0) >= step.hold_seconds - 1e-6,
                    f"S4 an old instance is stopped and row {earlier} was not baked",
                )
        if self.rolling:
            self._capacity(deployment)

    def _capacity(self, deployment: Deployment) -> None:
        """S5: of what is planned to run, at least the endpoint's whole capacity stays."""
        sizes = deployment.step.sizes
        old = Fraction(sum(sizes[f] for f in self.old), sum(f.size for f in self.old.values()))
        new = Fraction(sum(sizes[f] for f in self.new), sum(f.size for f in self.new.values()))
        must(old + new >= 1, f"S5 {old} of the old and {new} of the new capacity are too little")

    # ── at every launch ──

    def launched(self, alive: int, deployment: Deployment) -> None:
        """So many instances of the endpoint run now, the newest included."""
        after = sum(fleet.size for fleet in self.new.values())
        if self.rolling and deployment.phase is Phase.UPDATING:
            most = max(self.capacity_before, after) + self.batch
            must(alive <= most, f"S5 {alive} instances in a rolling update of at most {most}")
        must(alive <= self.capacity_before + after, f"S10 {alive} instances are too many")
