"""All of a deployment that survives a crash, and what one turn decides.

One row in the store, saved together with its Endpoint. An endpoint always has one current
deployment, from CreateEndpoint on: when it is over it goes on keeping the fleets as they should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inservice.deployment.actions import Action, Route
from inservice.deployment.events import DetailType, Event
from inservice.deployment.plan import Plan, Step
from inservice.deployment.policy import CapacitySize
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.fleet import Fleet


class Kind(StrEnum):
    """Which call began the deployment."""

    CREATE = "Create"
    UPDATE = "Update"
    SCALE = "Scale"
    DELETE = "Delete"
    SET_ASIDE = "SetAside"  # no call: the record could not be read, see `set_aside`


class Phase(StrEnum):
    """Where the deployment is. The value is the EndpointStatus that DescribeEndpoint shows."""

    CREATING = "Creating"
    UPDATING = "Updating"
    ROLLING_BACK = "RollingBack"
    DELETING = "Deleting"
    IN_SERVICE = "InService"
    FAILED = "Failed"
    ROLLBACK_FAILED = "UpdateRollbackFailed"

    @property
    def status(self) -> EndpointStatus:
        """The same word, as the endpoint's."""
        return EndpointStatus(self.value)


OVER = frozenset({Phase.IN_SERVICE, Phase.FAILED, Phase.ROLLBACK_FAILED})
"""The deployment has an outcome; what is left is to keep it."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The deaths of one ordinal, of which none came after it had served, or after a long life."""

    count: int  # 0: the last one died after it had served
    started_at: float  # of the instance that died last: the same death is not counted twice
    launch_at: float  # epoch seconds: not to be launched again before


@dataclass(frozen=True, slots=True)
class Deployment:
    """One change of one endpoint, from its call to its outcome, and the keeping of it after."""

    id: str  # "<generation>-<number>"
    number: int  # counts the deployments of one generation from 1
    kind: Kind
    strategy: str  # how it goes, in the words of the docs: "canary", "rolling", …
    phase: Phase
    plan: Plan  # the table being walked: the way forward, or after a turn the way back
    started_at: float  # epoch seconds
    row_since: float  # epoch seconds: when the row was entered
    looked_at: float  # epoch seconds: the last turn
    watcher: str = ""  # who looked on the last turn
    config: EndpointConfig | None = None  # where to; None when scaling and deleting
    new: tuple[Fleet, ...] = ()  # the fleets that serve when this succeeds
    alarms: tuple[str, ...] = ()  # names in AutoRollbackConfiguration
    rollback_batch: CapacitySize | None = None  # None: all of the old fleet at once
    timeout_seconds: int = 28_800
    home: Phase = Phase.IN_SERVICE  # the phase that a finished rollback returns to
    row: int = 0
    real: bool = False  # the last turn saw the row real: time counts from there
    held_seconds: float = 0.0  # how long the row has been seen real; survives a crash of control
    spent_seconds: float = 0.0  # of timeout_seconds; time in which nobody looked hardly counts
    shares: Mapping[str, int] = field(default_factory=dict)
    """In force: of the last row that was ready. Basis points by fleet, of those in the table."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """In force, like `shares`: instances by fleet. Of the new fleets, these were once all ready."""
    attempts: Mapping[str, Attempts] = field(default_factory=dict)  # by instance id
    waits: Mapping[str, str] = field(default_factory=dict)
    """By instance id: what the launch of an instance was last told to wait for."""
    phases: Mapping[str, str] = field(default_factory=dict)
    """By fleet: the long phase that its launch is in, as it was told."""
    stopping: bool = False  # the last row has begun to stop what a rollback would return to
    paused: bool = False  # by hand: stays on its row
    promoted: bool = False  # by hand: the rest of this hold is skipped
    aborted: str | None = None  # by hand: why to turn back on the next turn
    reason: str | None = None  # why we turned back or failed
    ended_at: float | None = None  # epoch seconds

    @property
    def step(self) -> Step:
        """The row being walked; when over, the one being kept."""
        return self.plan[self.row]

    @property
    def over(self) -> bool:
        """Whether there is an outcome."""
        return self.phase in OVER

    @property
    def step_id(self) -> str:
        """What gateways count the requests of now under: "<id>/<row>" on the way forward and
        "<id>/back/<row>" on the way back, whose rows count from 0 again. Once it is over, "<id>":
        what comes from then on is no longer the deployment's."""
        if self.over:
            return self.id
        back = "back/" if self.phase is Phase.ROLLING_BACK else ""
        return f"{self.id}/{back}{self.row}"

    def event(
        self,
        now: float,
        message: str,
        *,
        reason: str | None = None,
        detail_type: DetailType = DetailType.DEPLOYMENT,
    ) -> Event:
        """An event about the deployment as it is after the transition."""
        return Event(
            at=now,
            detail_type=detail_type,
            deployment=self.id,
            row=self.row,
            status=self.phase.value,
            doing=self.step.doing.value,
            message=message,
            reason=reason,
            shares=self.step.shares,
            sizes=self.step.sizes,
        )

    def status_event(self, now: float, message: str, reason: str | None = None) -> Event:
        """The same, told because the endpoint has another status."""
        return self.event(now, message, reason=reason, detail_type=DetailType.ENDPOINT)


@dataclass(frozen=True, slots=True)
class Decision:
    """What one turn, one call or one hand control decided.

    Order of effects: save `endpoint` and `deployment` together (with `events`), then do `actions`
    in their order, then come back at `wake_at` at the latest. A save that is refused (someone newer
    decides) drops everything. Saving may be skipped when endpoint and deployment are unchanged.
    """

    endpoint: Endpoint
    deployment: Deployment
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None  # epoch seconds; None: only when something changes
    events: tuple[Event, ...] = ()
    route: Route | None = None
    """What the table must say about this endpoint from now on, whether or not it says so yet.
    None: leave it as it is."""
    gone: bool = False  # a deletion is complete: remove both records instead of saving them


def fleets_of(endpoint: Endpoint, deployment: Deployment) -> dict[str, Fleet]:
    """Every fleet that the endpoint has, had, or is to have, by id."""
    return {f.id: f for f in (*endpoint.previous_fleets, *endpoint.fleets, *deployment.new)}
