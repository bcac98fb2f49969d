"""An endpoint: a stable name that answers invocations, what serves it, and how it may change.

`MOVES` is the one table of legal EndpointStatus moves. Every save of an endpoint passes through
`check_move`, and the state diagram in docs/concepts/deployments.md is drawn from the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.fleet import Fleet
from inservice.ids import EndpointKey
from inservice.values import Document

FAILURE_REASON_LENGTH_MAX = 1024
"""AWS's limit of FailureReason, in characters."""


class EndpointStatus(StrEnum):
    """AWS's nine statuses."""

    OUT_OF_SERVICE = "OutOfService"
    CREATING = "Creating"
    UPDATING = "Updating"
    SYSTEM_UPDATING = "SystemUpdating"
    ROLLING_BACK = "RollingBack"
    IN_SERVICE = "InService"
    DELETING = "Deleting"
    FAILED = "Failed"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"


_S = EndpointStatus

MOVES: Mapping[EndpointStatus | None, frozenset[EndpointStatus | None]] = {
    None: frozenset({_S.CREATING}),  # None: there is no endpoint of this name
    _S.CREATING: frozenset({_S.IN_SERVICE, _S.FAILED}),
    _S.IN_SERVICE: frozenset({_S.UPDATING, _S.SYSTEM_UPDATING, _S.DELETING}),
    _S.UPDATING: frozenset({_S.IN_SERVICE, _S.ROLLING_BACK}),
    _S.ROLLING_BACK: frozenset({_S.IN_SERVICE, _S.UPDATE_ROLLBACK_FAILED}),
    _S.UPDATE_ROLLBACK_FAILED: frozenset({_S.UPDATING, _S.DELETING}),
    _S.SYSTEM_UPDATING: frozenset({_S.IN_SERVICE}),
    _S.OUT_OF_SERVICE: frozenset({_S.DELETING}),
    _S.FAILED: frozenset({_S.DELETING}),
    _S.DELETING: frozenset({None}),
}
"""Where an endpoint may go from each status. Nothing leaves Deleting but gone."""

IN_PROGRESS = frozenset({_S.CREATING, _S.UPDATING, _S.SYSTEM_UPDATING, _S.ROLLING_BACK})
"""Statuses in which AWS refuses every change, deletion included."""


class IllegalMove(Exception):
    """A bug: an endpoint was about to be saved in a status that its last one does not lead to."""


def check_move(before: EndpointStatus | None, after: EndpointStatus | None) -> None:
    """Called on every save. Staying is always legal. Raises IllegalMove."""
    if before is not after and after not in MOVES[before]:
        raise IllegalMove(f"{before or 'nothing'} does not lead to {after or 'nothing'}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the store keeps of an endpoint, beside the Deployment that moves it.

    `config` and `fleets` are immutable snapshots, so deleting a config or a model never reaches
    what serves from it.
    """

    account: str
    region: str
    name: str
    arn: str
    generation: str  # unique id of this incarnation of the name; [A-Za-z0-9-], chosen by the caller
    status: EndpointStatus
    config: EndpointConfig  # the one that serves; while Creating, the one being created
    created_at: float  # epoch seconds
    modified_at: float  # epoch seconds: when a change began or ended
    fleets: tuple[Fleet, ...] = ()  # what serves, by design; empty while Creating and when Failed
    failure_reason: str | None = None  # kept after a rollback, until the next successful update
    last_deployment_config: Document | None = None  # the latest one given, successful or not
    previous_config: EndpointConfig | None = None  # what the last successful update replaced
    previous_fleets: tuple[Fleet, ...] = ()  # the fleets of `previous_config`, as `undo` needs them

    @property
    def key(self) -> EndpointKey:
        """How gateways and the store know it."""
        return self.account, self.region, self.name

    @property
    def in_progress(self) -> bool:
        """Whether a change is under way, so that another one is refused."""
        return self.status in IN_PROGRESS
