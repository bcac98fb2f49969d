"""Deployments that ended are told of: INSERVICE_DEPLOYMENT_WEBHOOK is posted each outcome.

What is to be told is on disk from the moment it is known, and the file also says of which
deployment of each endpoint it is known. A control that was killed before it had written that finds
the outcome in the store when it starts; one that was killed while it told tells again. So no
outcome is lost, some come twice, and they come in order.

A receiver that hangs delays the next outcome and nothing else. What it does not take at all is in
the endpoint's history.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog

from inservice import disk
from inservice.clock import Clock
from inservice.cloudwatch.alarms.history import TEXT_CHARACTERS_MAX
from inservice.controller.kit.posting import Poster
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.deployment.views.picture import outcome, picture
from inservice.errors import AwsError
from inservice.hosting.endpoint import Endpoint
from inservice.ids import EndpointKey
from inservice.store.base import Store
from inservice.store.collections.endpoints import EndpointRecord
from inservice.telemetry.base import Happened, Posted
from inservice.threads import Threads
from inservice.values import Instant

WAITING_MAX = 1_000
"""Outcomes that wait for the receiver; beyond it the oldest is given up, and counted."""

KEEP_AGAIN_SECONDS = 5.0
"""Until the next try, when there was no room to write down what is known."""

FILE = "deployment-webhook.json"

_SHOWN = (
    "EndpointName",
    "EndpointStatus",
    "DeploymentId",
    "Kind",
    "Strategy",
    "FromEndpointConfigName",
    "ToEndpointConfigName",
    "StartedAt",
    "EndedAt",
    "Outcome",
    "Reason",
)
"""Of DescribeDeployment's members."""

_log = structlog.get_logger(__name__)


class _Waiting(msgspec.Struct):
    """An outcome that the receiver has not been told of."""

    key: EndpointKey
    deployment: str
    message: dict[str, Any]


class _Kept(msgspec.Struct):
    """What the file holds."""

    known: dict[str, str] = {}
    """Endpoint as `account/region/name` → the newest deployment whose outcome was noted."""
    waiting: list[_Waiting] = []


@dataclass
class Outcomes:
    """Tells a receiver of deployments that ended."""

    store: Store
    poster: Poster
    happenings: Happened
    clock: Clock
    url: str  # empty: nobody is told
    data_dir: Path
    _known: dict[str, str] = field(default_factory=dict)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _threads: Threads = field(default_factory=lambda: Threads("outcomes"))

    def ended(self, key: EndpointKey, decision: Decision) -> None:
        """A deployment came to its outcome, which is saved. Called in the event loop."""
        if self.url and not decision.gone:
            self._note(key, decision.endpoint, decision.deployment)

    async def run(self) -> None:
        """Tell until cancelled."""
        while self.url:
            self._due.clear()
            kept = await self._threads.run(self._keep)
            if self._waiting:
                await self._tell(self._waiting[0])
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if kept else KEEP_AGAIN_SECONDS):
                        await self._due.wait()

    async def _tell(self, waiting: _Waiting) -> None:
        error = await self.poster.deliver(
            self.url, msgspec.json.encode(waiting.message), "application/json"
        )
        self.happenings.webhook_ended(Posted("deployment", "failed" if error else "delivered"))
        if error:
            await self._threads.run(self._remember, waiting, error)
        if self._waiting and self._waiting[0] is waiting:
            self._waiting.popleft()

    def _note(self, key: EndpointKey, endpoint: Endpoint, deployment: Deployment) -> None:
        """Have the outcome of a deployment told, unless that is known already."""
        name = "/".join(key)
        if outcome(deployment) is None or self._known.get(name) == deployment.id:
            return
        self._known[name] = deployment.id
        self._waiting.append(_Waiting(key, deployment.id, message(endpoint, deployment)))
        if len(self._waiting) > WAITING_MAX:
            dropped = self._waiting.popleft()
            _log.error("outcome.dropped", endpoint=dropped.key, deployment=dropped.deployment)
            self.happenings.webhook_ended(Posted("deployment", "dropped"))
        self._due.set()

    def _remember(self, waiting: _Waiting, error: str) -> None:
        """Write down in the endpoint's history that nobody could be told."""
        _log.warning("outcome.not_told", endpoint=waiting.key, error=error)
        try:
            with self.store.transaction(by="outcomes") as tx:
                record = tx.endpoints.find(waiting.key)
                if record is not None and record.deployment.id == waiting.deployment:
                    what = f"The deployment webhook could not be told of the outcome: {error}."
                    tx.endpoints.add_event(record, record.deployment.event(self.clock.now(), what))
        except AwsError as full:
            _log.error("outcome.not_recorded", endpoint=waiting.key, error=str(full))

    # ── what survives a crash ───────────────────────────────────────────────────────────────────
    async def recover(self) -> None:
        """Know what was known, and note what ended while nobody looked. Where nothing was ever
        noted, the outcomes there are by now are old: they are known, not told.

        Before any deployment can end, so that none ends unseen in between.
        """
        if not self.url:
            return
        records, kept = await self._threads.run(self._recall)
        if kept is None:
            self._known = {
                "/".join(record.key): record.deployment.id
                for record in records
                if outcome(record.deployment) is not None
            }
            return
        names = {"/".join(record.key) for record in records}
        self._known = kept.known
        self._waiting.extend(kept.waiting)
        for record in records:
            self._note(record.key, record.endpoint, record.deployment)
        self._known = {name: known for name, known in self._known.items() if name in names}

    def _recall(self) -> tuple[Sequence[EndpointRecord], _Kept | None]:
        with self.store.reading() as reading:
            records = reading.endpoints.all()
        try:
            return records, msgspec.json.decode((self.data_dir / FILE).read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.MsgspecError):
            return records, None

    def _keep(self) -> bool:
        """Write the file. False on a full disk: it is tried again."""
        kept = msgspec.json.encode(_Kept(dict(self._known), list(self._waiting)))
        try:
            disk.write(self.data_dir / FILE, kept)
        except OSError as full:
            _log.error("outcomes.not_kept", error=str(full))
            return False
        return True


def message(endpoint: Endpoint, deployment: Deployment) -> dict[str, Any]:
    """What the receiver is posted: DescribeDeployment's members, and a text for people."""
    ended_at: Instant = deployment.ended_at or deployment.looked_at
    shown = picture(endpoint, deployment, Facts(), ended_at)
    return {
        "text": _text(shown),
        "EndpointArn": endpoint.arn,
        "Account": endpoint.account,
        "Region": endpoint.region,
        **{member: shown[member] for member in _SHOWN if member in shown},
    }


def _text(shown: Mapping[str, Any]) -> str:
    mark = "✔" if shown["Outcome"] == "Done" else "✖"
    scaling = shown["Kind"] == "Scale"
    words = {
        "Done": "is scaled" if scaling else "is deployed",
        "RolledBack": "was rolled back",
        "Failed": "failed",
        "RollbackFailed": "failed, and so did its rollback",
    }[shown["Outcome"]]
    ends = [shown.get("FromEndpointConfigName"), shown.get("ToEndpointConfigName")]
    if shown["Outcome"] == "RolledBack":
        ends.reverse()
    start, end = ends
    way = f" from {start}" if start and start != end else ""
    way += f" to {end}" if end else ""
    reason = f": {shown['Reason']}" if shown.get("Reason") else ""
    text = f"{mark} {shown['EndpointName']} {words}{'' if scaling else way}{reason}"
    return text[:TEXT_CHARACTERS_MAX]
